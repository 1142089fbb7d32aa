"""Memory of the device: when it ran out, and giving back what nobody uses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from harness.errors import HarnessError


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on an accelerator or on the CPU (whose allocator raises a plain RuntimeError)."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def running_out_is(told: Callable[[], HarnessError]) -> Iterator[None]:
    """Within the context, memory that runs out is the error that `told` makes. A new one each time: an error holds the
    frames that it went through, and what was in them.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise told() from error


def release() -> None:
    """Give the GPU memory back that PyTorch keeps for later, for another process or engine."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
