"""Segments become ids and their roles in ONE pass; a policy turns roles into labels and weights: they cannot disagree.

Policies say where the loss starts. `none`: every token; `instruction`: from the response header on (Raschka, "Build a
Large Language Model (From Scratch)", exercise 7.2); `prompt`: from the first response token on (as in TRL).
`prompt_loss_weight` lets the masked tokens carry a part of the loss (Huerta-Enochian and Ko 2024, arXiv 2401.13586).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from harness.errors import DataError, ModelError
from harness.prompts import Role, Segment
from harness.records.variant import Masking, TrainOn, Truncate
from trainers.tokens import Encoder, encoder_of

IGNORE = -100
"""The label that PyTorch's and transformers' cross entropy leave out."""

LEARNED_ROLES: dict[Masking, frozenset[Role]] = {
    "none": frozenset({"prompt", "header", "response", "end"}),
    "instruction": frozenset({"header", "response", "end"}),
    "prompt": frozenset({"response", "end"}),
}


KINDS: tuple[tuple[Role, bool], ...] = tuple(
    (role, past) for role in ("prompt", "header", "response", "end") for past in (True, False)
)
"""(role, part of an earlier exchange) of a segment: what a token's loss can depend on. A token's kind is its place."""
SILENT = len(KINDS)
"""The kind of a token that carries no loss under any policy: of an earlier answer that nobody is to learn."""
ANSWER_KINDS = tuple(KINDS.index((role, False)) for role in ("response", "end"))
EARLIER_ANSWER = re.compile(b"[%b]+" % bytes(KINDS.index((role, True)) for role in ("response", "end")))


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A tokenised row before any policy. `kinds`: of each of `ids`, a place in KINDS or SILENT; `opening`: as in
    EncodedRow.
    """

    ids: tuple[int, ...]
    kinds: bytes
    opening: int = 0

    @property
    def prompt_length(self) -> int:
        """Tokens before the last answer; that, with its end, is what closes a row."""
        return len(self.ids) - sum(self.kinds.count(kind) for kind in ANSWER_KINDS)


@dataclass(frozen=True, slots=True)
class MaskPolicy:
    """Which tokens carry loss, and how much of it: the fields of TrainInput and TrainSettings of the same names."""

    masking: Masking
    prompt_loss_weight: float = 0.0
    eos_in_loss: bool = True
    train_on: TrainOn = "all_assistant_turns"

    def weight(self, role: Role, *, past: bool) -> float:
        """Factor of the loss on the tokens of a segment with this role."""
        if role == "end" and not self.eos_in_loss:
            return 0.0
        asked_only = past and self.train_on == "last_turn"
        if self.masking == "none" or (role in LEARNED_ROLES[self.masking] and not asked_only):
            return 1.0
        return self.prompt_loss_weight

    def weights(self) -> tuple[float, ...]:
        """The weight of each kind of token, in the order of KINDS, with SILENT."""
        return (*(self.weight(role, past=past) for role, past in KINDS), 0.0)


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One training row; all tuples have one entry a token.

    `labels[t]` is `ids[t]` where predicting that token (from those before it) carries loss, else IGNORE: unshifted, as
    transformers expects them. `weights[t]` is the factor of that loss, 0.0 where there is none. The first
    `prompt_length` ids are exactly the inference prompt (its end, in a row cut on the left); the first `opening` are
    its beginning-of-sequence token. `answered`: where each earlier answer that carries loss ends, and the next exchange
    begins.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]
    prompt_length: int
    opening: int = 0
    answered: tuple[int, ...] = ()

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return sum(weight > 0 for weight in self.weights)


def encode(tokenizer: Any, segments: Sequence[Segment], policy: MaskPolicy, *, where: str | None = None) -> EncodedRow:
    """The training row of these segments: `tokenised`, then `masked`. Raises as they do."""
    return masked(tokenised(tokenizer, segments, where=where), policy, where=where)


def tokenised(tokenizer: Any, segments: Sequence[Segment], *, where: str | None = None) -> TokenRow:
    """Tokenise each segment apart and join them: `[BOS] prompt header response EOS`.

    The row always ends with EOS, also where the style closes an answer with a text of its own; an earlier answer that
    has no such text ends with EOS too. `where` names the row in errors. Raises ModelError for a tokenizer without
    end-of-sequence token, and for a text that it cannot tell from what stands before.
    """
    encoder, eos = encoder_of(tokenizer), _eos(tokenizer)
    ids: list[int] = []
    kinds = bytearray()
    opening = 0
    for segment in segments:
        try:
            piece = _opened(encoder, segment, ids)
        except ModelError as e:
            raise ModelError(e.what, where=where, hint=e.hint) from e
        opening = opening or int(not ids and bool(piece) and piece[0] == encoder.opening)
        if segment.role == "end" and (not piece or (not segment.past and piece[-1] != eos)):
            piece = [*piece, eos]
        ids += piece
        kind = SILENT if segment.silent else KINDS.index((segment.role, segment.past))
        kinds += bytes([kind]) * len(piece)
    return TokenRow(tuple(ids), bytes(kinds), opening)


