"""Sequences that grow by a token a step and come and go: one forward pass reads new prompts and extends the others.

`FlatDecoding` keeps its own key/value store inside the attention function: linear layers see one flat sequence without
padding, newest tokens of the rows that are there first, then the prompts that join. What all prompts begin with is read
once. `PaddedDecoding` uses transformers' cache for architectures that do not take flat batches: rows may leave at any
time, but others join only when all have left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache

from trainers.packing import flatten, shared_prefix, takes_flat_batches
from trainers.side_by_side import Layout, side_by_side


class Decoding(Protocol):
    """Rows in the middle of decoding."""

    @property
    def room(self) -> int:
        """How many prompts may join now."""

    def advance(self, tokens: Sequence[int], joining: Sequence[Sequence[int]]) -> Tensor:
        """Append one token to each row, then make a row of each joining prompt; (R, V) logits of every row's next."""

    def drop(self, place: int) -> None:
        """Take a row out; the last row moves into its place."""


def start_decoding(model: Any, prompts: Sequence[Sequence[int]], slots: int, max_new_tokens: int) -> Decoding:
    """Room for `slots` rows at once, which may be any of the prompts; inside `padding_free(model, ATTENTION)`.

    `max_new_tokens`: the most that any row will grow by.
    """
    if takes_flat_batches(model):
        return FlatDecoding(model, prompts, slots, max_new_tokens)
    return PaddedDecoding(model, slots)


# ---------------------------------------------------------------- own key/value store


@dataclass(slots=True)
class Joining:
    """Prompts that are being read: where their tokens lie when rows lie side by side, without the prefix."""

    layout: Layout
    lengths: tuple[int, ...]


class KeyValueStore:
    """Keys and values of all layers, (slots, key heads, columns, D). A row's tokens fill its columns from the left."""

    def __init__(self, slots: int, columns: int) -> None:
        self.slots, self.columns = slots, columns
        self.lengths: list[int] = []  # tokens of each row, the one being computed included
        self.old = 0  # rows that were there before this step
        self.prefix = 0  # tokens that every row begins with
        self.joining: Joining | None = None
        self.places: Tensor | None = None  # (old,) the column that each old row writes
        self._seen: dict[int | None, Tensor] = {}
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def open_step(self, joining: Joining | None, device: torch.device) -> None:
        """Every row grows by one token; then the joining rows come behind them."""
        self.old, self.joining = len(self.lengths), joining
        self.places = torch.tensor(self.lengths, dtype=torch.long, device=device)
        self._seen = {}
        self.lengths = [length + 1 for length in self.lengths]
        if joining is not None:
            self.lengths += [self.prefix + length for length in joining.lengths]

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The store of one layer, made where it is first used; what was never written is masked, but must be finite."""
        if index not in self.keys:
            shape = self.slots, like.shape[1], self.columns, like.shape[3]
            self.keys[index], self.values[index] = like.new_zeros(shape), like.new_zeros(shape)
        return self.keys[index], self.values[index]

    def seen(self, window: int | None) -> Tensor:
        """(old, 1, 1, columns used), True where an old row sees a column; made once a step for all layers."""
        if window not in self._seen:
            assert self.places is not None  # noqa: S101 - set by open_step
            columns = torch.arange(max(self.lengths[: self.old]), device=self.places.device)
            seen = columns <= self.places[:, None]
            if window is not None:
                seen &= columns > self.places[:, None] - window
            self._seen[window] = seen[:, None, None]
        return self._seen[window]

    def keep_prefix(self) -> None:
        """The one row that is there becomes what every row begins with."""
        [self.prefix] = self.lengths
        self.lengths = []
        for stores in (self.keys, self.values):
            for store in stores.values():
                store[:, :, : self.prefix] = store[:1, :, : self.prefix].clone()

    def drop(self, place: int) -> None:
        """Remove a row by moving the last one into its place: copies one row, not the batch."""
        last = len(self.lengths) - 1
        if place != last:
            length = self.lengths[place] = self.lengths[last]
            for stores in (self.keys, self.values):
                for store in stores.values():
                    store[place, :, :length] = store[last, :, :length]
        self.lengths.pop()


def stored_attention(  # noqa: PLR0913 - the signature that transformers' registry prescribes
    module: Any,
    query: Tensor,  # (1, heads, T, D): a token of each old row, then the joining rows
    key: Tensor,  # (1, key heads, T, D)
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    store: KeyValueStore,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention of every token to its own row; returns (1, T, heads, D).

    Under autocast, positions leave queries and keys in float32; they are kept and used in the values' dtype.
    """
    query, key = query.to(value.dtype), key.to(value.dtype)
    found, old = [], store.old
    if old:
        newest = query[:, :, :old], key[:, :, :old], value[:, :, :old]
        found.append(_extend(module.layer_idx, *newest, store, scaling, sliding_window))
    if store.joining is not None:
        joined = query[:, :, old:], key[:, :, old:], value[:, :, old:]
        found.append(_join(module.layer_idx, *joined, store, scaling, sliding_window))
    return torch.cat(found).unsqueeze(0), None


