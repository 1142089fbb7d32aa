"""Rows of sources as entries, entries as Examples, one at a time; what is no entry is told with file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from harness.data.shapes import ALPACA, BadRow, Entry, Shape, entry, recognise
from harness.data.source import Source
from harness.records.data import Example, SplitName
from harness.records.settings import FieldMap

NUMBER = int | float
UNKNOWN = Shape(ALPACA)
"""What the rows before the first of a known shape are told that they lack."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry. `index`: 0-based row in its source; `part`: its source's; `key`: the value that the split goes by.

    `numbers`: whether a field of the row is a number or a truth value; `newly_read`: whether it holds what version 4 of
    DataInput is about.
    """

    part: SplitName | None
    index: int
    entry: Entry
    key: str | None
    numbers: bool
    newly_read: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is no entry: `file:line: what is wrong`."""

    reason: str


def read(sources: Sequence[Source], fields: FieldMap, by: str | None = None) -> Iterator[Row | Rejected]:
    """All rows, in order. A source's shape is that of its first row that has a known one.

    Raises DataError for a file that breaks off, such as a JSON array with a syntax error.
    """
    for source in sources:
        shape = None
        for index, (where, raw) in enumerate(source.rows()):
            if shape is None:
                known = recognise(raw, fields)
                shape = known and Shape(known)
            try:
                found = entry(raw, shape or UNKNOWN)
                key = None if by is None else split_key(raw, by)
            except BadRow as e:
                yield Rejected(f"{source.name}:{where}: {e}")
            else:
                numbers = any(isinstance(v, NUMBER) for v in raw.values())
                newly = bool(found.history) and (
                    bool(shape and shape.found_beside(raw)) or not all(turn.weight for turn in found.history)
                )
                yield Row(source.input.part, index, found, key, numbers, newly)


def split_key(row: dict[str, Any], by: str) -> str:
    """The value that the split goes by, as text. Raises BadRow."""
    value = row.get(by)
    if not isinstance(value, str | int | float):
        raise BadRow(f"no value under `{by}`, which the split goes by")
    return str(value)


def example(found: Entry, seen: dict[int, int]) -> Example:
    """An Example whose id is its content's hash; a repeated entry is told apart by its count, kept in `seen`."""
    content = [found.instruction, found.input, found.output]
    said = [json.dumps([[turn.role, turn.text] for turn in found.history], ensure_ascii=False)] if found.history else []
    text = f"[{', '.join([*map(encode_basestring, content), *said])}]"  # as json.dumps has it, in a third of the time
    short = hashlib.sha256(text.encode()).hexdigest()[:12]
    count = seen[int(short, 16)] = seen.get(int(short, 16), 0) + 1
    return Example(
        id=short if count == 1 else f"{short}-{count}",
        instruction=found.instruction,
        input=found.input,
        output=found.output,
        alternatives=found.alternatives,
        history=found.history,
        meta=found.meta,
    )
