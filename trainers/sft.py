"""Supervised fine-tuning: encode, adapt, fit, save. The loop is `fit`; all that it depends on is an argument.

Bit-for-bit reproducible on one machine: batch order and dropout are functions of (seed, step), so that a resumed
training equals an uninterrupted one without any saved random state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.errors import DataError, TrainingFailed
from harness.prompts import PromptStyle, freeze
from harness.records.base import digest
from harness.records.inputs import TrainInput
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from harness.records.settings import TrainSettings
from trainers.checkpoints import Checkpoints, Progress, save_final
from trainers.compiling import compiled_layers
from trainers.distributed import rank, said_by_first, sum_over_all, turns, wait_for_all
from trainers.gradient_release import can_release, gradient_release, in_one_pass
from trainers.interruption import after_the_step
from trainers.ledger import Meter, metered, training_flops
from trainers.mask_preview import preview_of, write_preview
from trainers.memory import running_out_is
from trainers.methods import adapt, trained_parameters
from trainers.models import LoadedModel, load
from trainers.packing import padding_free, weighted_loss
from trainers.precision import Precision, autocast, device, device_name, resolve
from trainers.quantised import load_quantised, n_weights
from trainers.recompute import lean_gates, lean_norms, recomputing
from trainers.rows import NamedRow, TrainingRows, longest_row, mask_policy, stored_rows
from trainers.schedules import batch_at, budgeted_steps, learning_rate, step_seed, steps_per_epoch
from trainers.sharding import gathered, is_sharded, put, shard
from trainers.standing import StandingGradients, standing_gradients
from trainers.step import CALMER, Stepper, make_optimizer
from trainers.token_shards import TokenShards

OnStep = Callable[[LossRow, int], None]
"""Called after each optimizer step with its row and the total number of steps."""


NO_ROOM = partial(
    TrainingFailed,
    "out of memory beside the training steps: the model, its optimizer state or a validation pass does not fit",
    hint="use a smaller model, method lora or qlora, or more devices with train.sharding: fsdp",
)

VALIDATED = ("evaluate_every", "early_stopping", "keep")
"""Settings that mean nothing without a validation part."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """All steps' losses, seconds spent in the loop (over all resumes), and how it went."""

    losses: tuple[LossRow, ...]
    seconds: float
    precision: Precision
    micro_batch_size: int
    """Examples a forward pass at the end: fewer than at the start where memory ran out."""
    kept_step: int
    """The step whose weights the model has now."""


@running_out_is(NO_ROOM)
def train_variant(  # noqa: PLR0913 - the stage's whole interface
    input: TrainInput,
    base_folder: Path,
    tokens: Path,
    style: PromptStyle,
    folder: Path,
    checkpoint_folder: Path,
    on_step: OnStep,
    *,
    trust_remote_code: bool = False,
    sharded: bool = False,
) -> TrainFacts:
    """Train one variant from a converted base model and write its final weights into `folder`.

    `tokens`: folder of the tokenised split (trainers.token_shards).

    `on_step` is called for every step from the first, those of a resumed checkpoint replayed. Checkpoints stay: whoever
    keeps the weights removes them. `sharded`: split the weights over the processes of the group. Raises DataError for
    rows that do not fit, TrainingFailed when the loss is not finite or memory runs out.
    """
    base = _base(input, base_folder, trust_remote_code)
    policy = mask_policy(input)
    longest = longest_row(base, input.settings.max_length)
    rows = stored_rows(TokenShards(tokens), input.fold, policy, longest, input.settings.truncate)
    parameters = n_weights(base.model)
    head = base.model.get_output_embeddings().weight.numel()
    model = adapt(base.model, input.method, input.settings.lora, input.seed)
    if sharded:
        shard(model)
    else:
        model.to(device())
    trained = sum(parameter.numel() for parameter in trained_parameters(model).values())
    checkpoints = Checkpoints(checkpoint_folder, digest(input))
    peak_lr = input.settings.lora.lr if input.method != "full" else None
    with metered() as meter:
        report = fit(
            model,
            rows,
            input.settings,
            peak_lr or input.settings.lr,
            input.seed,
            checkpoints=checkpoints,
            on_step=on_step,
        )
    if sharded:
        learned = gathered(trained_parameters(model))
        if rank() == 0:
            model = adapt(_base(input, base_folder, trust_remote_code).model, input.method, input.settings.lora, 0)
            for name, parameter in trained_parameters(model).items():
                put(learned[name].detach(), parameter)
    if rank() == 0:
        save_final(model, base.tokenizer, folder, input.base)
        freeze(style, folder)
        write_preview(preview_of(base.tokenizer, rows, style, policy), folder)
    wait_for_all()
    if torch.cuda.is_available() and meter.energy_joules is not None:  # on CPUs each process counted the whole machine
        meter.energy_joules = sum_over_all(meter.energy_joules, device())
    return _facts(report, rows, input, Size(parameters, trained, head), meter)