def _extend(  # noqa: PLR0913 - see stored_attention
    layer: int, query: Tensor, key: Tensor, value: Tensor, store: KeyValueStore,
    scaling: float | None, window: int | None,
) -> Tensor:  # fmt: skip
    """One token of each old row; (old, heads, D)."""
    places = store.places
    assert places is not None  # noqa: S101 - set by open_step
    keys, values = store.layer(layer, key)
    seen, rows = store.seen(window), torch.arange(store.old, device=places.device)
    keys[rows, :, places] = key[0].transpose(0, 1)
    values[rows, :, places] = value[0].transpose(0, 1)
    used = seen.shape[-1]
    heads, size = query.shape[1], query.shape[3]
    groups = (
        query[0].transpose(0, 1).reshape(store.old, keys.shape[1], -1, size)
    )  # heads that share a key are one batch
    out = functional.scaled_dot_product_attention(
        groups, keys[: store.old, :, :used], values[: store.old, :, :used],
        attn_mask=seen, scale=scaling,
    )  # fmt: skip
    return out.reshape(store.old, heads, size)


def _join(  # noqa: PLR0913 - see stored_attention
    layer: int, query: Tensor, key: Tensor, value: Tensor, store: KeyValueStore,
    scaling: float | None, window: int | None,
) -> Tensor:  # fmt: skip
    """The joining rows, each behind the prefix; (their tokens, heads, D)."""
    joining = store.joining
    assert joining is not None  # noqa: S101 - the caller looked
    keys, values = store.layer(layer, key)
    layout, prefix, width = joining.layout, store.prefix, store.prefix + joining.layout.width
    fresh = slice(store.old, store.old + layout.rows)
    q, k, v = (side_by_side(states, layout) for states in (query, key, value))
    keys[fresh, :, prefix:width], values[fresh, :, prefix:width] = k, v
    if prefix:  # the place's former row may have written over it only behind the prefix
        k, v = keys[fresh, :, :width], values[fresh, :, :width]
    mask = _causal(layout.width, prefix, window, query.device)
    out = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out.transpose(1, 2).reshape(-1, *out.shape[1::2]).index_select(0, layout.origin)


def _causal(width: int, prefix: int, window: int | None, device: torch.device) -> Tensor | None:
    """(S, prefix + S), True where a query sees a key; None where plain causal attention says the same."""
    if prefix == 0 and (window is None or width <= window):
        return None
    back = torch.arange(prefix, prefix + width, device=device)[:, None] - torch.arange(prefix + width, device=device)
    return (back >= 0) if window is None else (back >= 0) & (back < window)


ATTENTION = "key_value_store"
AttentionInterface.register(ATTENTION, stored_attention)


class FlatDecoding:
    """Decoding with a key/value store of its own and one flat sequence a step."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], slots: int, max_new_tokens: int) -> None:
        self._model = model
        self._slots = min(slots, len(prompts))
        # a joining row is written as wide as the widest that joins with it
        self._store = KeyValueStore(self._slots, max(map(len, prompts)) + max_new_tokens)
        prefix = shared_prefix(prompts)
        if prefix:
            self.advance([], [prompts[0][:prefix]])
            self._store.keep_prefix()

    @property
    def room(self) -> int:
        """See Decoding."""
        return self._slots - len(self._store.lengths)

    def advance(self, tokens: Sequence[int], joining: Sequence[Sequence[int]]) -> Tensor:
        """See Decoding."""
        store, device = self._store, self._model.device
        ids, positions = list(tokens), list(store.lengths)
        last = list(range(len(ids)))
        fresh = None
        if joining:
            flat = flatten([prompt[store.prefix :] for prompt in joining], share_prefix=False)
            fresh = Joining(flat.layout.to(device), flat.lengths)
            last += [len(ids) + flat.index(row, length - 1) for row, length in enumerate(flat.lengths)]
            ids += flat.input_ids[0].tolist()
            positions += (flat.position_ids[0] + store.prefix).tolist()
        store.open_step(fresh, device)
        output = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            store=store,
            logits_to_keep=torch.tensor(last, device=device),
            use_cache=False,
        )
        logits: Tensor = output.logits[0]
        return logits

    def drop(self, place: int) -> None:
        """See Decoding."""
        self._store.drop(place)


# ---------------------------------------------------------------- transformers' cache


class PaddedDecoding:
    """Decoding with left-padded prompts and transformers' own cache, for any causal language model."""

    def __init__(self, model: Any, slots: int) -> None:
        self._model, self._slots = model, slots
        self._seen = torch.empty(0, 0, dtype=torch.long, device=model.device)
        self._cache = DynamicCache(config=model.config)

    @property
    def room(self) -> int:
        """See Decoding."""
        return 0 if len(self._seen) else self._slots

    def advance(self, tokens: Sequence[int], joining: Sequence[Sequence[int]]) -> Tensor:
        """See Decoding."""
        if not joining:
            self._seen = functional.pad(self._seen, (0, 1), value=1)
            return self._forward(torch.tensor(tokens, device=self._seen.device)[:, None])
        width = max(map(len, joining))
        pads = [width - len(prompt) for prompt in joining]
        ids = [[prompt[0]] * pad + list(prompt) for prompt, pad in zip(joining, pads, strict=True)]
        self._seen = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads], device=self._seen.device)
        self._cache = DynamicCache(config=self._model.config)
        return self._forward(torch.tensor(ids, device=self._seen.device))

    def drop(self, place: int) -> None:
        """See Decoding."""
        kept = torch.arange(len(self._seen) - 1, device=self._seen.device)
        if place < len(kept):
            kept[place] = len(kept)
        self._seen = self._seen[kept]
        if len(kept):
            self._cache.batch_select_indices(kept)

    def _forward(self, ids: Tensor) -> Tensor:
        positions = (self._seen.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._model(
            input_ids=ids,
            attention_mask=self._seen,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: Tensor = output.logits[:, -1]
        return logits
