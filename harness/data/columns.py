"""What the audit keeps of every row of a split: arrays, so that a million rows take some 160 megabytes."""

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
from harness.data.split import LEFT_OUT, PARTS, TRAIN, fold_code
from harness.records.data import Example, SplitExample
from harness.records.settings import AuditKind

BATCH = 1000
TOLD_BY = 120
"""Characters of question and of output that tell the language; more hardly change it and take their time."""

Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int8]


@dataclass(slots=True)
class Questions:
    """What is asked, with its input and without what was said before: arrays of one entry a question, rows ascending.

    Of each row the last user turn; of one that is trained on, if only by other folds, all of them.
    """

    row: npt.NDArray[np.int64]
    number: npt.NDArray[np.int32]
    """From 0, of the row's own."""
    last: npt.NDArray[np.bool_]
    text: Hashes
    before: Hashes
    """The row's questions before it; 0 where there is none."""
    bands: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(slots=True)
class Columns:
    """What the audit keeps of every row; arrays of one entry a row."""

    part: Codes
    """Codes of harness.data.split, those of folds among them."""
    prompt: Hashes
    """Everything that the model is given."""
    output: Hashes
    lengths: npt.NDArray[np.float32]
    """(rows, 2): characters of prompt and output."""
    language: npt.NDArray[Any]
    asked: Questions

    def __len__(self) -> int:
        return len(self.part)


def collect(
    rows: Iterable[SplitExample], kinds: Collection[AuditKind], on_row: Callable[[int, SplitExample], None]
) -> Columns:
    """Read every row once and keep what the kinds of finding need of it; `on_row` is told each row with its number."""
    parts: list[tuple[Any, ...]] = []
    asked: list[tuple[Any, ...]] = []
    number = 0
    stream = iter(rows)
    while (batch := list(islice(stream, BATCH))) or not parts:  # at least one, so that empty columns have their types
        parts.append(_columns_of(batch, kinds))
        asked.append(_questions_of(batch, number, kinds))
        for row in batch:
            on_row(number, row)
            number += 1
    part, prompt, output, lengths, told = (np.concatenate(column) for column in zip(*parts, strict=True))
    every = Questions(*(np.concatenate(column) for column in zip(*asked, strict=True)))
    return Columns(part, prompt, output, lengths, told, every)


def _columns_of(batch: Sequence[SplitExample], kinds: Collection[AuditKind]) -> tuple[Any, ...]:
    examples = [row.example for row in batch]
    prompts = [prompt_text(example) for example in examples]
    return (
        np.array([part_of(row) for row in batch], dtype=np.int8),
        np.array([text_hash(prompt) for prompt in prompts], dtype=np.uint64),
        np.array([text_hash(example.output) for example in examples], dtype=np.uint64),
        np.array([(len(p), len(e.output)) for p, e in zip(prompts, examples, strict=True)], np.float32).reshape(-1, 2),
        np.array([language(f"{spoken(last_question(e))[:TOLD_BY]}\n{e.output[:TOLD_BY]}") if "languages" in kinds
                  else UNCLEAR for e in examples], dtype="U7"),
    )  # fmt: skip


def _questions_of(batch: Sequence[SplitExample], first: int, kinds: Collection[AuditKind]) -> tuple[Any, ...]:
    rows, numbers, lasts, befores, texts = [], [], [], [], []
    for row, each in enumerate(batch, start=first):
        every = questions(each.example)
        trained = part_of(each) == TRAIN or part_of(each) > LEFT_OUT
        for number in range(0 if trained else len(every) - 1, len(every)):
            rows.append(row)
            numbers.append(number)
            lasts.append(number == len(every) - 1)
            befores.append(text_hash("\0".join(every[:number])) if number else 0)
            texts.append(every[number])
    near = texts and {"near_repeats", "near_leaks"} & set(kinds)
    return (
        np.array(rows, dtype=np.int64),
        np.array(numbers, dtype=np.int32),
        np.array(lasts, dtype=np.bool_),
        np.array([text_hash(text) for text in texts], dtype=np.uint64),
        np.array(befores, dtype=np.uint64),
        similarity.bands([similarity.normalised(spoken(text)) for text in texts]) if near
        else np.zeros((len(texts), similarity.BANDS), np.uint32),
    )  # fmt: skip


def part_of(row: SplitExample) -> int:
    """The code of the row's part or fold."""
    return PARTS.index(row.split) if row.fold is None else fold_code(row.fold)


def prompt_text(example: Example) -> str:
    """Everything that the model is given, its fields kept apart by a character that no text has."""
    return "\0".join([*(turn.text for turn in example.history), last_question(example)])


def last_question(example: Example) -> str:
    """The instruction and its input, in the same way."""
    return f"{example.instruction}\0{example.input}"


def questions(example: Example) -> list[str]:
    """The user's turns; those before the last are instructions without input."""
    return [*(f"{turn.text}\0" for turn in example.history if turn.role == "user"), last_question(example)]


def spoken(prompt: str) -> str:
    """A prompt's text as one."""
    return prompt.replace("\0", "\n")


def text_hash(text: str) -> int:
    """64 bits: among a million texts two different ones agree with probability 3e-8."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
