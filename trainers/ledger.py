"""What a training costs: operations, memory, energy. Memory and energy are read where a counter is at hand."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
"""Energy counter of the first CPU package, in microjoules; wraps at max_energy_range_uj."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Meter:
    """Filled when the measured stretch ends."""

    peak_memory_bytes: int = 0
    energy_joules: float | None = None


@contextmanager
def metered() -> Iterator[Meter]:
    """Measure peak memory and energy of what runs within the context.

    Memory is the accelerator's where there is one, else the resident memory of this process; where its mark cannot be
    reset (other systems than Linux), it is the highest since the process began. Energy is that of the process's GPU, or
    of the whole machine without one.
    """
    meter, before = Meter(), _energy()
    _reset_peak()
    try:
        yield meter
    finally:
        meter.peak_memory_bytes = _peak()
        after = _energy()
        if before is not None and after is not None and after > before:
            meter.energy_joules = after - before


def training_flops(body: int, head: int, tokens: float, loss_tokens: float, *, trained: int) -> float:
    """Floating-point operations of training, attention's own products left out.

    `tokens`: as the rows have them. A prompt that rows of a batch share is computed once and counted in each: this is
    the work asked for, by which two trainers compare, not the work done.

    Each weight costs two operations a token in the forward pass, two for the gradient of the activations, and two more
    if it learns (Kaplan et al. 2020, arXiv 2001.08361). `body` weights work on all tokens; the `head` (output layer)
    on the loss-bearing ones. `trained`: how many weights learn; the head counts as one of them when all do.
    """
    learning_head = head if trained >= body else 0
    return 4.0 * (body * tokens + head * loss_tokens) + 2.0 * (
        min(trained, body) * tokens + learning_head * loss_tokens
    )


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        CLEAR.write_text("5")


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def _energy() -> float | None:
    """Joules since some time in the past: of this process's GPU if its driver says, of the CPU where there is none.

    Where there is a GPU and its driver says nothing, None: the CPU's share would pass for the whole.
    """
    if torch.cuda.is_available():
        with suppress(Exception):
            import pynvml

            pynvml.nvmlInit()
            unique = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByUUID(unique)) / 1e3  # type: ignore[no-any-return]
        return None
    with suppress(OSError, ValueError):
        return int(RAPL.read_text()) / 1e6
    return None
