"""What a run measured, short enough to be committed: the file that later runs are checked against."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import model_validator

from harness.records.base import Record
from harness.records.data import Example
from harness.records.inputs import DataInput
from harness.records.plan import FailedVariant
from harness.records.result import MeasureInfo
from harness.records.variant import Variant


class JudgeTerms(Record):
    """What a judge's scores depend on besides the answers. Digests are sha256, 64 hex digits.

    `against`: what a pairwise rubric compares with: digest of a generate object, or `reference`.
    """

    name: str
    backend: str
    model: str
    model_identity: str
    rubric: str
    prompt_sha256: str
    parser_sha256: str
    options: dict[str, str | int | float | bool] = {}
    expected_score: bool = False
    items: int | None = None
    repeats: int = 1
    against: str | None = None


class SnapshotMeasure(Record):
    """A measure, and the judges that its scores come from (none for a metric, several for a panel).

    `asked`: items that any variant was to be scored on; a judge may be asked about some of them only.
    """

    info: MeasureInfo
    asked: int
    judges: tuple[str, ...] = ()
    metric: str | None = None
    """Of a metric: its name, which its column need not bear, and its settings."""
    options: dict[str, str | int | float | bool] = {}


class SnapshotVariant(Record):
    """One variant: what it scored item by item, and what it took.

    `scores[measure]`: a value an item, in the order of the snapshot's items, samples and judge repeats averaged; None
    where there is none. `counts`: the items' sufficient statistics, for corpus measures only.
    """

    variant: Variant
    generate: str
    """Digest of the generate object."""
    train_seconds: float | None
    tokens_per_second: float | None
    """Of generation, batches included."""
    stop_rate: float
    """Share of the answers (0 … 1) that ended by themselves."""
    scores: dict[str, tuple[float | None, ...]]
    counts: dict[str, tuple[tuple[float, ...] | None, ...]] = {}
    answers: tuple[str | None, ...] | None = None
    """What it answered, where texts are kept."""


class Snapshot(Record):
    """What a run measured. `examples`: the items themselves, where texts are kept.

    `clusters`: the group of each item, by id, where the matrix names groups that stand or fall together.
    """

    matrix: str
    matrix_digest: str
    matrix_yaml: str
    data_name: str
    data: DataInput
    primary: str
    items: tuple[str, ...]
    measures: tuple[SnapshotMeasure, ...]
    judges: tuple[JudgeTerms, ...]
    variants: tuple[SnapshotVariant, ...]
    failed: tuple[FailedVariant, ...] = ()
    clusters: dict[str, str] | None = None
    examples: tuple[Example, ...] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Snapshot:
        names = [each.variant.name for each in self.variants]
        for what, ids in (("item", self.items), ("variant", names)):
            twice = [each for each, times in Counter(ids).items() if times > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]} is there twice")
        for each in self.variants:
            for what, values in (*each.scores.items(), *each.counts.items(), ("answers", each.answers)):
                if values is not None and len(values) != len(self.items):
                    raise ValueError(f"{each.variant.name} has {len(values)} {what} for {len(self.items)} items")
        return self


class HistoryEntry(Record):
    """One saving of the baseline. `saved`: UTC, ISO 8601; `changes`: what differs from the baseline before."""

    saved: str
    reason: str
    matrix_digest: str
    changes: tuple[str, ...] = ()


class Baseline(Record):
    """The committed file. `history`: oldest first; the last entry is of the snapshot that stands here."""

    version: Literal[1] = 1
    name: str
    history: tuple[HistoryEntry, ...]
    snapshot: Snapshot
