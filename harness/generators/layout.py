"""How weights lie in memory while a model answers: in the dtype of its products and, on the CPU, column by column."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trainers.precision import Precision


@torch.no_grad()
def keep_low(model: Any, precision: Precision) -> None:
    """For bfloat16, give linear layers the weights that autocast would make anew in every step; values stay.

    Embeddings and norms stay as they are: a head that is tied to the embedding has weights of its own afterwards.
    """
    if precision != "bf16":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(parameter.to(torch.bfloat16), requires_grad=False))


@torch.no_grad()
def lay_by_columns(model: Any) -> None:
    """Lay the matrices of linear layers out so that a few rows at a time are multiplied sooner; values stay.

    A step of decoding multiplies as many rows as the batch has. Where a matrix lies by rows, BLAS turns it over for
    every product, which takes as long as the product itself at eight rows. A head that is tied to the embedding takes
    it along: looking up a token then reads a column, which is little beside a product of the size of the vocabulary.
    Matrices on a GPU or in low precision stay as they are.
    """
    for module in model.modules():
        if not isinstance(module, nn.Linear):
            continue
        weight = module.weight.data
        if weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous():
            module.weight.data = weight.t().contiguous().t()
