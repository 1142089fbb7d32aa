"""One optimizer step: the masked loss of a batch in micro-batches, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import MissingExtra, TrainingFailed
from harness.records.rows import LossRow
from harness.records.settings import OptimizerName, TrainSettings
from trainers.distributed import rank, sum_gradients, sum_over_all, turns, world
from trainers.eight_bit import eight_bit_adamw
from trainers.gradient_release import GradientRelease, norm
from trainers.masking import EncodedRow
from trainers.memory import is_out_of_memory
from trainers.methods import trained_parameters
from trainers.neftune import noisy_embeddings
from trainers.packing import weighted_loss
from trainers.precision import Precision, autocast
from trainers.rows import NamedRow
from trainers.sharding import is_sharded, whole
from trainers.standing import StandingGradients

CALMER = "lower train.lr, or warm up longer (train.warmup_ratio or warmup_steps)"
"""What helps where a training explodes."""
RELEASED = (
    "some weights have learned from this step already, so that it cannot be tried again with fewer; say"
    " train.gradient_checkpointing: true, or train.micro_batch_size: {fewer}, which keeps all gradients at once"
)
TOGETHER = (
    "say train.micro_batch_size: {fewer}, which cannot be chosen by itself in the middle of a pass; or"
    " train.gradient_checkpointing: true, or more devices"
)


@dataclass(slots=True)
class Stepper:
    """Takes optimizer steps on a model, in place.

    `micro_batch_size` (examples a forward pass) is halved when memory runs out, which `on_halved` is told; the loss is
    normalised by the whole batch, so that the mathematics stays.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    standing: StandingGradients
    release: GradientRelease | None
    settings: TrainSettings
    precision: Precision
    micro_batch_size: int
    on_halved: Callable[[int], None] = lambda size: None

    def take(self, batch: Sequence[NamedRow], *, lr: float, step: int, seed: int) -> LossRow:
        """Step number `step` (0-based) at learning rate `lr`; `seed` is that of its random draws (dropout, noise).

        Raises TrainingFailed when loss or gradient is not finite, or when a single example does not fit in memory.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = sum_over_all(self._gradients(batch, step, seed), self.model.device)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        sum_gradients(parameters)
        norm = self._norm(parameters)
        grad_norm = whole(norm).item()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise _not_finite(loss, grad_norm, step, batch)
        if self.settings.clip_norm is not None and grad_norm > self.settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.clip_norm, norm)
        self.optimizer.step()
        loss_tokens = sum(named.row.loss_tokens for named in batch)
        return LossRow(step=step + 1, loss=loss, loss_tokens=loss_tokens, lr=lr, grad_norm=grad_norm)

    def _norm(self, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
        """Of the whole gradient: what is there, and what was released."""
        there = {parameter: parameter.grad for parameter in parameters if parameter.grad is not None}
        released = self.release.norms if self.release is not None else {}
        if not released and (not there or self.model.device.type != "cpu" or is_sharded(self.model)):
            return torch.nn.utils.get_total_norm(there.values())
        norms = released | {parameter: norm(gradient) for parameter, gradient in there.items()}
        total: torch.Tensor = torch.linalg.vector_norm(torch.stack([norms[p] for p in parameters if p in norms]))
        return total

    def _gradients(self, batch: Sequence[NamedRow], step: int, seed: int) -> float:
        """Loss of the batch, its gradients in place."""
        while True:
            try:
                torch.manual_seed(seed + rank())  # each process draws for its own rows
                return self._forward_and_backward(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                at_once = min(self.micro_batch_size, math.ceil(len(batch) / world()))
                if at_once == 1:
                    raise _too_large(step, batch) from error
                if self.release is not None and self.release.updated:  # some weights have learned from this step
                    raise _too_many(step, at_once, RELEASED) from error
                if is_sharded(self.model):  # the other processes wait within this very pass
                    raise _too_many(step, at_once, TOGETHER) from error
            self.micro_batch_size = max(1, min(self.micro_batch_size, len(batch)) // 2)
            self.on_halved(self.micro_batch_size)

    def _forward_and_backward(self, batch: Sequence[NamedRow]) -> float:
        self.model.train()
        self.standing.begin_step(self.model.parameters())
        if self.release is not None:
            self.release.begin_step(active=len(batch) <= self.micro_batch_size)
        weight = sum(sum(named.row.weights) for named in batch)
        loss = 0.0
        for turn in turns(batch, self.micro_batch_size, together=is_sharded(self.model)):
            part = self._loss([named.row for named in turn.rows]) / weight * turn.counts
            loss += part.item()
            if self.release is None or math.isfinite(loss):  # nothing may learn from a loss that is none
                torch.autograd.backward(part)
        self.standing.hand_over()
        return loss

    def _loss(self, rows: list[EncodedRow]) -> torch.Tensor:
        alpha = self.settings.neftune_alpha
        noise = nullcontext() if alpha is None else noisy_embeddings(self.model, alpha, [len(row.ids) for row in rows])
        with noise, autocast(self.precision, self.model.device):
            return weighted_loss(self.model, rows, share_prefix=alpha is None)  # noise differs from row to row


def make_optimizer(
    model: Any, lr: float, weight_decay: float, precision: Precision, name: OptimizerName = "adamw"
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with decay on matrices only, not on norms and biases.

    For `bf16-pure` that of torch-optimi, whose Kahan summation keeps the small updates that bfloat16 would round away;
    its second moment decays by 0.99 a step: in bfloat16, 0.999 would stand still. Raises MissingExtra without it.
    """
    parameters = list(trained_parameters(model).values())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if name == "adamw-8bit":
        return eight_bit_adamw(groups, lr)
    if precision != "bf16-pure":
        return torch.optim.AdamW(groups, lr=lr, fused=True)
    try:
        from optimi import AdamW
    except ImportError as error:
        raise MissingExtra("precision bf16-pure (torch-optimi)", "gpu") from error
    optimizer = AdamW(groups, lr=lr, betas=(0.9, 0.99), eps=1e-8, kahan_sum=True, foreach=True)
    for group in optimizer.param_groups:  # as its first step would; a resumed training has its first step behind it
        group["setup"], group["step"] = True, torch.tensor(0, dtype=torch.int32)
    return optimizer  # type: ignore[no-any-return]


def _too_large(step: int, batch: Sequence[NamedRow]) -> TrainingFailed:
    longest = max(batch, key=lambda named: len(named.row.ids))
    return TrainingFailed(
        f"step {step + 1}: out of memory with one example at a time; the longest is {longest.example_id} with"
        f" {len(longest.row.ids)} tokens",
        hint="use a smaller model, method lora, or drop long entries with train.max_length",
    )


def _too_many(step: int, at_once: int, hint: str) -> TrainingFailed:
    what = f"step {step + 1}: out of memory with {at_once} examples a forward pass"
    return TrainingFailed(
        f"{what} in each process" if world() > 1 else what, hint=hint.format(fewer=max(1, at_once // 2))
    )


def _not_finite(loss: float, grad_norm: float, step: int, batch: Sequence[NamedRow]) -> TrainingFailed:
    ids = ", ".join(named.example_id for named in batch)
    gradient = f", gradient norm {grad_norm:g}" if math.isfinite(loss) else ""  # else there may have been none
    return TrainingFailed(
        f"step {step + 1}: loss {loss:g}{gradient}; the batch held the examples {ids}",
        hint=f"{CALMER}; set train.clip_norm if it is null; look at these examples",
    )
