"""Activations that are computed again in the backward pass instead of being kept (Chen et al. 2016, arXiv 1604.06174).

Whole layers where it is asked for: gradient checkpointing. And always what a gated feed-forward layer (Shazeer 2020,
arXiv 2002.05202) makes of its two projections: half of what it keeps, and cheap to make again. The values are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import ModelError

GATED = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "GemmaMLP", "Gemma3MLP", "SmolLM3MLP", "Olmo2MLP"})
"""Classes whose forward is `down_proj(act_fn(gate_proj(x)) * up_proj(x))`."""


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


@contextmanager
def lean_gates(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Within the context, if `wanted`, gated feed-forward layers keep their two projections only."""
    patched = [module for module in model.modules() if wanted and type(module).__name__ in GATED]
    for module in patched:
        module.forward = _lean(module)
    try:
        yield
    finally:
        for module in patched:
            del module.forward


def _lean(layer: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        gate, up = layer.gate_proj(x), layer.up_proj(x)
        hidden = _Gated.apply(gate, up, layer.act_fn)  # type: ignore[no-untyped-call]
        kept, place = (gate.detach(), up.detach()), hidden.data_ptr()

        def pack(saved: Tensor) -> Any:
            same = saved.data_ptr() == place and saved.numel() == gate.numel() and saved.dtype == gate.dtype
            return (kept, saved.shape) if same else saved

        def unpack(packed: Any) -> Tensor:
            if isinstance(packed, Tensor):
                return packed
            (gate, up), shape = packed
            again: Tensor = layer.act_fn(gate) * up
            return again.view(shape)

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            down: Tensor = layer.down_proj(hidden)
        return down

    return forward


class _Gated(torch.autograd.Function):
    """act(gate) * up, of which the two are kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, act: Any) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.act = act
        product: Tensor = act(gate) * up
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up = ctx.saved_tensors
        with torch.enable_grad():
            gate = gate.detach().requires_grad_()
            activated = ctx.act(gate)
        (of_gate,) = torch.autograd.grad(activated, gate, gradients[0] * up)
        return of_gate, gradients[0] * activated.detach(), None
