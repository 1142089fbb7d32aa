"""A data set as a matrix uses it: sources read, rows checked, each with its part; its rows are streamed, never kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.data.load import Rejected, Row, example, read
from harness.data.shapes import NO_KEY
from harness.data.source import Source, sources
from harness.data.split import LEFT_OUT, PARTS, TEST, TRAIN, assign, check_parts, fold_code
from harness.errors import DataError
from harness.records.data import SplitExample, SplitName
from harness.records.settings import FieldMap, SplitSettings
from harness.spec.data import DataSpec

NAMED = 100
"""Broken rows that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Iterating reads the sources anew and gives the rows that have a part, in file order.

    `codes`: a byte an entry, its part's place in PARTS or the code of its fold; `rejected`: broken rows left out, the
    first hundred; `bad_rows`: how many there are. `split`: None where the sources are the parts. `folds`: the folds
    that are test sets, where the matrix names them; rows of the others are always trained on. `numbers`: whether any
    row has a number among its fields; `conversations`: whether anything was said before any row's instruction;
    `newly_read`: whether any row is (see harness.data.load.Row).
    """

    sources: tuple[Source, ...]
    fields: FieldMap
    split: SplitSettings | None
    codes: bytes
    bad_rows: int = 0
    rejected: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    numbers: bool = False
    conversations: bool = False
    newly_read: bool = False

    @property
    def name(self) -> str:
        """The files' names."""
        return ", ".join(source.path.name for source in self.sources)

    def count(self, part: SplitName, fold: int | None = None) -> int:
        """Entries of a part, or of what a part is where that fold is the test set."""
        plain = self.codes.count(PARTS.index(part))
        sizes = {each: self.codes.count(fold_code(each)) for each in self.folded}
        tested = sum(size for each, size in sizes.items() if fold in (None, each))
        return plain + {"test": tested, "train": sum(sizes.values()) - tested, "validation": 0}[part]

    @property
    def folded(self) -> tuple[int, ...]:
        """The folds that are test sets; none without cross-validation."""
        every = (self.split.folds or 0) if self.split else 0
        return self.folds or tuple(range(1, every + 1))

    def __iter__(self) -> Iterator[SplitExample]:
        by = self.split.field if self.split else None
        number = -1
        seen: dict[int, int] = {}
        rows = (row for row in read(self.sources, self.fields, by) if isinstance(row, Row))
        for number, row in enumerate(rows):
            if number == len(self.codes):
                raise self._changed()
            code = self.codes[number]
            found = example(row.entry, seen)  # also of rows left out: ids do not depend on the split
            if code > LEFT_OUT:
                yield SplitExample(split=PARTS[TEST], index=row.index, example=found, fold=code - LEFT_OUT)
            elif code != LEFT_OUT:
                yield SplitExample(split=PARTS[code], index=row.index, example=found)
        if number + 1 < len(self.codes):
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError("the data changed while it was read", where=self.name, hint="run again")


@dataclass(slots=True)
class _Scan:
    """What one pass over the rows keeps: a few bytes an entry."""

    codes: bytearray = field(default_factory=bytearray)
    keys: array[int] = field(default_factory=lambda: array("q"))
    rejected: list[str] = field(default_factory=list)
    bad_rows: int = 0
    n: int = 0
    numbers: bool = False
    conversations: bool = False
    newly_read: bool = False


def dataset(spec: DataSpec, split: SplitSettings, beside: Path, folds: tuple[int, ...] = ()) -> Dataset:
    """What a matrix's `data:`, `split:` and `axes.fold` mean. `beside`: what relative paths start from.

    Raises DataError.
    """
    found = sources(spec, beside)
    given = spec.parts is not None
    cut = scan(found, spec.fields, None if given else split, drop_bad=spec.on_bad_rows == "drop")
    if not folds:
        return cut
    trained = {fold_code(fold): TRAIN for fold in cut.folded if fold not in folds}
    table = bytes(trained.get(code, code) for code in range(256))
    return replace(cut, codes=cut.codes.translate(table), folds=folds)


def scan(found: Sequence[Source], fields: FieldMap, split: SplitSettings | None, *, drop_bad: bool) -> Dataset:
    """Read every row once, check it and settle its part.

    Raises DataError that names the first ten broken rows unless they are dropped, and for parts that cannot be had.
    """
    seen = _read_all(found, fields, split)
    where = ", ".join(source.name for source in found)
    if seen.bad_rows and not (drop_bad and seen.n):
        more = f"\n… and {seen.bad_rows - 10} more" if seen.bad_rows > 10 else ""
        said = "\n".join(seen.rejected[:10]) + more
        mend = (
            "each row needs text under `instruction` and `output`, or has another known shape, or `data.fields` names"
            " its fields"
            if NO_KEY in said
            else "mend these rows"
        )
        raise DataError(said, hint=mend + ("; `data.on_bad_rows: drop` leaves broken rows out" if seen.n else ""))
    if not seen.n:
        raise DataError("no rows", where=where, hint="give a file with at least one row in each split part")
    if split is None:
        codes = bytes(seen.codes)
        check_parts(seen.n, {name: codes.count(code) for code, name in enumerate(PARTS)})
    else:
        codes = assign(seen.n, seen.keys, split)
    return Dataset(
        tuple(found),
        fields,
        split,
        codes,
        seen.bad_rows,
        tuple(seen.rejected),
        numbers=seen.numbers,
        conversations=seen.conversations,
        newly_read=seen.newly_read,
    )


def whole(found: Sequence[Source], fields: FieldMap) -> Dataset:
    """Every entry in train, for a look at a set too small to cut; broken rows are left out."""
    seen = _read_all(found, fields, None)
    return Dataset(tuple(found), fields, None, bytes(seen.n), seen.bad_rows, tuple(seen.rejected))


def _read_all(found: Sequence[Source], fields: FieldMap, split: SplitSettings | None) -> _Scan:
    seen = _Scan()
    numbers: dict[str, int] = {}
    for row in read(found, fields, split.field if split else None):
        if isinstance(row, Rejected):
            seen.bad_rows += 1
            if len(seen.rejected) < NAMED:
                seen.rejected.append(row.reason)
            continue
        seen.n += 1
        seen.numbers = seen.numbers or row.numbers
        seen.conversations = seen.conversations or bool(row.entry.history)
        seen.newly_read = seen.newly_read or row.newly_read
        if row.key is not None:
            seen.keys.append(numbers.setdefault(row.key, len(numbers)))
        if row.part is not None:
            seen.codes.append(PARTS.index(row.part))
    return seen
