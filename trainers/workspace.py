"""Memory that layers use in turns while a model learns.

So that it is neither asked of the system anew at each use, which costs more than what is then done with it, nor long
out of the processor's cache.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor

PART_BYTES = 16 * 2**20
"""Gradients that are used together, at least: each use has a cost of its own."""
PARTS = 64
"""And of a large model, this part of its weights."""


def part_of(n_bytes: int) -> int:
    """Bytes of one part of weights that take `n_bytes`."""
    return max(PART_BYTES, n_bytes // PARTS)


Kind = tuple[int, torch.dtype, torch.device]
"""Numbers, dtype and device of a gradient: those of one kind stand in for one another."""


def _kind(matrix: Tensor) -> Kind:
    return matrix.numel(), matrix.dtype, matrix.device


@dataclass(slots=True, eq=False)
class Workspace:
    """Places and gradients for matrices of up to `largest` bytes; of 0, for none."""

    largest: int = 0
    _places: dict[tuple[str, torch.dtype, torch.device], Tensor] = field(default_factory=dict)
    _free: dict[Kind, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    _lent: Counter[Kind] = field(default_factory=Counter)
    _source: tuple[Tensor, int] | None = None
    _cast: Tensor | None = None

    def begin_step(self) -> None:
        """Whatever is lent is gone."""
        self._lent.clear()
        self.forget_input()

    def takes(self, weight: Tensor) -> bool:
        """Whether a matrix is small enough to share."""
        return weight.nbytes <= self.largest

    def place(self, name: str, like: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of this shape, with anything in it, until somebody else asks for the place of this name."""
        key = name, dtype, like.device
        if key not in self._places or self._places[key].numel() < like.numel():
            self._places[key] = torch.empty(like.numel(), dtype=dtype, device=like.device)
        return self._places[key][: like.numel()].view(like.shape)

    def lend(self, weight: Tensor) -> Tensor:
        """A gradient for a weight, with anything in it."""
        self._lent[_kind(weight)] += 1
        free = self._free[_kind(weight)]
        return free.pop().view(weight.shape) if free else torch.empty_like(weight, requires_grad=False)

    def take_back(self, gradient: Tensor) -> None:
        """Nobody needs this gradient any more; one that was not lent is let go."""
        kind = _kind(gradient)
        if self._lent[kind] > 0:
            self._lent[kind] -= 1
            self._free[kind].append(gradient)

    def input_as(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """A layer's input in `dtype`, cast once for all layers that get it one after the other."""
        if x.dtype == dtype:
            return x
        same = self._source is not None and self._source[0] is x and self._source[1] == x._version
        if self._cast is None or not same or self._cast.dtype != dtype:
            self._source, self._cast = (x, x._version), x.to(dtype)
        return self._cast

    def forget_input(self) -> None:
        """Hold no activation any longer."""
        self._source = self._cast = None