def _base(input: TrainInput, folder: Path, trust_remote_code: bool) -> LoadedModel:
    if input.method == "qlora":
        return load_quantised(folder, resolve(input.settings.precision), trust_remote_code=trust_remote_code)
    return load(folder, dtype=torch.float32, trust_remote_code=trust_remote_code)


# ---------------------------------------------------------------- the loop


def fit(
    model: Any,
    rows: TrainingRows,
    settings: TrainSettings,
    peak_lr: float,
    seed: int,
    *,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep = lambda row, total: None,
) -> FitReport:
    """Train the parameters that require gradients, in place, with AdamW and the masked loss.

    The loss is normalised by the loss-bearing weight of the whole optimizer step (micro-batches included). Resumes from
    `checkpoints` where it holds one of this training. Raises TrainingFailed when loss or gradient is not finite,
    DataError where settings need a validation part that `rows` has not, and KeyboardInterrupt once what an interrupted
    step made is saved.
    """
    _check_validation(settings, rows, checkpoints)
    precision = resolve(settings.precision)
    total = budgeted_steps(settings, rows.lengths, seed)
    if precision == "bf16-pure":
        model.to(torch.bfloat16)
    optimizer = make_optimizer(model, peak_lr, settings.weight_decay, precision, settings.optimizer)
    progress = checkpoints.resume(model, optimizer) if checkpoints is not None else Progress()
    for row in progress.losses:
        on_step(row, total)
    by_autograd = is_sharded(model) or settings.compile  # standing buffers know neither split nor traced weights
    released = can_release(settings, precision)
    lean = not (settings.gradient_checkpointing or by_autograd)
    losses, started = list(progress.losses), time.monotonic() - progress.seconds
    with (
        padding_free(model),
        recomputing(model, settings.gradient_checkpointing),
        lean_gates(model, lean),
        lean_norms(model, lean),
        compiled_layers(model, settings.compile),
        nullcontext(StandingGradients())
        if by_autograd
        else standing_gradients(model, one_pass=in_one_pass(settings), released=released) as standing,
        gradient_release(optimizer, standing, released) as release,
        torch.random.fork_rng([model.device] if model.device.type == "cuda" else []),
        after_the_step() as interruption,
    ):
        micro = progress.micro_batch_size or settings.micro_batch_size or settings.batch_size
        stepper = Stepper(model, optimizer, standing, release, settings, precision, micro)
        for step in range(progress.steps, total):
            if _stalled(losses, settings):
                break
            losses.append(_step(stepper, rows, step, total, learning_rate(step, total, peak_lr, settings), seed))
            progress = Progress(tuple(losses), time.monotonic() - started, stepper.micro_batch_size)
            with interruption.ends(partial(_save, checkpoints, model, optimizer, progress)):
                on_step(losses[-1], total)
                _keep(checkpoints, model, optimizer, settings, progress, last=step + 1 == total)
    seconds, kept = time.monotonic() - started, losses[-1]
    wait_for_all()
    if checkpoints is not None and settings.keep == "best":
        checkpoints.load_best(model)
        kept = _best(losses) or kept
    return FitReport(tuple(losses), seconds, precision, stepper.micro_batch_size, kept.step)


def _step(  # noqa: PLR0913 - which step of which training
    stepper: Stepper, rows: TrainingRows, step: int, total: int, lr: float, seed: int
) -> LossRow:
    """Take a step, and validate where it is time to."""
    settings, n_rows = stepper.settings, len(rows.train)
    batch = [rows.train[index] for index in batch_at(step, settings, n_rows, seed)]
    row = stepper.take(batch, lr=lr, step=step, seed=step_seed(seed, step))
    if not rows.validation or not _is_validated(step, total, settings, n_rows):
        return row
    return row.model_copy(update={"validation_loss": evaluate(stepper, rows.validation, step)})


