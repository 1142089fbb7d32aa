"""Data parallelism: each process computes its share of every batch, and gradients are summed over all.

The loss is normalised by the whole batch in every process, so that sums over processes are those of one process. All
functions do the plain thing where no process group is initialised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

T = TypeVar("T")


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if _together() else 0


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def share(rows: Sequence[T]) -> Sequence[T]:
    """The rows that fall to this process; may be none."""
    return rows[rank() :: world()]


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """The rows of one pass of this process; `counts` is 0 for a pass that only keeps the others company, else 1."""

    rows: Sequence[T]
    counts: int


def turns(rows: Sequence[T], size: int, *, together: bool) -> Iterator[Turn[T]]:
    """Passes of at most `size` rows over this process's share; with `together`, as many in every process."""
    own = share(rows)
    for first in range(0, len(own), size):
        yield Turn(own[first : first + size], 1)
    if together:
        most = math.ceil(math.ceil(len(rows) / world()) / size)
        yield from [Turn(rows[:1], 0)] * (most - math.ceil(len(own) / size))


def said_by_first(value: bool, device: torch.device) -> bool:
    """What process 0 says, in every process."""
    return sum_over_all(float(value and rank() == 0), device) > 0


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sum each parameter's gradient over all processes, in place; one that is None here counts as zero.

    One that is None everywhere stays so, and its parameter does not decay. Those of a sharded model are summed in the
    backward pass already.
    """
    if world() == 1:
        return
    parameters = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    if not parameters:
        return
    used = torch.tensor([each.grad is not None for each in parameters], dtype=torch.uint8, device=parameters[0].device)
    distributed.all_reduce(used, distributed.ReduceOp.MAX)
    for parameter, somewhere in zip(parameters, used.tolist(), strict=True):
        if not somewhere:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)


def sum_over_all(value: float, device: torch.device) -> float:
    """Sum of a number over all processes."""
    if world() == 1:
        return value
    total: Tensor = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.item()


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world() > 1:
        distributed.barrier()


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
