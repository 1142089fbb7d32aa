"""Rows of a training as a reader can check them: text by token, with what carries loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.prompts import PromptStyle
from harness.records.base import canonical_json
from harness.records.masks import MASKS_FILE, MaskedRow, MaskedToken, MaskPreview
from trainers.masking import EncodedRow, MaskPolicy
from trainers.rows import TrainingRows

ROWS = 6
"""Rows of the training part that are kept for showing."""
HALF = "\ufffd"
"""What decoding gives for a character of which only some bytes are there."""


def masked_row(tokenizer: Any, example_id: str, row: EncodedRow) -> MaskedRow:
    """The row's tokens with their text; the texts join to what the whole row decodes to."""
    tokens = tuple(
        MaskedToken(text=text, ids=row.ids[start:end], weight=row.weights[start])
        for start, end, text in _pieces(tokenizer, row)
    )
    return MaskedRow(example_id=example_id, tokens=tokens)


def _pieces(tokenizer: Any, row: EncodedRow) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) of each token; those that only together make a character are one piece, if their weights
    allow it. A token is decoded behind the piece before it, because some tokenizers drop a space at the start.
    """
    before = start = 0
    for end in range(1, len(row.ids) + 1):
        known = str(tokenizer.decode(row.ids[before:start])) if start else ""
        text = str(tokenizer.decode(row.ids[before:end])).removeprefix(known)
        last = end == len(row.ids)
        if text.endswith(HALF) and not last and row.weights[end] == row.weights[start]:
            continue
        yield start, end, text
        before, start = start, end


def preview_of(
    tokenizer: Any, rows: TrainingRows, style: PromptStyle, policy: MaskPolicy, count: int = ROWS
) -> MaskPreview:
    """What a reader is shown of these rows' masks: the first `count` of the training part, and totals over all."""
    counts: Counter[str] = Counter()
    for named in rows.train:  # one at a time: there may be a million
        counts["tokens"] += len(named.row.ids)
        counts["loss_tokens"] += named.row.loss_tokens
        counts["partial_tokens"] += sum(0 < weight < 1 for weight in named.row.weights)
    return MaskPreview(
        prompt_style=style.name,
        masking=policy.masking,
        prompt_loss_weight=policy.prompt_loss_weight,
        eos_in_loss=policy.eos_in_loss,
        train_on=policy.train_on,
        examples=len(rows.train),
        tokens=counts["tokens"],
        loss_tokens=counts["loss_tokens"],
        partial_tokens=counts["partial_tokens"],
        rows=tuple(masked_row(tokenizer, named.example_id, named.row) for named in rows.train[:count]),
    )


def write_preview(preview: MaskPreview, folder: Path) -> None:
    """Write the preview beside the weights that it belongs to."""
    (folder / MASKS_FILE).write_text(canonical_json(preview) + "\n", encoding="utf-8")
