"""Gradient release: weights learn while the backward pass is under way, and a gradient that was used is forgotten.

Where one backward pass is a whole step and nothing looks at the whole gradient first, this changes no number, and the
gradients of a full training, a quarter of what it keeps, are never there at once (Pudipeddi et al. 2020,
arXiv 2002.05645; Lv et al. 2023, arXiv 2306.09782).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from harness.records.settings import TrainSettings
from trainers.distributed import world
from trainers.precision import Precision
from trainers.standing import StandingGradients
from trainers.workspace import part_of


def in_one_pass(settings: TrainSettings) -> bool:
    """Whether a step's batch is one forward and one backward pass."""
    return settings.micro_batch_size is None or settings.micro_batch_size >= settings.batch_size


def can_release(settings: TrainSettings, precision: Precision) -> bool:
    """Whether a step's gradients may be used before they are all there: nothing clips, sums or gathers them."""
    plain = settings.optimizer == "adamw" and precision != "bf16-pure"
    return in_one_pass(settings) and plain and settings.clip_norm is None and world() == 1


@dataclass(slots=True)
class GradientRelease:
    """Lets the optimizer use the gradients that autograd has finished, a part at a time."""

    optimizer: torch.optim.Optimizer
    standing: StandingGradients
    part_bytes: int
    active: bool = False
    updated: bool = False
    """Whether weights have changed in this step: it cannot be tried again."""
    norms: dict[nn.Parameter, Tensor] = field(default_factory=dict)
    _finished: list[nn.Parameter] = field(default_factory=list)

    def begin_step(self, *, active: bool) -> None:
        """Forget the last step. Unless `active`, gradients stay where they are until the step ends."""
        self.active, self.updated = active, False
        self.norms.clear()
        self._finished.clear()

    def take(self, parameter: nn.Parameter) -> None:
        """The gradient of a parameter is finished."""
        assert parameter.grad is not None  # noqa: S101 - autograd says so after it put it there
        if not self.active:
            return
        self.norms[parameter] = norm(parameter.grad)
        self._finished.append(parameter)
        if sum(each.nbytes for each in self._finished) >= self.part_bytes:
            self.flush()

    def flush(self) -> None:
        """Let what is finished learn."""
        self.updated = True
        groups, finished = self.optimizer.param_groups, set(self._finished)
        everything = [group["params"] for group in groups]
        try:  # the optimizer is not to look through all that has no gradient yet, part after part
            for group in groups:
                group["params"] = [parameter for parameter in group["params"] if parameter in finished]
            self.optimizer.step()
        finally:
            for group, parameters in zip(groups, everything, strict=True):
                group["params"] = parameters
        for parameter in self._finished:
            self.standing.forget(parameter)
        self._finished.clear()


def norm(gradient: Tensor) -> Tensor:
    """The 2-norm. In float32 on a CPU by an inner product, which is over in a third of the time."""
    if gradient.device.type != "cpu" or gradient.dtype != torch.float32 or not gradient.is_contiguous():
        found: Tensor = torch.linalg.vector_norm(gradient)
        return found
    flat = gradient.view(-1)
    return torch.dot(flat, flat).sqrt()


@contextmanager
def gradient_release(
    optimizer: torch.optim.Optimizer, standing: StandingGradients, wanted: bool
) -> Iterator[GradientRelease | None]:
    """Within the context, if `wanted`, the optimizer's parameters learn during an active backward pass.

    Those with a standing buffer learn after it: theirs is collected from several places.
    """
    if not wanted:
        yield None
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    release = GradientRelease(optimizer, standing, part_of(sum(each.nbytes for each in parameters)))
    handles = []
    for parameter in parameters:
        slot = standing.slots.get(parameter)
        buffered = slot is not None and slot.gradient is not None
        hook = (lambda _, slot=slot: slot.add_autograds()) if buffered else release.take
        handles.append(parameter.register_post_accumulate_grad_hook(hook))
    try:
        yield release
    finally:
        for handle in handles:
            handle.remove()
