"""The masked loss from hidden states: logits of a large batch are never formed all at once.

A batch whose logits fit in `LOGITS_BYTES` forms them. A larger one goes through liger-kernel's fused linear cross
entropy on a GPU where that is installed, else through the output layer in pieces whose logits are formed, freed, and
formed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

LOGITS_BYTES = 256 * 2**20
"""Most memory that logits may take at once in float32; their gradients and exponentials come on top."""

PART_BYTES = 2 * 2**20
"""Most memory for what the loss needs beside the logits."""

LIGER = (0, 8, 5)
"""The first liger-kernel whose gradients are right where each token has a weight of its own."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What carries loss: at flat index `sources[rows[i]]` the model predicts `tokens[i]`, with weight `weights[i]`.

    No source comes twice, and no pair of row and token: gradients then never meet in one place, where the order of
    threads would decide their last bits.
    """

    sources: Tensor  # (U,)
    rows: Tensor  # (N,)
    tokens: Tensor  # (N,)
    weights: Tensor  # (N,) float32

    def to(self, device: torch.device) -> Targets:
        """The same with all tensors on `device`."""
        return Targets(*(tensor.to(device) for tensor in (self.sources, self.rows, self.tokens, self.weights)))


Way = Literal["at once", "in pieces", "liger"]


def way(model: Any, n_rows: int, device: torch.device) -> Way:
    """How the loss of so many rows of logits is computed on a device."""
    head = model.get_output_embeddings()
    if getattr(model.config, "final_logit_softcapping", None) is not None:
        return "at once"  # the model works on the logits after its output layer
    if 4 * n_rows * head.weight.shape[0] <= LOGITS_BYTES:
        return "at once"
    return "liger" if device.type == "cuda" and type(head) is nn.Linear and _liger_is_there() else "in pieces"


@lru_cache(maxsize=1)
def _liger_is_there() -> bool:
    try:
        return tuple(int(part) for part in version("liger-kernel").split(".")[:3]) >= LIGER
    except (PackageNotFoundError, ValueError):
        return False


@contextmanager
def loss_in_head(model: Any, targets: Targets, chosen: Way) -> Iterator[None]:
    """Within the context the output layer gives the loss, as one number (1,), in the place of logits.

    In the layer's own place, so that whatever gathers or quantises its weights for a forward pass has done so.
    """
    head = model.get_output_embeddings()
    former = vars(head).get("forward")
    forward = head.forward

    def loss(hidden: Tensor) -> Tensor:
        if chosen == "liger":
            return _by_liger(head, hidden[0], targets).reshape(1)
        size = max(1, LOGITS_BYTES // (4 * head.weight.shape[0]))
        return _in_pieces(forward, hidden[0], targets, size).reshape(1)

    head.forward = loss
    try:
        yield
    finally:
        if former is None:
            del head.forward
        else:
            head.forward = former


def _in_pieces(head: Callable[[Tensor], Tensor], hidden: Tensor, targets: Targets, size: int) -> Tensor:
    """Sum of weighted cross entropies; `hidden` (U, H), of which `size` rows at a time become logits."""
    order = targets.rows.argsort(stable=True)
    rows = targets.rows[order]
    firsts = torch.arange(0, len(hidden) + size, size, device=rows.device)
    bounds = torch.searchsorted(rows, firsts).tolist()

    def piece(part: Tensor, first: int, chosen: Tensor) -> Tensor:
        return cross_entropy(head(part), targets.rows[chosen] - first, targets.tokens[chosen], targets.weights[chosen])

    total = torch.zeros((), device=hidden.device)
    for number, (start, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        first = number * size
        total = total + checkpoint(
            piece,
            hidden[first : first + size],
            first,
            order[start:end],
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is drawn behind the last layer
        )
    return total


def _by_liger(head: nn.Linear, hidden: Tensor, targets: Targets) -> Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    bias = None if head.bias is None else head.bias.to(hidden.dtype)
    states, weight = hidden.index_select(0, targets.rows), head.weight.to(hidden.dtype)
    losses = liger_fused_linear_cross_entropy(states, weight, targets.tokens, bias=bias, reduction="none")  # (N,)
    return torch.dot(losses, targets.weights)


def cross_entropy(logits: Tensor, rows: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights[i] × cross entropy of logits[rows[i]] (U, V) against tokens[i], in nats; see Targets.

    The backward pass writes the gradient in the place of the logits.
    """
    return _WeightedCrossEntropy.apply(logits, rows, tokens, weights)  # type: ignore[no-any-return,no-untyped-call]


class _WeightedCrossEntropy(torch.autograd.Function):
    """Several targets a row of logits (the softmax's own gradient, written out)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
        highest = logits.amax(dim=-1, keepdim=True).float()  # subtracted first: what is small then keeps its digits
        log_sums = torch.cat([_shifted(*part).exp_().sum(dim=-1) for part in _parts(logits, highest)]).log()  # (U,)
        ctx.save_for_backward(logits, highest, log_sums, rows, tokens, weights)
        return torch.dot(log_sums[rows] - (logits[rows, tokens].float() - highest[rows, 0]), weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        logits, highest, log_sums, rows, tokens, weights = ctx.saved_tensors
        scaled = weights * gradients[0]
        of_row = torch.zeros_like(log_sums).index_add_(0, rows, scaled)
        of_target = (logits[rows, tokens].float() - highest[rows, 0] - log_sums[rows]).exp_() * of_row[rows] - scaled
        for part, top, log_sum, weight in _parts(logits, highest, log_sums[:, None], of_row[:, None]):
            part.copy_(_shifted(part, top).sub_(log_sum).exp_().mul_(weight))  # nobody else reads them any more
        logits[rows, tokens] = of_target.to(logits.dtype)
        return logits, None, None, None


def _shifted(logits: Tensor, highest: Tensor) -> Tensor:
    wide = logits.float()
    return wide - highest if wide is logits else wide.sub_(highest)


def _parts(logits: Tensor, *of_rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """A few rows at a time, so that what is made of them is small beside the logits."""
    size = max(1, PART_BYTES // (4 * logits.shape[-1]))
    return zip(*(torch.split(each, size) for each in (logits, *of_rows)), strict=True)
