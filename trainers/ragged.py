"""Attention over rows of different lengths without any padding: FlashAttention's kernels for variable lengths.

They take float16 and bfloat16 on a GPU; elsewhere rows lie side by side (trainers.packing). As everywhere, rows share
one copy of their common prefix: a kernel sees it as a row of its own, and the keys of every row are prefix and row.
Of queries that are fewer than the keys, the kernels take the last to stand at the last key: just so a row stands behind
its prefix.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from trainers.precision import working_dtype

Kernel = Literal["flash-attn", "torch"]
WIDEST_HEAD = 256


@dataclass(frozen=True, slots=True)
class Ragged:
    """Where the rows of a flat sequence (T) begin and end, for a kernel; a prefix is the first of them.

    `keys` (K,): flat indices of the rows' keys, row after row, each behind the prefix; None where these are the flat
    sequence itself. `query_bounds`, `key_bounds` (rows + 1,) int32: where each row begins among queries and keys.
    """

    kernel: Kernel
    keys: Tensor | None
    query_bounds: Tensor
    key_bounds: Tensor
    most_queries: int
    most_keys: int

    @classmethod
    def of(cls, kernel: Kernel, prefix: int, starts: Sequence[int], lengths: Sequence[int]) -> Ragged:
        """`starts[r]`: flat index of row r's first token after the prefix; `lengths[r]`: with the prefix."""
        own = [length - prefix for length in lengths]
        queries, keys = ([prefix, *own], [prefix, *lengths]) if prefix else (own, list(lengths))
        shared = list(range(prefix))
        places = shared + [
            place for start, n in zip(starts, own, strict=True) for place in [*shared, *range(start, start + n)]
        ]
        return cls(
            kernel, torch.tensor(places) if prefix else None, _bounds(queries), _bounds(keys), max(queries), max(keys)
        )

    def to(self, device: torch.device) -> Ragged:
        """The same with its tensors on `device`."""
        return replace(
            self,
            keys=None if self.keys is None else self.keys.to(device),
            query_bounds=self.query_bounds.to(device),
            key_bounds=self.key_bounds.to(device),
        )


def _bounds(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


# ---------------------------------------------------------------- which kernel


def kernel_for(model: Any) -> Kernel | None:
    """The kernel for a forward pass of this model as things stand (device, autocast, dropout); None: side by side."""
    config, device = model.config.get_text_config(), model.device
    dtype = working_dtype(device, model.dtype)
    dropout = max(getattr(config, name, 0.0) or 0.0 for name in ("attention_dropout", "attn_pdrop"))
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if device.type != "cuda":
        return None
    return choose(
        dtype, width, dropout if model.training else 0.0, torch.cuda.get_device_capability(device), installed()
    )


def choose(
    dtype: torch.dtype, width: int, dropout: float, capability: tuple[int, int], there: frozenset[Kernel]
) -> Kernel | None:
    """The kernel for heads of `width` on a GPU of this compute capability, out of those that are there."""
    if dtype not in (torch.float16, torch.bfloat16) or width > WIDEST_HEAD or width % 8 or capability < (8, 0):
        return None
    if "flash-attn" in there:
        return "flash-attn"
    return "torch" if "torch" in there and dropout == 0 else None  # PyTorch's draws no dropout


@lru_cache(maxsize=1)
def installed() -> frozenset[Kernel]:
    """Kernels that this Python has: the package flash-attn, and PyTorch's own from 2.11 on."""
    there: set[Kernel] = set()
    with suppress(ImportError):  # a folder of that name may hold other versions' modules only, or a broken build
        from flash_attn import flash_attn_varlen_func  # noqa: F401

        there.add("flash-attn")
    if find_spec("torch.nn.attention.varlen") is not None:
        from torch.nn.attention.varlen import varlen_attn

        if {"enable_gqa", "window_size"} <= inspect.signature(varlen_attn).parameters.keys():
            there.add("torch")
    return frozenset(there)


# ---------------------------------------------------------------- attention


class Attend(Protocol):
    """A kernel: queries (Tq, heads, D), keys and values (Tk, key heads, D); returns (Tq, heads, D).

    A query sees `window` positions up to its own; None: all.
    """

    def __call__(  # noqa: D102, PLR0913 - described above
        self, q: Tensor, k: Tensor, v: Tensor, rows: Ragged, *, scale: float | None, dropout: float, window: int | None
    ) -> Tensor: ...


def _flash_attn(  # noqa: PLR0913 - see Attend
    q: Tensor, k: Tensor, v: Tensor, rows: Ragged, *, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    found: Tensor = flash_attn_varlen_func(
        q,
        k,
        v,
        rows.query_bounds,
        rows.key_bounds,
        rows.most_queries,
        rows.most_keys,
        dropout_p=dropout,
        softmax_scale=scale,
        causal=True,
        window_size=_back(window),
    )
    return found


def _torch(  # noqa: PLR0913 - see Attend
    q: Tensor, k: Tensor, v: Tensor, rows: Ragged, *, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    found = varlen_attn(
        q,
        k,
        v,
        rows.query_bounds,
        rows.key_bounds,
        rows.most_queries,
        rows.most_keys,
        scale=scale,
        window_size=_back(window),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return found if isinstance(found, Tensor) else found[0]


def _back(window: int | None) -> tuple[int, int]:
    """(how far back, how far ahead) a query sees; -1: without limit."""
    return (-1 if window is None else window - 1, 0)


KERNELS: dict[Kernel, Attend] = {"flash-attn": _flash_attn, "torch": _torch}


def ragged_attention(  # noqa: PLR0913 - what transformers hands over
    query: Tensor,  # (1, heads, T, D)
    key: Tensor,  # (1, key heads, T, D)
    value: Tensor,
    rows: Ragged,
    scale: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """Causal attention within each row of a flat sequence; returns (1, T, heads, D).

    Under autocast a norm or a quantised layer may have left the states in float32: they are cast to autocast's dtype.
    """
    dtype = working_dtype(value.device, value.dtype)
    q, k, v = (states[0].transpose(0, 1).to(dtype) for states in (query, key, value))  # (T, H, D)
    if rows.keys is not None:
        k, v = k.index_select(0, rows.keys), v.index_select(0, rows.keys)
    return KERNELS[rows.kernel](q, k, v, rows, scale=scale, dropout=dropout, window=window).unsqueeze(0)
