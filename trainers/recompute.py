"""Activations that are computed again in the backward pass instead of being kept (Chen et al. 2016, arXiv 1604.06174).

Whole layers where it is asked for: gradient checkpointing. And always what a gated feed-forward layer (Shazeer 2020,
arXiv 2002.05202) makes of its two projections, half of what it keeps, with values that stay the same; and what RMSNorm
(Zhang and Sennrich 2019, arXiv 1910.07467) scales, with its gradient written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.errors import ModelError

GATED = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "GemmaMLP", "Gemma3MLP", "SmolLM3MLP", "Olmo2MLP"})
"""Classes whose forward is `down_proj(act_fn(gate_proj(x)) * up_proj(x))`."""
NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm", "SmolLM3RMSNorm"})
"""Classes whose forward is `weight * (x / rms(x))`, the quotient in float32 and rounded to x's dtype."""


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
    with _patched(model, GATED if wanted else frozenset(), _lean):
        yield


@contextmanager
def lean_norms(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Within the context, if `wanted`, RMSNorm keeps its input and one number a token only."""
    with _patched(model, NORMS if wanted else frozenset(), _norm):
        yield


@contextmanager
def _patched(model: nn.Module, names: frozenset[str], forward: Callable[[Any], Any]) -> Iterator[None]:
    """Within the context modules of these classes of transformers have the forward that is made for them.

    A class of that name from elsewhere may compute something else, and a module may have a forward of its own already.
    """
    patched = [
        module
        for module in model.modules()
        if type(module).__name__ in names and type(module).__module__.startswith("transformers.models.")
        if "forward" not in vars(module)
    ]
    for module in patched:
        module.forward = forward(module)
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
            alike = saved.numel() == gate.numel() and saved.dtype == gate.dtype and saved.is_contiguous()
            return (kept, saved.shape) if alike and saved.data_ptr() == place else saved

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
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up = ctx.saved_tensors
        with torch.enable_grad():
            gate = gate.detach().requires_grad_()
            activated = ctx.act(gate)
        (of_gate,) = torch.autograd.grad(activated, gate, gradients[0] * up)
        return of_gate, gradients[0] * activated.detach(), None


def _norm(layer: Any) -> Any:
    return lambda x: _RMSNorm.apply(x, layer.weight, layer.variance_epsilon)  # type: ignore[no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    """x (..., H) over its root mean square, times weight (H,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, scale)
        return weight * (wide * scale).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        normed, dy, wide = x.float() * scale, gradients[0].float(), weight.float()
        product = dy * normed
        along = torch.matmul(product, wide).unsqueeze(-1) / x.shape[-1]  # the part that changes the length of x only
        dx = torch.addcmul(dy * wide, normed, along, value=-1).mul_(scale).to(x.dtype)
        return dx, product.flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None, None