def _keep(  # noqa: PLR0913 - what is kept, and when
    checkpoints: Checkpoints | None,
    model: Any,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    progress: Progress,
    *,
    last: bool,
) -> None:
    """The best weights, and a checkpoint where one is due."""
    if checkpoints is None:
        return
    if settings.keep == "best" and _best(progress.losses) == progress.losses[-1]:
        checkpoints.save_best(model)
    if not last and said_by_first(checkpoints.should_save(), model.device):
        checkpoints.save(model, optimizer, progress)


def _save(checkpoints: Checkpoints | None, model: Any, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    if checkpoints is not None:
        checkpoints.save(model, optimizer, progress)


def _check_validation(settings: TrainSettings, rows: TrainingRows, checkpoints: Checkpoints | None) -> None:
    wants = [
        f"train.{name}" for name in VALIDATED if getattr(settings, name) != TrainSettings.model_fields[name].default
    ]
    if wants and not rows.validation:
        raise DataError(
            f"{', '.join(wants)} needs validation rows, and the split has none",
            hint="give split.validation a fraction or a number of rows",
        )
    if settings.keep == "best" and checkpoints is None:
        raise ValueError("keeping the best weights needs checkpoints to keep them in")


def _is_validated(step: int, total: int, settings: TrainSettings, n_rows: int) -> bool:
    every = settings.evaluate_every or steps_per_epoch(settings, n_rows)
    return step + 1 == total or (step + 1) % every == 0


def _best(losses: Sequence[LossRow]) -> LossRow | None:
    """The step with the lowest validation loss, the first of equals."""
    validated = [row for row in losses if row.validation_loss is not None]
    return min(validated, key=lambda row: row.validation_loss or 0.0, default=None)


def _stalled(losses: Sequence[LossRow], settings: TrainSettings) -> bool:
    """Whether the last `early_stopping` validations brought nothing lower than before."""
    best = _best(losses)
    if settings.early_stopping is None or best is None:
        return False
    return sum(row.validation_loss is not None and row.step > best.step for row in losses) >= settings.early_stopping


@torch.no_grad()
def evaluate(stepper: Stepper, rows: Sequence[NamedRow], step: int) -> float:
    """Mean loss over loss-bearing tokens, nats a token, without dropout. Raises TrainingFailed if it is not finite."""
    model, total = stepper.model, 0.0
    model.eval()
    for turn in turns(rows, stepper.micro_batch_size, together=is_sharded(model)):
        with autocast(stepper.precision, model.device):
            total += weighted_loss(model, [named.row for named in turn.rows]).item() * turn.counts
    if is_sharded(model):
        model.reshard()  # after a forward pass some weights stay whole, for a backward pass that does not come here
    loss = sum_over_all(total, model.device) / sum(sum(named.row.weights) for named in rows)
    if not math.isfinite(loss):
        raise TrainingFailed(f"step {step + 1}: the validation loss is {loss:g}", hint=CALMER)
    return loss


# ---------------------------------------------------------------- the ledger


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of weights: of the base model, of those that learn, of the output layer."""

    parameters: int
    trained: int
    head: int


def _facts(report: FitReport, rows: TrainingRows, input: TrainInput, size: Size, meter: Meter) -> TrainFacts:
    n_rows, losses = len(rows.train), report.losses
    batches = [batch_at(step, input.settings, n_rows, input.seed) for step in range(len(losses))]
    lengths = rows.lengths
    tokens = sum(lengths[index] for batch in batches for index in batch)
    loss_tokens = sum(row.loss_tokens for row in losses)
    kept = losses[report.kept_step - 1]
    return TrainFacts(
        examples=n_rows,
        steps=len(losses),
        kept_step=report.kept_step,
        loss_tokens=loss_tokens,
        tokens_seen=tokens,
        truncated=rows.truncation.truncated,
        responses_cut=rows.truncation.responses_cut,
        dropped=rows.truncation.dropped,
        parameters=size.parameters,
        trained_parameters=size.trained,
        precision=report.precision,
        device=device_name(),
        micro_batch_size=report.micro_batch_size,
        first_loss=losses[0].loss,
        last_loss=losses[-1].loss,
        validation_loss=kept.validation_loss,
        train_seconds=report.seconds,
        flops=training_flops(size.parameters - size.head, size.head, tokens, loss_tokens, trained=size.trained),
        peak_memory_bytes=meter.peak_memory_bytes,
        energy_joules=meter.energy_joules,
    )