def masked(row: TokenRow, policy: MaskPolicy, *, where: str | None = None) -> EncodedRow:
    """The row with labels and weights. The first token carries no loss: nothing precedes it.

    `where` names the row in errors. Raises DataError when no token carries loss.
    """
    table = policy.weights()
    weights = (0.0, *(table[kind] for kind in row.kinds[1:]))
    _check_loss(weights, where)
    labels = tuple(token if weight > 0 else IGNORE for token, weight in zip(row.ids, weights, strict=True))
    earlier = (found.span() for found in EARLIER_ANSWER.finditer(row.kinds))
    answered = tuple(end for start, end in earlier if any(weights[start:end]))
    return EncodedRow(row.ids, labels, weights, row.prompt_length, row.opening, answered)


def encode_prompt(tokenizer: Any, segments: Sequence[Segment]) -> list[int]:
    """The ids of an inference prompt: exactly the first `prompt_length` ids of the training row."""
    encoder = encoder_of(tokenizer)
    ids: list[int] = []
    for segment in segments:
        piece = _opened(encoder, segment, ids)
        closes = segment.role == "end" and not piece
        ids += [_eos(tokenizer)] if closes else piece
    return ids


def _opened(encoder: Encoder, segment: Segment, before: Sequence[int]) -> list[int]:
    """The segment's ids; the first ones of a row open it with BOS where the tokenizer does, and never with two."""
    piece = encoder.ids(segment, begins=not before)
    if before or not piece or encoder.opening in (None, piece[0]):
        return piece
    return [encoder.opening, *piece]


@lru_cache(maxsize=8)
def _eos(tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end-of-sequence token", hint="set eos_token in tokenizer_config.json")
    return int(tokenizer.eos_token_id)


def _check_loss(weights: Sequence[float], where: str | None) -> None:
    if not any(weights):
        raise DataError(
            "no token of this training row carries loss",
            where=where,
            hint="give the entry an output, or set train.eos_in_loss to true",
        )


# ---------------------------------------------------------------- rows that are too long


@dataclass(frozen=True, slots=True)
class Truncation:
    """Rows of the training part that were cut to fit, of these those that lost text of an answer that carries loss, and
    rows that were left out.
    """

    truncated: int = 0
    responses_cut: int = 0
    dropped: int = 0


def fitted(
    row: EncodedRow, max_length: int, truncate: Truncate = "error", *, where: str | None = None
) -> EncodedRow | None:
    """The row in at most `max_length` tokens; None where the policy drops it.

    Raises DataError for a row that is longer under `error`, and for one of whose answer nothing (`right`) or not all
    (`left`) would be left: an answer is never cut away silently.
    """
    excess = len(row.ids) - max_length
    if excess <= 0:
        return row
    match truncate:
        case "drop":
            return None
        case "left":
            return _cut_left(row, excess, where)
        case "right":
            return _cut_right(row, max_length, where)
        case "error":
            raise DataError(
                f"a training row has {len(row.ids)} tokens; at most {max_length} are allowed",
                where=where,
                hint="shorten the entry, set train.truncate, or raise train.max_length where the model's context"
                " allows it",
            )


def _cut_left(row: EncodedRow, excess: int, where: str | None) -> EncodedRow:
    """Without the first `excess` tokens of the prompt; BOS stays.

    Where earlier answers carry loss, more is cut, up to the next exchange: no answer is taught in part or unasked.
    """
    start = row.opening + excess
    if start >= row.prompt_length:
        raise DataError(
            f"the answer of this training row has {len(row.ids) - row.prompt_length} tokens and fits only without its"
            " prompt, or not at all",
            where=where,
            hint="raise train.max_length, or set train.truncate to drop",
        )
    start = next((end for end in row.answered if end >= start), start)
    head, tail = slice(row.opening), slice(start, None)
    weights = (*row.weights[head], *row.weights[tail])
    labels = (*row.labels[head], *row.labels[tail])
    taken = start - row.opening
    return replace(
        row,
        ids=(*row.ids[head], *row.ids[tail]),
        labels=(IGNORE, *labels[1:]),
        weights=(0.0, *weights[1:]),
        prompt_length=row.prompt_length - taken,
        answered=tuple(end - taken for end in row.answered if end > start),
    )


def _cut_right(row: EncodedRow, length: int, where: str | None) -> EncodedRow:
    kept = replace(row, ids=row.ids[:length], labels=row.labels[:length], weights=row.weights[:length])
    if length <= row.prompt_length or not any(kept.weights[row.prompt_length :]):
        raise DataError(
            f"truncation to {length} tokens would cut this row's whole answer away; its prompt has {row.prompt_length}",
            where=where,
            hint="raise train.max_length, or set train.truncate to left or drop",
        )
    return kept
