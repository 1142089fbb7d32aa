"""Data parallelism: each process computes its share of every batch, and gradients are summed over all.

The loss is normalised by the whole batch in every process, so that sums over processes are those of one process. All
functions do the plain thing where no process group is initialised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed

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


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sum each parameter's gradient over all processes, in place; one that is None here counts as zero."""
    if world() == 1:
        return
    for parameter in parameters:
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
