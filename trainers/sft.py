"""Supervised fine-tuning: encode, adapt, fit, save. The loop is `fit`; all that it depends on is an argument.

Bit-for-bit reproducible on one machine: batch order and dropout are functions of (seed, step), so that a resumed
training equals an uninterrupted one without any saved random state.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.errors import TrainingFailed
from harness.prompts import PromptStyle, freeze
from harness.records.base import digest
from harness.records.data import SplitExample
from harness.records.inputs import TrainInput
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from harness.records.settings import TrainSettings
from trainers.checkpoints import Checkpoints, Progress, save_final
from trainers.mask_preview import preview_of, write_preview
from trainers.methods import adapt, trained_parameters
from trainers.models import load
from trainers.packing import padding_free, weighted_loss
from trainers.precision import Precision, autocast, device, resolve
from trainers.rows import NamedRow, TrainingRows, encode_examples, mask_policy
from trainers.schedules import batch_at, learning_rate, step_seed, steps_per_epoch, total_steps

OnStep = Callable[[LossRow, int], None]
"""Called after each optimizer step with its row and the total number of steps."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """All steps' losses, seconds spent in the loop (over all resumes), and the precision it ran in."""

    losses: tuple[LossRow, ...]
    seconds: float
    precision: Precision


def train_variant(  # noqa: PLR0913 - the stage's whole interface
    input: TrainInput,
    base_folder: Path,
    examples: Sequence[SplitExample],
    style: PromptStyle,
    folder: Path,
    checkpoint_folder: Path,
    on_step: OnStep,
    *,
    trust_remote_code: bool = False,
) -> TrainFacts:
    """Train one variant from a converted base model and write its final weights into `folder`.

    `on_step` is called for every step from the first, those of a resumed checkpoint replayed. Checkpoints are removed
    at the end. Raises DataError for rows that do not fit, TrainingFailed when the loss is not finite.
    """
    base = load(base_folder, dtype=torch.float32, trust_remote_code=trust_remote_code)
    policy = mask_policy(input)
    rows = encode_examples(base, examples, style, policy, input.settings.max_length, input.settings.truncate)
    parameters = sum(parameter.numel() for parameter in base.model.parameters())
    model = adapt(base.model, input.method, input.settings.lora, input.seed).to(device())
    trained = sum(parameter.numel() for parameter in trained_parameters(model).values())
    checkpoints = Checkpoints(checkpoint_folder, digest(input))
    peak_lr = input.settings.lora.lr if input.method == "lora" else None
    report = fit(
        model, rows, input.settings, peak_lr or input.settings.lr, input.seed, checkpoints=checkpoints, on_step=on_step
    )
    save_final(model, base.tokenizer, folder, input.base)
    freeze(style, folder)
    write_preview(preview_of(base.tokenizer, rows, style, policy), folder)
    checkpoints.clear()
    return _facts(report, rows, input, parameters, trained)


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
    `checkpoints` where it holds one of this training. Raises TrainingFailed when loss or gradient is not finite.
    """
    precision = resolve(settings.precision)
    total = total_steps(settings, len(rows.train))
    optimizer = make_optimizer(model, peak_lr, settings.weight_decay)
    progress = checkpoints.resume(model, optimizer) if checkpoints is not None else Progress()
    for row in progress.losses:
        on_step(row, total)
    losses, started = list(progress.losses), time.monotonic() - progress.seconds
    with padding_free(model), torch.random.fork_rng():
        for step in range(progress.steps, total):
            batch = [rows.train[index] for index in batch_at(step, settings, len(rows.train), seed)]
            torch.manual_seed(step_seed(seed, step))
            lr = learning_rate(step, total, peak_lr, settings)
            loss_row = _optimizer_step(model, optimizer, batch, settings, precision, lr=lr, step=step)
            if rows.validation and _ends_epoch(step, total, settings, len(rows.train)):
                validation_loss = evaluate(model, rows.validation, settings, precision)
                loss_row = loss_row.model_copy(update={"validation_loss": validation_loss})
            losses.append(loss_row)
            on_step(loss_row, total)
            if checkpoints is not None and step + 1 < total and checkpoints.should_save():
                checkpoints.save(model, optimizer, Progress(tuple(losses), time.monotonic() - started))
    return FitReport(tuple(losses), time.monotonic() - started, precision)


def make_optimizer(model: Any, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with decay on matrices only, not on norms and biases."""
    parameters = list(trained_parameters(model).values())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, fused=True)


def _optimizer_step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[NamedRow],
    settings: TrainSettings,
    precision: Precision,
    *,
    lr: float,
    step: int,
) -> LossRow:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    weight = sum(sum(named.row.weights) for named in batch)
    loss = 0.0
    for micro_batch in _chunks(batch, settings.micro_batch_size or settings.batch_size):
        with autocast(precision, model.device):
            share = weighted_loss(model, [named.row for named in micro_batch]) / weight
        torch.autograd.backward(share)
        loss += share.item()
    limit = math.inf if settings.clip_norm is None else settings.clip_norm
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    grad_norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise _not_finite(loss, grad_norm, step, batch)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    loss_tokens = sum(named.row.loss_tokens for named in batch)
    return LossRow(step=step + 1, loss=loss, loss_tokens=loss_tokens, lr=lr, grad_norm=grad_norm)


def _chunks(batch: Sequence[NamedRow], size: int) -> Iterator[Sequence[NamedRow]]:
    return (batch[first : first + size] for first in range(0, len(batch), size))


def _not_finite(loss: float, grad_norm: float, step: int, batch: Sequence[NamedRow]) -> TrainingFailed:
    ids = ", ".join(named.example_id for named in batch)
    return TrainingFailed(
        f"step {step + 1}: loss {loss:g}, gradient norm {grad_norm:g}; the batch held the examples {ids}",
        hint="lower train.lr or raise train.warmup_ratio; set train.clip_norm if it is null; look at these examples",
    )


def _ends_epoch(step: int, total: int, settings: TrainSettings, n_rows: int) -> bool:
    return step + 1 == total or (step + 1) % steps_per_epoch(settings, n_rows) == 0


@torch.no_grad()
def evaluate(model: Any, rows: Sequence[NamedRow], settings: TrainSettings, precision: Precision) -> float:
    """Mean loss over loss-bearing tokens, nats a token, without dropout."""
    model.eval()
    total = 0.0
    for batch in _chunks(rows, settings.micro_batch_size or settings.batch_size):
        with autocast(precision, model.device):
            total += weighted_loss(model, [named.row for named in batch]).item()
    return total / sum(sum(named.row.weights) for named in rows)


# ---------------------------------------------------------------- the ledger


def _facts(report: FitReport, rows: TrainingRows, input: TrainInput, parameters: int, trained: int) -> TrainFacts:
    n_rows, losses = len(rows.train), report.losses
    batches = [batch_at(step, input.settings, n_rows, input.seed) for step in range(len(losses))]
    return TrainFacts(
        examples=n_rows,
        steps=len(losses),
        loss_tokens=sum(row.loss_tokens for row in losses),
        tokens_seen=sum(len(rows.train[index].row.ids) for batch in batches for index in batch),
        truncated=rows.truncation.truncated,
        responses_cut=rows.truncation.responses_cut,
        dropped=rows.truncation.dropped,
        parameters=parameters,
        trained_parameters=trained,
        precision=report.precision,
        first_loss=losses[0].loss,
        last_loss=losses[-1].loss,
        validation_loss=losses[-1].validation_loss,
        train_seconds=report.seconds,
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _peak_memory_bytes() -> int:
    """Highest resident memory of this process so far; the accelerator's own where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
