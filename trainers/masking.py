"""Segments and a masking policy become ids, labels and weights in ONE pass, so that they cannot disagree.

Policies say where the loss starts. `none`: every token; `instruction`: from the response header on (Raschka, "Build a
Large Language Model (From Scratch)", exercise 7.2); `prompt`: from the first response token on (as in TRL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError, ModelError
from harness.prompts import Role, Segment
from harness.records.variant import Masking

IGNORE = -100
"""The label that PyTorch's and transformers' cross entropy leave out."""

LEARNED_ROLES: dict[Masking, frozenset[Role]] = {
    "none": frozenset({"prompt", "header", "response"}),
    "instruction": frozenset({"header", "response"}),
    "prompt": frozenset({"response"}),
}


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One training row; all tuples have one entry a token.

    `labels[t]` is `ids[t]` where predicting that token (from those before it) carries loss, else IGNORE: unshifted, as
    transformers expects them. `weights[t]` is the factor of that loss, 0.0 where there is none. The first
    `prompt_length` ids are exactly the inference prompt.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]
    prompt_length: int

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return sum(weight > 0 for weight in self.weights)


def encode(
    tokenizer: Any, segments: Sequence[Segment], masking: Masking, max_length: int, *, where: str | None = None
) -> EncodedRow:
    """Tokenise each segment apart and join them: `[BOS] prompt header response EOS`.

    EOS always learns: a model that is not taught to stop does not. The first token never does: nothing precedes it.

    `max_length` is in tokens; `where` names the row in errors. Raises DataError when the row is longer, or when no
    token of it carries loss, and ModelError for a tokenizer without end-of-sequence token.
    """
    learned = LEARNED_ROLES[masking]
    ids: list[int] = _opening(tokenizer)
    learns: list[bool] = [False] * len(ids)
    prompt_length = len(ids)
    for segment in segments:
        piece = _encode_text(tokenizer, segment.text)
        ids += piece
        learns += [segment.role in learned] * len(piece)
        if segment.role != "response":
            prompt_length = len(ids)
    ids.append(_eos(tokenizer))
    learns.append(True)
    learns[0] = False
    _check_length(len(ids), max_length, where)
    _check_loss(learns, where)
    labels = tuple(token if learn else IGNORE for token, learn in zip(ids, learns, strict=True))
    return EncodedRow(tuple(ids), labels, tuple(float(learn) for learn in learns), prompt_length)


def encode_prompt(tokenizer: Any, segments: Sequence[Segment]) -> list[int]:
    """The ids of the inference prompt: exactly the first `prompt_length` ids of the training row."""
    ids = _opening(tokenizer)
    for segment in segments:
        ids += _encode_text(tokenizer, segment.text)
    return ids


def preview(tokenizer: Any, row: EncodedRow) -> list[tuple[str, bool]]:
    """(text, carries loss) of each stretch of a row, for showing a mask to a reader; the texts join to the row."""
    stretches: list[tuple[list[int], bool]] = []
    for token, weight in zip(row.ids, row.weights, strict=True):
        if not stretches or stretches[-1][1] != (weight > 0):
            stretches.append(([], weight > 0))
        stretches[-1][0].append(token)
    return [(str(tokenizer.decode(ids)), learns) for ids, learns in stretches]


def _encode_text(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False)) if text else []


def _opening(tokenizer: Any) -> list[int]:
    """[BOS] if the tokenizer opens a text with it by itself (Llama, Gemma), else nothing (GPT-2, Qwen, SmolLM2)."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer.encode("")[:1] == [bos] else []


def _eos(tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end-of-sequence token", hint="set eos_token in tokenizer_config.json")
    return int(tokenizer.eos_token_id)


def _check_length(length: int, max_length: int, where: str | None) -> None:
    if length > max_length:
        raise DataError(
            f"a training row has {length} tokens; at most {max_length} are allowed",
            where=where,
            hint="shorten or drop the entry, or raise train.max_length where the model's context allows it",
        )


def _check_loss(learns: list[bool], where: str | None) -> None:
    if not any(learns):
        raise DataError("no token of this training row carries loss", where=where, hint="give the entry an output")
