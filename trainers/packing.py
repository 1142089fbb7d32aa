"""Rows become padding-free batches: every token is computed once, and the prefix that all rows share only once.

Linear layers see one flat sequence `prefix row1 row2 …` without padding. Only inside the attention function do rows lie
side by side (each behind the prefix), so that causal attention needs no mask; on a GPU a kernel for rows of different
lengths takes them as they are (trainers.ragged). Positions go on from the prefix. The result is exact: each row attends
to the prefix and to itself, as if it were alone. Logits are formed for loss-bearing positions only, and in pieces where
they would be many (trainers.cross_entropy).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from trainers.cross_entropy import Targets, cross_entropy, loss_in_head, way
from trainers.masking import IGNORE, EncodedRow
from trainers.ragged import Ragged, kernel_for, ragged_attention
from trainers.side_by_side import Layout, causal_attention

PADDING_FREE_MODELS = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gpt2", "gemma", "gemma3_text", "phi3", "smollm3", "olmo2"}
)
"""`model_type`s whose layers take attention from the registry and hand it `packing` (tested); others are padded."""


@dataclass(frozen=True, slots=True)
class FlatRows:
    """Token sequences as one flat sequence. `starts[r]` is the flat index of row r's first token after the prefix."""

    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T)
    layout: Layout
    prefix: int
    starts: tuple[int, ...]
    lengths: tuple[int, ...]  # of whole rows, prefix included

    def index(self, row: int, position: int) -> int:
        """Flat index of a row's token at a position."""
        return position if position < self.prefix else self.starts[row] + position - self.prefix


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all sequences share; every sequence keeps at least one token of its own."""
    if len(sequences) < 2:
        return 0
    first, last = (
        min(map(tuple, sequences)),
        max(map(tuple, sequences)),
    )  # the two that differ earliest, in dictionary order
    limit = min(map(len, sequences)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def flatten(sequences: Sequence[Sequence[int]], *, share_prefix: bool = True) -> FlatRows:
    """Lay sequences of token ids end to end, behind the prefix that they share."""
    prefix = shared_prefix(sequences) if share_prefix else 0
    ids, positions, starts = list(sequences[0][:prefix]), list(range(prefix)), []
    for sequence in sequences:
        starts.append(len(ids))
        ids += sequence[prefix:]
        positions += range(prefix, len(sequence))
    lengths = tuple(len(sequence) for sequence in sequences)
    layout = _layout(prefix, starts, lengths, len(ids))
    return FlatRows(torch.tensor([ids]), torch.tensor([positions]), layout, prefix, tuple(starts), lengths)


def _layout(prefix: int, starts: Sequence[int], lengths: Sequence[int], total: int) -> Layout:
    width = max(lengths)
    places = torch.empty(len(lengths), width, dtype=torch.long)
    origin = torch.empty(total, dtype=torch.long)
    origin[:prefix] = torch.arange(prefix)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        own = length - prefix
        places[row, :prefix] = torch.arange(prefix)
        places[row, prefix:length] = torch.arange(start, start + own)
        places[row, length:] = start + own - 1
        origin[start : start + own] = row * width + torch.arange(prefix, length)
    return Layout(len(lengths), width, prefix, places.flatten(), origin)


def targets(rows: Sequence[EncodedRow], flat: FlatRows) -> Targets:
    """Loss-bearing predictions of a flat batch; what several rows predict alike at one place adds up its weights."""
    found: dict[tuple[int, int], float] = {}
    for number, row in enumerate(rows):
        for position in range(1, len(row.ids)):
            if row.weights[position] > 0:
                key = flat.index(number, position - 1), row.ids[position]
                found[key] = found.get(key, 0.0) + row.weights[position]
    places = {source: place for place, source in enumerate(dict.fromkeys(source for source, _ in found))}
    return Targets(
        torch.tensor(list(places)),
        torch.tensor([places[source] for source, _ in found]),
        torch.tensor([token for _, token in found]),
        torch.tensor(list(found.values())),
    )


# ---------------------------------------------------------------- attention over a flat sequence


def padding_free_attention(  # noqa: PLR0913 - the signature that transformers' registry prescribes
    module: torch.nn.Module,
    query: Tensor,  # (1, heads, T, D)
    key: Tensor,  # (1, key heads, T, D)
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Layout | Ragged,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row of a flat sequence; returns (1, T, heads, D)."""
    if isinstance(packing, Ragged):
        return ragged_attention(query, key, value, packing, scaling, dropout, sliding_window), None
    return causal_attention(query, key, value, packing, scaling, dropout, sliding_window), None


AttentionInterface.register("padding_free", padding_free_attention)


def takes_flat_batches(model: Any) -> bool:
    """Whether the model's architecture is known to compute flat batches exactly."""
    bidirectional = getattr(model.config, "use_bidirectional_attention", False)
    return model.config.model_type in PADDING_FREE_MODELS and not bidirectional


@contextmanager
def padding_free(model: Any, attention: str = "padding_free") -> Iterator[None]:
    """Within the context the model takes flat batches (`packing=layout`), if its architecture can.

    `attention` names the registered function that its layers call; the former one is put back afterwards.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not takes_flat_batches(base):
        yield
        return
    before = base.config._attn_implementation
    base.set_attn_implementation(attention)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


# ---------------------------------------------------------------- loss


def weighted_loss(model: Any, rows: Sequence[EncodedRow], *, share_prefix: bool = True) -> Tensor:
    """Sum over loss-bearing tokens of weight × cross entropy (nats); the caller divides by the sum of weights.

    Inside `padding_free(model)` the batch is flat; an architecture that takes no flat batch gets a padded one.
    """
    if takes_flat_batches(model):
        return _flat_loss(model, rows, share_prefix)
    return _padded_loss(model, rows)


def _flat_loss(model: Any, rows: Sequence[EncodedRow], share_prefix: bool) -> Tensor:
    flat = flatten([row.ids for row in rows], share_prefix=share_prefix)
    device = model.device
    wanted = targets(rows, flat).to(device)
    chosen = way(model, len(wanted.sources), device)
    with nullcontext() if chosen == "at once" else loss_in_head(model, wanted, chosen):
        logits = model(
            input_ids=flat.input_ids.to(device),
            position_ids=flat.position_ids.to(device),
            packing=_packing(model, flat).to(device),
            logits_to_keep=wanted.sources,
            use_cache=False,
        ).logits[0]  # (U, V), or the loss itself
    return cross_entropy(logits, wanted.rows, wanted.tokens, wanted.weights) if chosen == "at once" else logits


def _packing(model: Any, flat: FlatRows) -> Layout | Ragged:
    kernel = kernel_for(model)
    return flat.layout if kernel is None else Ragged.of(kernel, flat.prefix, flat.starts, flat.lengths)


def _padded_loss(model: Any, rows: Sequence[EncodedRow]) -> Tensor:
    width, device = max(len(row.ids) for row in rows), model.device
    ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=device)
    seen = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=device)
    labels = torch.tensor([[*row.labels, *[IGNORE] * (width - len(row.ids))] for row in rows], device=device)
    weights = torch.tensor([[*row.weights, *[0.0] * (width - len(row.ids))] for row in rows], device=device)
    logits = model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1]  # position t predicts t + 1
    learns = labels[:, 1:] != IGNORE
    each = torch.arange(int(learns.sum()), device=device)
    return cross_entropy(logits[learns], each, labels[:, 1:][learns], weights[:, 1:][learns])
