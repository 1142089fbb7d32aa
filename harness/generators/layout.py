"""How weights lie in memory while a model answers: on the CPU, column by column."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


@torch.no_grad()
def lay_by_columns(model: Any) -> None:
    """Lay the matrices of linear layers out so that a few rows at a time are multiplied sooner; values stay.

    A step of decoding multiplies as many rows as the batch has. Where a matrix lies by rows, BLAS turns it over for
    every product, which takes as long as the product itself at eight rows. Embeddings, and a head that is tied to
    them, are read by rows and stay as they are, as do matrices on a GPU or in low precision.
    """
    embedded = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for module in model.modules():
        if not isinstance(module, nn.Linear) or id(module.weight) in embedded:
            continue
        weight = module.weight.data
        if weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous():
            module.weight.data = weight.t().contiguous().t()
