"""The audit of a split: repeated and leaked prompts, odd outputs and lengths, languages, rows too long to train on.

Rows are streamed; what is kept is `Columns`, and the texts of near-duplicate candidates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.data.columns import Columns, collect
from harness.data.duplicates import leaks, near, pick, repeats
from harness.data.found import OTHERS, Found, groups
from harness.data.language import UNCLEAR
from harness.data.split import LEFT_OUT, PARTS, TEST
from harness.records.data import AuditFinding, Example, Place, SplitExample
from harness.records.settings import AUDIT_KINDS, AuditKind, AuditSettings

SHARED_OUTPUT, SHARED_BY = 0.01, 3
"""Share of the entries, and least number of them, from which an output counts as shared."""
OUTLIER, OUTLIER_FACTOR = 5.0, 4.0
"""Robust standard deviations (1.4826 median absolute deviations) of the log-length; and how many times the median."""
EXCERPT = 60
"""Characters that a finding carries."""


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """What a row's tokens are counted with. `tokens` may give an upper bound where that is within the limit.

    `truncated` is of rows that are trained on; `no_room` of test prompts, with the longest answer to them.
    """

    label: str
    longest: int
    tokens: Callable[[Example], int]
    kind: Literal["truncated", "no_room"] = "truncated"


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings, by kind in the order of AUDIT_KINDS, and how many entries each language has."""

    n: dict[str, int]
    findings: tuple[AuditFinding, ...]
    languages: dict[str, int]


