"""torch.compile of a model's layers, one by one: equal layers share their compiled code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface

from harness.errors import ModelError
from trainers.layers import layers
from trainers.packing import padding_free_attention


@contextmanager
def compiled_layers(model: Any, wanted: bool) -> Iterator[None]:
    """Within the context, if `wanted`, layers run as compiled code, for batches of any length.

    Attention over flat batches is left as it is: a kernel of its own. Raises ModelError for an architecture that does
    not name its layers.
    """
    if not wanted:
        yield
        return
    chosen = layers(model)
    if not chosen:
        raise ModelError(f"{type(model).__name__} does not name its layers", hint="leave train.compile out")
    AttentionInterface.register("padding_free", torch.compiler.disable(padding_free_attention))  # type: ignore[no-untyped-call]
    for layer in chosen:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        AttentionInterface.register("padding_free", padding_free_attention)
        for layer in chosen:
            layer._compiled_call_impl = None
