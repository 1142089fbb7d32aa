"""Gradients of large matrices in buffers that stand for the whole training.

Autograd makes each weight gradient anew, zero-fills one of the size of the vocabulary for the embedding, and adds it to
that of a tied output layer: in a step of a few hundred tokens this moves more memory than the mathematics. Here linear
layers and embeddings write their weight gradients straight into a buffer, overwriting it the first time in a step and
adding after that; under autocast layers that get the same input cast it once, and weights are kept in low precision
until these change or, where a step is one pass, cast anew where they are used, all in one place (trainers.workspace).
The values are autograd's.

Where gradients are released during the backward pass (trainers.gradient_release), only the matrices that collect one
from several places have a buffer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trainers.precision import working_dtype
from trainers.workspace import Workspace, part_of

BLOCK_BYTES = 4 * 2**20
"""Most memory for the part of a weight gradient that waits in low precision to be added to its buffer."""


@dataclass(slots=True, eq=False)
class Slot:
    """Where one matrix's gradient is collected, and its copy in autocast's dtype.

    `gradient`: None where autograd keeps it; `fresh`: nothing of this step is in it yet; `stale`: the weight may have
    changed since it was copied.
    """

    weight: nn.Parameter
    gradient: Tensor | None
    workspace: Workspace
    fresh: bool = True
    low: Tensor | None = None
    stale: bool = True

    def add_product(self, left: Tensor, right: Tensor) -> Tensor | None:
        """Add the matrix product left @ right to the gradient, or give it, for autograd to keep."""
        if self.gradient is None:
            return self._product(left, right)
        if left.dtype == self.gradient.dtype:
            if self.fresh:
                torch.mm(left, right, out=self.gradient)
            else:
                self.gradient.addmm_(left, right)
        else:
            for block in _blocks(len(left), right.shape[-1] * left.element_size()):
                place = self.workspace.place("product", self.gradient[block], left.dtype)
                product = torch.mm(left[block], right, out=place)
                self.gradient[block].copy_(product) if self.fresh else self.gradient[block].add_(product)
        self.fresh = False
        return None

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        if not self.workspace.takes(self.weight):
            return (left @ right).to(self.weight.dtype)
        found = self.workspace.lend(self.weight)
        if left.dtype == found.dtype:
            return torch.mm(left, right, out=found)
        return found.copy_(torch.mm(left, right, out=self.workspace.place("product", found, left.dtype)))

    def add_rows(self, index: Tensor, rows: Tensor) -> None:
        """Add `rows[i]` to row `index[i]` of the gradient; equal indices add up."""
        assert self.gradient is not None  # noqa: S101 - an embedding's always stands
        if self.fresh:
            self.gradient.zero_()
        self.gradient.index_add_(0, index, rows.to(self.gradient.dtype))
        self.fresh = False

    def add_autograds(self) -> None:
        """Add what autograd brought (a matrix used beside its layer's forward, as in a norm of weights)."""
        if self.gradient is None or self.weight.grad is None or self.weight.grad is self.gradient:
            return
        if self.fresh:
            self.gradient.copy_(self.weight.grad)
        else:
            self.gradient.add_(self.weight.grad)
        self.weight.grad, self.fresh = None, False

    def weight_as(self, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`; it may be gone when another matrix asks for its own."""
        if dtype == self.weight.dtype:
            return self.weight.detach()
        if self.workspace.takes(self.weight):
            return self.workspace.place("weight", self.weight, dtype).copy_(self.weight.detach())
        if self.low is None or self.low.dtype != dtype:
            self.low, self.stale = torch.empty_like(self.weight, dtype=dtype, requires_grad=False), True
        if self.stale:
            self.low.copy_(self.weight.detach())
            self.stale = False
        return self.low


def _blocks(rows: int, row_bytes: int) -> list[slice]:
    size = max(1, BLOCK_BYTES // row_bytes)
    return [slice(first, first + size) for first in range(0, rows, size)]


@dataclass(slots=True)
class StandingGradients:
    """The slots of a model's matrices; every other parameter's gradient is left to autograd."""

    workspace: Workspace = field(default_factory=Workspace)
    slots: dict[nn.Parameter, Slot] = field(default_factory=dict)

    def begin_step(self, parameters: Iterator[nn.Parameter]) -> None:
        """Forget the gradients of the last step, whose weights may have changed since."""
        for parameter in parameters:
            self.forget(parameter)
        for slot in self.slots.values():
            slot.fresh = slot.stale = True
        self.workspace.begin_step()

    def forget(self, parameter: nn.Parameter) -> None:
        """Nobody needs this parameter's gradient any more."""
        slot = self.slots.get(parameter)
        if parameter.grad is not None and slot is not None and slot.gradient is None:
            slot.workspace.take_back(parameter.grad)
        parameter.grad = None

    def hand_over(self) -> None:
        """After the last backward pass of a step: gradients become `parameter.grad`; an unused matrix has none.

        What follows changes the weights, and a validation may see them before the next step begins.
        """
        self.workspace.forget_input()
        for parameter, slot in self.slots.items():
            slot.stale = True
            slot.add_autograds()
            if slot.gradient is not None and not slot.fresh:
                parameter.grad = slot.gradient


@contextmanager
def standing_gradients(
    model: nn.Module, *, one_pass: bool = False, released: bool = False
) -> Iterator[StandingGradients]:
    """Within the context the model's learning linear layers and embeddings collect gradients in slots.

    Layers of a subclass (quantised, scaled, an adapter's) are left to autograd, with every matrix that they share.
    `one_pass`: a step uses each weight once. `released`: a matrix of one linear layer gets no buffer, since its
    gradient is used up at once.
    """
    everything = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    standing = StandingGradients(Workspace(part_of(everything) if one_pass or released else 0))
    users: dict[nn.Parameter, list[tuple[str, nn.Module]]] = defaultdict(list)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            users[parameter].append((name, module))
    patched: list[nn.Module] = []
    try:
        for parameter, places in users.items():
            modules = [module for _, module in places]
            plain = all(name == "weight" and _is_plain(module) for name, module in places)
            if parameter.requires_grad and parameter.ndim == 2 and plain:
                alone = released and len(modules) == 1 and isinstance(modules[0], nn.Linear)
                buffer = None if alone else torch.zeros_like(parameter, requires_grad=False)
                slot = standing.slots[parameter] = Slot(parameter, buffer, standing.workspace)
                for module in modules:
                    module.forward = _forward(module, slot)
                patched += modules
        yield standing
    finally:
        for module in patched:
            del module.forward


def _is_plain(module: nn.Module) -> bool:
    if "forward" in vars(module):  # somebody's own, as a hook of accelerate's
        return False
    if type(module) is nn.Embedding:
        return not (module.sparse or module.scale_grad_by_freq or module.max_norm)
    return type(module) is nn.Linear


def _forward(module: nn.Module, slot: Slot) -> Any:
    if isinstance(module, nn.Embedding):
        padding = module.padding_idx
        return lambda ids: _Embedding.apply(ids, module.weight, padding, slot)  # type: ignore[no-untyped-call]
    return lambda x: _Linear.apply(x, module.weight, module.bias, slot)  # type: ignore[no-untyped-call]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, slot: Slot) -> Tensor:
        dtype = working_dtype(x.device, weight.dtype)
        x = slot.workspace.input_as(x, dtype)
        ctx.save_for_backward(x)
        ctx.slot, ctx.has_bias = slot, bias is not None
        return functional.linear(x, slot.weight_as(dtype), None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (x,) = ctx.saved_tensors
        dy = gradients[0].reshape(-1, gradients[0].shape[-1])
        dx = (dy @ ctx.slot.weight_as(x.dtype)).view(x.shape) if ctx.needs_input_grad[0] else None
        dw = ctx.slot.add_product(dy.t(), x.reshape(-1, x.shape[-1]))
        return dx, dw, dy.sum(0) if ctx.has_bias else None, None


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor, padding: int | None, slot: Slot) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.slot, ctx.padding = slot, padding
        return functional.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None]:
        (ids,) = ctx.saved_tensors
        index, rows = ids.flatten(), gradients[0].reshape(-1, gradients[0].shape[-1])
        if ctx.padding is not None:  # as in torch: the padding entry does not learn
            rows = rows * (index != ctx.padding).unsqueeze(1)
        ctx.slot.add_rows(index, rows)
        return None, None, None, None
