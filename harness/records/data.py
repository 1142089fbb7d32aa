"""Examples and splits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records.base import Record
from harness.records.settings import AuditKind


def _carries_loss(weight: object) -> bool:
    return weight == 1


class Turn(Record):
    """One message of a conversation. `weight`: of an answer; 0 where nobody is to learn it, whatever the masking."""

    role: Literal["system", "user", "assistant"]
    text: str
    weight: Literal[0, 1] = Field(1, exclude_if=_carries_loss)


class Example(Record):
    """One instruction with its reference answer, and the conversation that came before it (mostly none)."""

    id: str
    """Content hash (12 hex digits); a repeated entry gets the suffix `-2`, `-3`, …"""
    instruction: str
    input: str = ""
    output: str
    alternatives: tuple[str, ...] = ()
    """Further reference answers; training knows `output` only."""
    history: tuple[Turn, ...] = ()
    """Turns before `instruction`, oldest first: an optional system message, then user and assistant in turn."""
    meta: dict[str, str] = {}
    """Any further fields of the source row that are texts or, as text, numbers (family, language, …), for slices."""

    @property
    def references(self) -> tuple[str, ...]:
        """All reference answers, the one that is trained on first."""
        return (self.output, *self.alternatives)


SplitName = Literal["train", "validation", "test"]


class SplitExample(Record):
    """An example and the part of the split that it fell into. `index` is its 0-based row in the source.

    `fold`: from 1; rows of a fold stand under `test`, and are train wherever another fold is the test set
    (harness.data.folds.in_fold). None in a split without folds, and for rows that are in no fold.
    """

    split: SplitName
    index: int
    example: Example
    fold: int | None = None


class Place(Record):
    """An entry's place: its part and its 0-based position there, its 0-based row in the source, and its id."""

    split: SplitName
    position: int
    index: int
    example_id: str


class AuditFinding(Record):
    """Something about one entry. `others`: the entries that it repeats, leaks into, or shares its output with."""

    kind: AuditKind
    place: Place
    others: tuple[Place, ...] = ()
    """The first few."""
    n_others: int = 0
    """How many there are."""
    entries: int = 1
    """How many entries the finding speaks of: one, or all that share an output."""
    similarity: float | None = None
    """Cosine of character n-gram counts, for near-duplicates: of the nearest of `others`."""
    detail: str = ""


class AuditSummary(Record):
    """What the audit found and what was done, for reports."""

    found: dict[AuditKind, int]
    """Entries by kind of finding, in the split as it was used."""
    dropped: dict[AuditKind, int] = {}
    """Entries left out of the split, by the finding that cost them their place."""
    bad_rows: int = 0
    """Broken rows left out by `on_bad_rows: drop`."""
    leaked: tuple[str, ...] = ()
    """Ids of the test entries whose prompt stands in train, exactly or nearly."""
    languages: dict[str, int] = {}
    """Entries by language (ISO 639 code; `unclear`), most frequent first."""
    sentences: tuple[str, ...] = ()
    """The same in words, one sentence each."""
