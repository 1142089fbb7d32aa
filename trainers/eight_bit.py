"""AdamW with a state of 8 bits a number (Dettmers et al. 2022, arXiv 2110.02861): a quarter of the memory."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import MissingExtra


def eight_bit_adamw(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The AdamW of bitsandbytes over parameter groups; parameters of less than 4,096 numbers keep a state of 32 bits.

    Raises MissingExtra.
    """
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingExtra("optimizer adamw-8bit (bitsandbytes)", "gpu") from error
    return AdamW8bit(groups, lr=lr)  # type: ignore[no-any-return]
