"""What the audit keeps of every row of a split: arrays, so that a million rows take some 150 megabytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data import similarity
from harness.data.language import UNCLEAR, language
from harness.data.split import PARTS, fold_code
from harness.records.data import Example, SplitExample
from harness.records.settings import AuditKind

BATCH = 1000
TOLD_BY = 120
"""Characters of prompt and of output that tell the language; more hardly change it and take their time."""

Hashes = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Columns:
    """What the audit keeps of every row; arrays of one entry a row."""

    part: npt.NDArray[np.int8]
    """Codes of harness.data.split, those of folds among them."""
    prompt: Hashes
    output: Hashes
    lengths: npt.NDArray[np.float32]
    """(rows, 2): characters of prompt and output."""
    language: npt.NDArray[Any]
    bands: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.part)

    @property
    def keyed(self) -> Hashes:
        """Equal for rows of one part with one prompt."""
        return similarity.mixed(self.prompt + self.part.astype(np.uint64))


def collect(
    rows: Iterable[SplitExample], kinds: Collection[AuditKind], on_row: Callable[[int, SplitExample], None]
) -> Columns:
    """Read every row once and keep what the kinds of finding need of it; `on_row` is told each row with its number."""
    parts: list[tuple[Any, ...]] = []
    number = 0
    stream = iter(rows)
    while (batch := list(islice(stream, BATCH))) or not parts:  # at least one, so that empty columns have their types
        parts.append(_columns_of(batch, kinds))
        for row in batch:
            on_row(number, row)
            number += 1
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _columns_of(batch: Sequence[SplitExample], kinds: Collection[AuditKind]) -> tuple[Any, ...]:
    examples = [row.example for row in batch]
    prompts = [prompt_text(example) for example in examples]
    near = {"near_repeats", "near_leaks"} & set(kinds) and batch
    return (
        np.array([PARTS.index(r.split) if r.fold is None else fold_code(r.fold) for r in batch], dtype=np.int8),
        np.array([text_hash(prompt) for prompt in prompts], dtype=np.uint64),
        np.array([text_hash(example.output) for example in examples], dtype=np.uint64),
        np.array([(len(p), len(e.output)) for p, e in zip(prompts, examples, strict=True)], np.float32).reshape(-1, 2),
        np.array([language(f"{spoken(p)[:TOLD_BY]}\n{e.output[:TOLD_BY]}") if "languages" in kinds else UNCLEAR
                  for p, e in zip(prompts, examples, strict=True)], dtype="U7"),
        similarity.bands([similarity.normalised(spoken(prompt)) for prompt in prompts]) if near
        else np.zeros((len(batch), similarity.BANDS), np.uint32),
    )  # fmt: skip


def prompt_text(example: Example) -> str:
    """Everything that the model is given, its fields kept apart by a character that no text has."""
    return "\0".join([*(turn.text for turn in example.history), example.instruction, example.input])


def spoken(prompt: str) -> str:
    """A prompt's text as one."""
    return prompt.replace("\0", "\n")


def text_hash(text: str) -> int:
    """64 bits: among a million texts two different ones agree with probability 3e-8."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
