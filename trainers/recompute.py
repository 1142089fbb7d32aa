"""Gradient checkpointing: activations are computed again in the backward pass (Chen et al. 2016, arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import ModelError


@contextmanager
def recomputing(model: Any, wanted: bool) -> Iterator[None]:
    """Within the context, if `wanted`, each layer keeps its input only; dropout is drawn the same again.

    Raises ModelError for a model that cannot.
    """
    if not wanted:
        yield
        return
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"{type(model).__name__} cannot recompute activations", hint="leave train.gradient_checkpointing out"
        )
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    try:
        yield
    finally:
        model.activation_checkpointing_disable()
