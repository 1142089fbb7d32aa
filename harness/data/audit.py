"""The audit of a split: repeated and leaked prompts, odd outputs and lengths, languages, rows too long to train on.

Rows are streamed; what is kept is `Columns`, and the texts of near-duplicate candidates.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.data import similarity
from harness.data.columns import Columns, Hashes, collect, prompt_text, spoken
from harness.data.language import UNCLEAR
from harness.data.split import LEFT_OUT, PARTS, TEST, TRAIN
from harness.records.data import AuditFinding, Example, Place, SplitExample
from harness.records.settings import AUDIT_KINDS, AuditKind, AuditSettings

SHARED_OUTPUT, SHARED_BY = 0.01, 3
"""Share of the entries, and least number of them, from which an output counts as shared."""
OUTLIER, OUTLIER_FACTOR = 5.0, 4.0
"""Robust standard deviations (1.4826 median absolute deviations) of the log-length; and how many times the median."""
OTHERS, EXCERPT = 100, 60
"""Places and characters that a finding carries."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """What a row's tokens are counted with. `tokens` may give an upper bound where that is within the limit."""

    label: str
    longest: int
    tokens: Callable[[Example], int]


@dataclass(frozen=True, slots=True)
class Found:
    """A finding by row numbers: the order in which the split's rows come."""

    kind: AuditKind
    row: int
    others: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    similarity: float | None = None
    detail: str = ""
    in_part: bool = True
    """False for a repeat of another part's entry only: dropping is then the leak's business."""

    def victims(self, parts: npt.NDArray[np.int8]) -> list[int]:
        """The rows that `drop` leaves out: the later of two, the train copy of a leak, all sharers but the first.

        `parts`: each row's code. Two folds are train for each other: there the first entry stays.
        """
        if self.kind not in ("leaks", "near_leaks", "identical_outputs"):
            return [self.row] if self.in_part else []
        folded = parts[[self.row, *self.others]] > LEFT_OUT
        return [
            int(other)
            for other, in_fold in zip(self.others, folded[1:], strict=True)
            if not (folded[0] and in_fold) or other > self.row
        ]


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


def to_drop(
    rows: Iterable[SplitExample], kinds: Collection[AuditKind], threshold: float, limits: Sequence[TokenLimit] = ()
) -> dict[int, AuditKind]:
    """Row number -> the first kind of finding that costs the row its place. `rows` is iterated up to twice."""
    dropped: dict[int, AuditKind] = {}
    columns, findings = examine(rows, kinds, threshold, limits)
    for found in findings:
        for row in found.victims(columns.part):
            dropped.setdefault(row, found.kind)
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
        yield Found("echoes", number)
    if "truncated" in kinds and (row.split != "test" or row.fold is not None):
        counted = [(limit.tokens(example), limit) for limit in limits]
        over = [f"{n} tokens of {limit.longest} ({limit.label})" for n, limit in counted if n > limit.longest]
        if over:
            yield Found("truncated", number, detail="; ".join(over))


def groups(hashes: Hashes) -> Iterator[Rows]:
    """Row numbers of each hash that several rows have, ascending."""
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    for start, end in zip([0, *edges], [*edges, len(order)], strict=True):
        if end - start > 1:
            yield order[start:end]


def repeats(columns: Columns) -> Iterator[Found]:
    """Entries whose prompt stands earlier in the data, in whatever part."""
    for group in groups(columns.prompt):
        seen = {int(columns.part[group[0]])}
        for row in group[1:].tolist():
            part = int(columns.part[row])
            yield Found("repeats", row, group[:1], in_part=part in seen)
            seen.add(part)


def leaks(columns: Columns) -> Iterator[Found]:
    """Test and validation entries whose prompt stands in train."""
    for group in groups(columns.prompt):
        parts = columns.part[group]
        for row, part in zip(group.tolist(), parts.tolist(), strict=True):
            others = group[trained_beside(parts, part)]
            if len(others):
                yield Found("leaks", row, others)


def trained_beside(parts: npt.NDArray[np.int8], part: int) -> npt.NDArray[np.bool_]:
    """Which of these parts are trained on where `part` is held out: train, and of folds all others."""
    if part == TRAIN:
        return np.zeros(len(parts), dtype=np.bool_)
    return np.asarray((parts == TRAIN) | ((parts > LEFT_OUT) & (parts != part)))


def named_part(columns: Columns) -> npt.NDArray[np.int8]:
    """Each row's part; that of a fold's rows is the test part."""
    return np.where(columns.part > LEFT_OUT, np.int8(TEST), columns.part)


