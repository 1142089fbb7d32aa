"""Which arithmetic a model runs in: bfloat16 autocast pays only where the hardware multiplies bfloat16 natively."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "bf16-pure"]
"""`bf16`: weights in fp32, products in bfloat16 (autocast); `bf16-pure`: weights and optimizer in bfloat16 too."""


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """The GPU's name, or `cpu`."""
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"


def resolve(precision: Literal["auto"] | Precision) -> Precision:
    """`auto` is bf16 where the device has it in hardware, else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if _has_native_bf16() else "fp32"


def autocast(precision: Precision, on: torch.device) -> AbstractContextManager[object]:
    """The context in which forward passes run."""
    return torch.autocast(on.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def working_dtype(on: torch.device, otherwise: torch.dtype) -> torch.dtype:
    """That of products on a device, as things stand: autocast's, or `otherwise` where it is off."""
    return torch.get_autocast_dtype(on.type) if torch.is_autocast_enabled(on.type) else otherwise


@lru_cache(maxsize=1)
def _has_native_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _cpu_has_native_bf16(Path("/proc/cpuinfo"))


def _cpu_has_native_bf16(cpuinfo: Path) -> bool:
    """AVX-512 BF16, AMX or Arm's bf16; PyTorch's own check also passes CPUs that emulate it, slower than fp32."""
    if not cpuinfo.is_file():
        return False
    flags = set(cpuinfo.read_text().split())
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
