"""One batch of sequences that grow by a token a step: prefill, advance, drop a row.

`FlatDecoding` keeps its own key/value store inside the attention function and reads prompts padding-free;
`PaddedDecoding` does the same through transformers' cache for architectures that do not take flat batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache

from trainers.packing import FlatRows, Layout, flatten, padding_free_attention, takes_flat_batches


class Decoding(Protocol):
    """A batch in the middle of decoding. `logits` (R, V) predict the next token of each row."""

    logits: Tensor

    def advance(self, tokens: Sequence[int]) -> None:
        """Append one token to each row and compute the next logits."""

    def drop(self, place: int) -> None:
        """Take a row out; the last row moves into its place. `logits` are stale until the next `advance`."""


def start_decoding(model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> Decoding:
    """Read the prompts in one forward pass, inside `padding_free(model, ATTENTION)`."""
    if takes_flat_batches(model):
        return FlatDecoding(model, prompts, max_new_tokens)
    return PaddedDecoding(model, prompts)


# ---------------------------------------------------------------- own key/value store


@dataclass(slots=True)
class LayerStore:
    """Keys and values of one layer, (R, key heads, columns, D): rows are right-aligned at the prompt's end."""

    keys: Tensor
    values: Tensor


class KeyValueStore:
    """Keys and values of all layers of a batch. Column `used - 1` holds every row's newest token.

    Rows are right-aligned, so that all write the same column; `first[r]` is row r's first valid column.
    """

    def __init__(self, flat: FlatRows, max_new_tokens: int, device: torch.device) -> None:
        lengths = torch.tensor(flat.lengths)
        width = flat.layout.width
        self.columns = width + max_new_tokens
        self.used = width
        self.rows = len(flat.lengths)
        self.first = (width - lengths).to(device)
        self.prefill_places = _right_aligned(flat).to(device)
        self.layers: dict[int, LayerStore] = {}
        self.mask: Tensor | None = None

    def fill(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Store the prompts' states, (1, key heads, T, D) of a flat sequence."""
        stores = []
        for states in (key, value):
            heads, size = states.shape[1], states.shape[3]
            store = states.new_empty(self.rows, heads, self.columns, size)
            picked = states[0].index_select(1, self.prefill_places).view(heads, self.rows, self.used, size)
            store[:, :, : self.used] = picked.transpose(0, 1)
            stores.append(store)
        self.layers[layer] = LayerStore(*stores)

    def open_column(self) -> None:
        """Make room for one token a row, and work out which columns each row may see."""
        self.used += 1
        columns = torch.arange(self.used, device=self.first.device)
        padded = bool((self.first[: self.rows] > 0).any())
        self.mask = (columns >= self.first[: self.rows, None])[:, None, None, :] if padded else None  # (R, 1, 1, used)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the newest states, (R, key heads, 1, D); returns all states up to them, (R, key heads, used, D)."""
        store = self.layers[layer]
        store.keys[: self.rows, :, self.used - 1] = key[:, :, 0]
        store.values[: self.rows, :, self.used - 1] = value[:, :, 0]
        return store.keys[: self.rows, :, : self.used], store.values[: self.rows, :, : self.used]

    def drop(self, place: int) -> None:
        """Remove a row by moving the last one into its place: copies one row, not the batch."""
        last = self.rows - 1
        if place != last:
            self.first[place] = self.first[last]
            for store in self.layers.values():
                store.keys[place, :, : self.used] = store.keys[last, :, : self.used]
                store.values[place, :, : self.used] = store.values[last, :, : self.used]
        self.rows = last


def _right_aligned(flat: FlatRows) -> Tensor:
    """(R·S,) flat index of the token at each place when rows end together; padding repeats the row's first token."""
    width = flat.layout.width
    places = torch.empty(len(flat.lengths), width, dtype=torch.long)
    for row, length in enumerate(flat.lengths):
        indices = torch.tensor([flat.index(row, position) for position in range(length)])
        places[row, width - length :] = indices
        places[row, : width - length] = indices[0]
    return places.flatten()


def stored_attention(  # noqa: PLR0913 - the signature that transformers' registry prescribes
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    store: KeyValueStore,
    packing: Layout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Prefill (`packing` given: flat states) or one decoding step (R rows of one token); returns (B, T, heads, D)."""
    if packing is not None:
        store.fill(module.layer_idx, key, value)
        return padding_free_attention(
            module, query, key, value, None, packing=packing, scaling=scaling, sliding_window=sliding_window
        )
    keys, values = store.append(module.layer_idx, key, value)
    seen = 0 if sliding_window is None else max(0, store.used - sliding_window)
    rows, heads, size = query.shape[0], query.shape[1], query.shape[3]
    groups = query.reshape(rows, keys.shape[1], heads // keys.shape[1], size)  # heads that share a key are one batch
    mask = None if store.mask is None else store.mask[..., seen:]
    out = functional.scaled_dot_product_attention(
        groups, keys[:, :, seen:], values[:, :, seen:], attn_mask=mask, scale=scaling
    )
    return out.reshape(rows, 1, heads, size), None


ATTENTION = "key_value_store"
AttentionInterface.register(ATTENTION, stored_attention)


class FlatDecoding:
    """Decoding with a padding-free prefill and a key/value store of its own."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        self._model = model
        flat = flatten(prompts)
        self._store = KeyValueStore(flat, max_new_tokens, model.device)
        last = torch.tensor([flat.index(row, length - 1) for row, length in enumerate(flat.lengths)])
        output = model(
            input_ids=flat.input_ids.to(model.device),
            position_ids=flat.position_ids.to(model.device),
            packing=flat.layout.to(model.device),
            store=self._store,
            logits_to_keep=last.to(model.device),
            use_cache=False,
        )
        self.logits: Tensor = output.logits[0]

    def advance(self, tokens: Sequence[int]) -> None:
        """See Decoding."""
        store = self._store
        store.open_column()
        positions = store.used - 1 - store.first[: store.rows]
        ids = torch.tensor(tokens, device=positions.device)
        output = self._model(input_ids=ids[:, None], position_ids=positions[:, None], store=store, use_cache=False)
        self.logits = output.logits[:, -1]

    def drop(self, place: int) -> None:
        """See Decoding."""
        self._store.drop(place)


# ---------------------------------------------------------------- transformers' cache


class PaddedDecoding:
    """Decoding with left-padded prompts and transformers' own cache, for any causal language model."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        width = max(map(len, prompts))
        pads = [width - len(prompt) for prompt in prompts]
        ids = [[prompt[0]] * pad + list(prompt) for prompt, pad in zip(prompts, pads, strict=True)]
        self._seen = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads], device=model.device)
        self._cache = DynamicCache(config=model.config)
        self._forward(torch.tensor(ids, device=model.device))

    def advance(self, tokens: Sequence[int]) -> None:
        """See Decoding."""
        self._seen = functional.pad(self._seen, (0, 1), value=1)
        self._forward(torch.tensor(tokens, device=self._seen.device)[:, None])

    def drop(self, place: int) -> None:
        """See Decoding."""
        kept = torch.arange(len(self._seen) - 1, device=self._seen.device)
        if place < len(kept):
            kept[place] = len(kept)
        self._seen = self._seen[kept]
        self._cache.batch_select_indices(kept)

    def _forward(self, ids: Tensor) -> None:
        positions = (self._seen.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._model(
            input_ids=ids,
            attention_mask=self._seen,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self.logits: Tensor = output.logits[:, -1]
