"""Noise on embeddings while training (NEFTune: Jain et al. 2023, arXiv 2310.05914)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def noisy_embeddings(model: Any, alpha: float, lengths: Sequence[int]) -> Iterator[None]:
    """Within the context, each input embedding of a training model gets uniform noise of ±alpha / sqrt(L · d).

    `lengths`: tokens of each row of the batch, L in the formula; d is the embedding's width. Rows come end to end
    (padding-free, without a shared prefix) or side by side (padded).
    """

    def add_noise(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        tokens = torch.tensor(lengths, device=output.device)
        flat = output.shape[0] == 1
        length = tokens.repeat_interleave(tokens)[None, :, None] if flat else tokens[:, None, None]
        scale = alpha / (length * output.shape[-1]).sqrt()
        return output + (torch.rand_like(output) * 2 - 1) * scale.to(output.dtype)

    hook = model.get_input_embeddings().register_forward_hook(add_noise)
    try:
        yield
    finally:
        hook.remove()