def audit(rows: Iterable[SplitExample], settings: AuditSettings, limits: Sequence[TokenLimit] = ()) -> Audit:
    """Examine a split. `rows` is iterated up to three times."""
    columns, found = examine(rows, AUDIT_KINDS, settings.similarity, limits)
    n: dict[str, int] = {name: int((named_part(columns) == code).sum()) for code, name in enumerate(PARTS)}
    languages = Counter(columns.language.tolist())
    return Audit(n, tuple(placed(rows, columns, found)), dict(languages.most_common()))


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows without those of the dropped numbers, iterated anew each time."""

    rows: Iterable[SplitExample]
    dropped: Collection[int]

    def __iter__(self) -> Iterator[SplitExample]:
        return (row for number, row in enumerate(self.rows) if number not in self.dropped)


def to_drop(
    rows: Iterable[SplitExample], kinds: Collection[AuditKind], threshold: float, limits: Sequence[TokenLimit] = ()
) -> dict[int, AuditKind]:
    """Row number -> the first kind of finding that costs the row its place. `rows` is iterated up to twice."""
    dropped: dict[int, AuditKind] = {}
    columns, findings = examine(rows, kinds, threshold, limits)
    for found in findings:
        for row in found.drops:
            dropped.setdefault(int(row), found.kind)
    return dropped


# ---------------------------------------------------------------- findings


def examine(
    rows: Iterable[SplitExample], kinds: Collection[AuditKind], threshold: float, limits: Sequence[TokenLimit] = ()
) -> tuple[Columns, list[Found]]:
    """All findings of these kinds, in the order of AUDIT_KINDS and then of the rows; and what they were found in."""
    found: list[Found] = []
    columns = collect(rows, kinds, lambda number, row: found.extend(by_itself(number, row, kinds, limits)))
    found += [*repeats(columns), *leaks(columns), *identical_outputs(columns)]
    found += [*length_outliers(columns), *other_languages(columns)]
    if {"near_repeats", "near_leaks"} & set(kinds):
        found += near(rows, columns, threshold)
    order = {kind: place for place, kind in enumerate(AUDIT_KINDS)}
    return columns, sorted((f for f in found if f.kind in kinds), key=lambda f: (order[f.kind], f.row))


def by_itself(
    number: int, row: SplitExample, kinds: Collection[AuditKind], limits: Sequence[TokenLimit]
) -> Iterator[Found]:
    """Findings that need no other row."""
    example = row.example
    output = example.output.strip()
    if "echoes" in kinds and output in (example.instruction.strip(), example.input.strip()):
        yield Found("echoes", number, drops=[number])
    seen_in: dict[AuditKind, bool] = {
        "truncated": row.split != "test" or row.fold is not None,
        "no_room": row.split == "test",
    }
    for kind in (kind for kind in seen_in if kind in kinds and seen_in[kind]):
        counted = [(limit.tokens(example), limit) for limit in limits if limit.kind == kind]
        over = [f"{n} tokens of {limit.longest} ({limit.label})" for n, limit in counted if n > limit.longest]
        if over:
            with_answer = "with the answer, " if kind == "no_room" else ""
            yield Found(kind, number, drops=[number], detail=with_answer + "; ".join(over))


def named_part(columns: Columns) -> npt.NDArray[np.int8]:
    """Each row's part; that of a fold's rows is the test part."""
    return np.where(columns.part > LEFT_OUT, np.int8(TEST), columns.part)


def identical_outputs(columns: Columns) -> Iterator[Found]:
    """Outputs that many entries share; the first entry stands for all."""
    least = max(SHARED_BY, math.ceil(SHARED_OUTPUT * len(columns)))
    for group in groups(columns.output):
        if len(group) >= least:
            others = group[1:]
            said = f"{len(group)} entries share one output"
            yield Found("identical_outputs", int(group[0]), others[:OTHERS].tolist(), len(others), others, detail=said)


def length_outliers(columns: Columns) -> Iterator[Found]:
    """Prompts and outputs whose log-length lies far from the median, in robust standard deviations and as a factor."""
    for side, what in enumerate(("prompt", "output")):
        logs = np.log1p(columns.lengths[:, side].astype(np.float64))
        if not len(logs):
            continue
        median = np.median(logs)
        deviation = 1.4826 * np.median(np.abs(logs - median))
        far = max(OUTLIER * deviation, math.log(OUTLIER_FACTOR))
        for row in np.flatnonzero(np.abs(logs - median) > far).tolist():
            length, middle = int(columns.lengths[row, side]), round(math.expm1(median))
            yield Found(
                "length_outliers", row, drops=[row], detail=f"{what} of {length} characters; the median is {middle}"
            )


def other_languages(columns: Columns) -> Iterator[Found]:
    """Entries clearly in another language than most."""
    counted = Counter(columns.language.tolist())
    counted.pop(UNCLEAR, None)
    if counted:
        most = counted.most_common(1)[0][0]
        for row in np.flatnonzero((columns.language != most) & (columns.language != UNCLEAR)).tolist():
            yield Found("languages", row, drops=[row], detail=f"{columns.language[row]}; most are {most}")


# ---------------------------------------------------------------- findings with their places


def placed(rows: Iterable[SplitExample], columns: Columns, found: Sequence[Found]) -> Iterator[AuditFinding]:
    """Findings as records: places with ids, and the beginning of each entry's instruction."""
    needed = sorted({row for f in found for row in (f.row, *f.others)})
    position = np.zeros(len(columns), dtype=np.int64)
    for code in range(len(PARTS)):
        mine = named_part(columns) == code
        position[mine] = np.arange(mine.sum())
    places: dict[int, Place] = {}
    excerpts: dict[int, str] = {}
    for number, row in zip(needed, pick(rows, needed), strict=True):
        places[number] = Place(
            split=row.split, position=int(position[number]), index=row.index, example_id=row.example.id
        )
        excerpts[number] = " ".join(row.example.instruction.split())[:EXCERPT]
    for f in found:
        yield AuditFinding(
            kind=f.kind,
            place=places[f.row],
            others=tuple(places[other] for other in f.others),
            n_others=f.n_others,
            entries=1 + f.n_others if f.kind == "identical_outputs" else 1,
            similarity=f.similarity,
            detail=f.detail or excerpts[f.row],
        )
