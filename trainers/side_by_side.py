"""Attention over the rows of a flat sequence, laid side by side: each behind the prefix that all share.

Padding stands behind a row's own tokens, where causal attention never looks, so that no mask of padding is needed.
PyTorch's kernel for CPUs is made for long rows. Short ones, as instructions are, take the products of attention as they
stand in the paper (Vaswani et al. 2017, arXiv 1706.03762): up to 1.5 times as fast in float32, four times in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trainers.precision import working_dtype

WIDEST = 128
"""Places up to which short_row_attention was the faster one, in float32 and in bfloat16."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where tokens of the flat sequence (T) stand when rows lie side by side (R rows of S places, P of them shared).

    `places` (R·S,): flat index of the token at each place; a padding place repeats the row's last token.
    `origin` (T,): place of each flat token; a prefix token is read from the first row.
    """

    rows: int
    width: int
    prefix: int
    places: Tensor
    origin: Tensor
    _heads: dict[int, Heads] = field(default_factory=dict, repr=False, compare=False)

    def to(self, device: torch.device) -> Layout:
        """The same layout with its tensors on `device`."""
        return Layout(self.rows, self.width, self.prefix, self.places.to(device), self.origin.to(device))

    def of_heads(self, heads: int) -> Heads:
        """The layout of so many heads, each on its own."""
        if heads not in self._heads:
            self._heads[heads] = Heads.of(self, heads)
        return self._heads[heads]


@dataclass(frozen=True, slots=True)
class Heads:
    """A layout whose tokens are (token, head): `places` (R·H·S,) indexes T·H, `origin` (T·H,) indexes R·H·S."""

    places: Tensor
    origin: Tensor

    @classmethod
    def of(cls, layout: Layout, heads: int) -> Heads:
        """Head after head within a row, place after place within a head."""
        head = torch.arange(heads, device=layout.places.device)
        places = layout.places.view(layout.rows, 1, layout.width) * heads + head[:, None]
        row, place = layout.origin // layout.width, layout.origin % layout.width
        origin = (row[:, None] * heads + head) * layout.width + place[:, None]
        return cls(places.flatten(), origin.flatten())


def side_by_side(states: Tensor, layout: Layout) -> Tensor:
    """(1, H, T, D) to (R, H, S, D)."""
    tokens = states[0].transpose(0, 1).index_select(0, layout.places)  # (R·S, H, D)
    return tokens.view(layout.rows, layout.width, *tokens.shape[1:]).transpose(1, 2)


def causal_attention(  # noqa: PLR0913 - what transformers hands over
    query: Tensor,  # (1, heads, T, D)
    key: Tensor,  # (1, key heads, T, D)
    value: Tensor,
    layout: Layout,
    scale: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """Causal attention within each row of a flat sequence; a query sees `window` places up to its own.

    Returns (1, T, heads, D).
    """
    mask = _window_mask(layout.width, window, query.device)
    if mask is None and dropout == 0 and layout.width <= WIDEST and _on_cpu(query):
        return short_row_attention(query, key, value, layout, scale)
    q, k, v = (side_by_side(states, layout) for states in (query, key, value))
    out = functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        is_causal=mask is None,
        dropout_p=dropout,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    flat = out.transpose(1, 2).reshape(layout.rows * layout.width, *out.shape[1::2])
    return flat.index_select(0, layout.origin).unsqueeze(0)


def short_row_attention(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None) -> Tensor:
    """The same for all that came before, without dropout; scores are float32, under autocast too."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    dtype = working_dtype(query.device, query.dtype)
    with torch.autocast(query.device.type, enabled=False):  # it would take the scores in its own dtype
        found: Tensor = _ShortRows.apply(query, key, value, layout, scale, dtype)  # type: ignore[no-untyped-call]
    return found


def _on_cpu(query: Tensor) -> bool:
    dtype = working_dtype(query.device, query.dtype)
    return query.device.type == "cpu" and dtype in (torch.float32, torch.bfloat16)


def _window_mask(width: int, window: int | None, device: torch.device) -> Tensor | None:
    """None where plain causal attention will do; else (S, S), True where a query sees a key at most window - 1 back."""
    if window is None or width <= window:
        return None
    back = torch.arange(width, device=device)[:, None] - torch.arange(width, device=device)[None, :]
    return (back >= 0) & (back < window)


class _ShortRows(torch.autograd.Function):
    """softmax(q kᵀ · scale) v and its gradients; the queries of the heads that share a key are rows of one product."""

    @staticmethod
    def forward(  # noqa: PLR0913 - as above
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, dtype: torch.dtype
    ) -> Tensor:
        heads, tokens, size = query.shape[1:]
        groups, width = layout.rows * key.shape[1], layout.width
        of_query, of_key = layout.of_heads(heads), layout.of_heads(key.shape[1])
        q = _by_head(query.float(), of_query).view(groups, -1, size)  # (G, queries a key · S, D)
        k = _by_head(key.float(), of_key).view(groups, width, size)
        v = _by_head(value.to(dtype), of_key).view(groups, width, size)
        ahead = torch.full((width, width), float("-inf"), device=q.device).triu(1).repeat(heads // key.shape[1], 1)
        seen = torch.baddbmm(ahead.unsqueeze(0), q, k.transpose(1, 2), alpha=scale).softmax(-1).to(dtype)
        ctx.save_for_backward(q.to(dtype), k.to(dtype), v, seen)
        ctx.layout, ctx.scale, ctx.dtypes = layout, scale, (query.dtype, key.dtype, value.dtype)
        return torch.bmm(seen, v).view(-1, size).index_select(0, of_query.origin).view(1, tokens, heads, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, seen = ctx.saved_tensors
        layout, (of_query, of_key, of_value) = ctx.layout, ctx.dtypes
        heads, size = gradients[0].shape[2:]
        origin = layout.of_heads(heads).origin
        dy = gradients[0].reshape(-1, size).to(v.dtype)
        dout = (
            torch.zeros(q.numel() // size, size, dtype=v.dtype, device=v.device).index_copy_(0, origin, dy).view_as(q)
        )
        dv = torch.bmm(seen.transpose(1, 2), dout)
        dseen = torch.bmm(dout, v.transpose(1, 2)).float()
        dscore = torch._softmax_backward_data(dseen, seen.float(), -1, torch.float32).mul_(ctx.scale).to(v.dtype)
        dq, dk = torch.bmm(dscore, k), torch.bmm(dscore.transpose(1, 2), q)
        dq = dq.view(-1, size).index_select(0, origin).view(1, -1, heads, size).transpose(1, 2)
        return dq.to(of_query), _to_flat(dk, layout).to(of_key), _to_flat(dv, layout).to(of_value), None, None, None


def _by_head(states: Tensor, heads: Heads) -> Tensor:
    """(1, H, T, D) to (R·H·S, D)."""
    return states[0].transpose(0, 1).reshape(-1, states.shape[-1]).index_select(0, heads.places)


def _to_flat(found: Tensor, layout: Layout) -> Tensor:
    """The gradient of keys or values (R·H, S, D) as (1, H, T, D): what all rows brought to the prefix, added up."""
    heads, size = len(found) // layout.rows, found.shape[-1]
    flat = found.view(-1, size).index_select(0, layout.of_heads(heads).origin).view(-1, heads, size)
    if layout.prefix:
        others = found.view(layout.rows, heads, layout.width, size)[1:, :, : layout.prefix]
        flat[: layout.prefix] += others.sum(0).transpose(0, 1)
    return flat.transpose(0, 1).unsqueeze(0)