def identical_outputs(columns: Columns) -> Iterator[Found]:
    """Outputs that many entries share; the first entry stands for all."""
    least = max(SHARED_BY, math.ceil(SHARED_OUTPUT * len(columns)))
    for group in groups(columns.output):
        if len(group) >= least:
            yield Found("identical_outputs", int(group[0]), group[1:], detail=f"{len(group)} entries share one output")


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
            yield Found("length_outliers", row, detail=f"{what} of {length} characters; the median is {middle}")


def other_languages(columns: Columns) -> Iterator[Found]:
    """Entries clearly in another language than most."""
    counted = Counter(columns.language.tolist())
    counted.pop(UNCLEAR, None)
    if counted:
        most = counted.most_common(1)[0][0]
        for row in np.flatnonzero((columns.language != most) & (columns.language != UNCLEAR)).tolist():
            yield Found("languages", row, detail=f"{columns.language[row]}; most are {most}")


def near(rows: Iterable[SplitExample], columns: Columns, threshold: float) -> Iterator[Found]:
    """Entries whose prompt is nearly, but not exactly, that of an earlier entry, or of one in train."""
    members = Members(columns.keyed)
    distinct = members.first  # exact repeats would crowd out the near ones
    pairs = distinct[similarity.proposed(columns.bands[distinct], columns.part[distinct])]
    pairs = pairs[columns.prompt[pairs[:, 0]] != columns.prompt[pairs[:, 1]]]
    needed, places = np.unique(pairs, return_inverse=True)
    texts = [similarity.normalised(spoken(prompt_text(row.example))) for row in pick(rows, needed)]
    cosines = similarity.cosines(texts, places.reshape(-1, 2))
    close: dict[tuple[AuditKind, int], list[tuple[float, int]]] = defaultdict(list)
    for (low, high), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True):
        if cosine >= threshold:
            close["near_repeats", high].append((cosine, low))
            for row, other in ((low, high), (high, low)):
                if trained_beside(columns.part[[other]], int(columns.part[row]))[0]:
                    close["near_leaks", row].append((cosine, other))
    for (kind, row), partners in close.items():
        others = np.sort(np.concatenate([members.of(other) for _, other in partners]))
        in_part = any(columns.part[other] == columns.part[row] for _, other in partners)
        for each in members.of(row).tolist():
            yield Found(kind, each, others, similarity=max(partners)[0], in_part=in_part)


class Members:
    """Rows by their key: those of one part with one prompt. `first`: the first row of each, ascending."""

    def __init__(self, keyed: Hashes) -> None:
        """`keyed`: a key a row."""
        self._keyed = keyed
        self._order = np.argsort(keyed, kind="stable")
        self._sorted = keyed[self._order]
        self.first: Rows = np.sort(self._order[np.unique(self._sorted, return_index=True)[1]])

    def of(self, row: int) -> Rows:
        """All rows with this row's key, ascending."""
        key = self._keyed[row]
        return self._order[np.searchsorted(self._sorted, key) : np.searchsorted(self._sorted, key, side="right")]


# ---------------------------------------------------------------- findings with their places


def pick(rows: Iterable[SplitExample], numbers: Rows) -> Iterator[SplitExample]:
    """The rows of these numbers, which ascend."""
    wanted = iter(numbers.tolist())
    following = next(wanted, None)
    for number, row in enumerate(rows if following is not None else ()):
        if number == following:
            yield row
            following = next(wanted, None)
            if following is None:
                return


def placed(rows: Iterable[SplitExample], columns: Columns, found: Sequence[Found]) -> Iterator[AuditFinding]:
    """Findings as records: places with ids, and the beginning of each entry's instruction."""
    named = [np.asarray([f.row, *f.others[:OTHERS]], dtype=np.int64) for f in found]
    needed = np.unique(np.concatenate(named)) if named else np.zeros(0, dtype=np.int64)
    position = np.zeros(len(columns), dtype=np.int64)
    for code in range(len(PARTS)):
        mine = named_part(columns) == code
        position[mine] = np.arange(mine.sum())
    places: dict[int, Place] = {}
    excerpts: dict[int, str] = {}
    for number, row in zip(needed.tolist(), pick(rows, needed), strict=True):
        places[number] = Place(
            split=row.split, position=int(position[number]), index=row.index, example_id=row.example.id
        )
        excerpts[number] = " ".join(row.example.instruction.split())[:EXCERPT]
    for f in found:
        yield AuditFinding(
            kind=f.kind,
            place=places[f.row],
            others=tuple(places[other] for other in f.others[:OTHERS].tolist()),
            entries=1 + len(f.others) if f.kind == "identical_outputs" else 1,
            similarity=f.similarity,
            detail=f.detail or excerpts[f.row],
        )
