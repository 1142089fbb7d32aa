"""Baseline and candidate side by side: which cell is held against which, and both as one panel of scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.align import Aligned, Layout, VariantScores, align, one_a_seed
from harness.errors import HarnessError
from harness.records.baseline import Snapshot, SnapshotVariant
from harness.records.result import MeasureInfo
from harness.records.rows import MetricRow, Scored
from harness.records.variant import Cell, Variant
from harness.stats.panel import BoolArray


@dataclass(frozen=True, slots=True)
class CellPair:
    """A candidate's cell and the baseline's that it is held against. `baseline` holds its variants by seed."""

    name: str
    baseline_name: str
    candidate: tuple[SnapshotVariant, ...]
    baseline: tuple[SnapshotVariant, ...]

    def unchanged(self, measure: str) -> bool:
        """Whether every candidate's variant is one of the baseline's, by its inputs and by its scores on a measure."""
        before = {each.generate: each.scores.get(measure) for each in self.baseline}
        return all(before.get(each.generate, ()) == each.scores.get(measure) for each in self.candidate)

    @property
    def seeds(self) -> tuple[int, int]:
        """Of candidate and baseline."""
        return len({each.variant.seed for each in self.candidate}), len({each.variant.seed for each in self.baseline})


@dataclass(frozen=True, slots=True)
class Panels:
    """Both sides on one measure. `pairs`: numbers of cells, candidate's and baseline's.

    `again`: cells (C,) whose every variant is in a cell of the other side, which alone tells of seeds.
    """

    aligned: Aligned
    pairs: tuple[tuple[int, int], ...]
    again: BoolArray


@dataclass(frozen=True, slots=True)
class Sides:
    """Both snapshots, and the pairs of cells between them, one or more."""

    baseline: Snapshot
    candidate: Snapshot
    pairs: tuple[CellPair, ...]
    failed: tuple[str, ...]
    """Cells of the baseline whose candidate broke off in training, with the reason."""
    missing: tuple[str, ...]
    """Trained cells of the baseline that nothing is held against."""
    unmatched: tuple[str, ...]
    """Other cells of either side without a counterpart, in words; untuned ones that both have are just not checked."""

    def panels(self, info: MeasureInfo) -> Panels:
        """All trained and untuned cells of both sides on one measure."""
        before, now = _cells(self.baseline), _cells(self.candidate)
        layout = Layout(
            tuple(group[0].variant.cell for group in (*before.values(), *now.values())),
            tuple(
                tuple(one_a_seed(_scores(each, info, side.items) for each in group))
                for side, cells in ((self.baseline, before), (self.candidate, now))
                for group in cells.values()
            ),
        )
        at = {("baseline", name): k for k, name in enumerate(before)}
        at |= {("candidate", name): len(before) + k for k, name in enumerate(now)}
        own = {each.generate for each in self.baseline.variants}
        copies = [all(each.generate in own for each in group) for group in now.values()]
        more = {each.generate for copy, group in zip(copies, now.values(), strict=True) for each in group if not copy}
        again = [all(each.generate in more for each in group) for group in before.values()] + copies
        return Panels(
            align(layout, info, self.candidate.clusters),
            tuple((at["candidate", p.name], at["baseline", p.baseline_name]) for p in self.pairs),
            np.array(again, dtype=np.bool_),
        )


def _cells(snapshot: Snapshot) -> dict[str, tuple[SnapshotVariant, ...]]:
    found: dict[str, list[SnapshotVariant]] = {}
    for each in snapshot.variants:
        found.setdefault(each.variant.cell.name, []).append(each)
    return {name: tuple(sorted(group, key=lambda each: each.variant.seed or 0)) for name, group in found.items()}


def _scores(each: SnapshotVariant, info: MeasureInfo, items: Sequence[str]) -> VariantScores:
    values = [(item, value) for item, value in zip(items, each.scores.get(info.name, ()), strict=False)]
    if info.kind == "judge":
        verdicts = [Scored(example_id=i, sample=0, repeat=0, value=v) for i, v in values if v is not None]
        return VariantScores(each.variant, judgments={info.name: verdicts})
    counts = dict(zip(items, each.counts.get(info.name, ()), strict=False))
    rows = [MetricRow(example_id=i, sample=0, value=v, counts=counts.get(i) or ()) for i, v in values if v is not None]
    return VariantScores(each.variant, metrics={info.name: rows})


# ---------------------------------------------------------------- which against which


def sides(baseline: Snapshot, candidate: Snapshot, wanted: Mapping[str, str]) -> Sides:
    """Pair the cells. `wanted`: see `paired`. Raises HarnessError as it does."""
    before, now = _cells(baseline), _cells(candidate)
    broken = dict(_broken(candidate))
    cells, cells_before = (kinds(each.variant for each in side.variants) for side in (candidate, baseline))
    names = paired(cells, cells_before, wanted, broken)
    pairs = tuple(CellPair(name, other, now[name], before[other]) for name, other in names.items() if name in now)
    failed = tuple(f"{name}: {reason}" for name, reason in broken.items() if name in names | before or not pairs)
    missing = missing_cells(names, cells_before)
    alone = [f"{name} is new: the baseline has no such cell" for name in now if name not in names | before]
    alone += [without_counterpart(name) for name in before if name not in {*names.values(), *now, *missing}]
    return Sides(baseline, candidate, pairs, failed, missing, tuple(alone))


def kinds(variants: Iterable[Variant]) -> dict[str, Cell]:
    """Their cells by name."""
    return {each.cell.name: each.cell for each in variants}


def paired(
    now: Mapping[str, Cell], before: Mapping[str, Cell], wanted: Mapping[str, str], broken: Collection[str] = ()
) -> dict[str, str]:
    """Candidate's cell -> the baseline's that it is held against. `wanted`: the same, each by name or a part of it.

    Trained cells that `wanted` does not name go by their names; where none has its like, the lone ones of both sides
    are a pair; untuned ones are pairs where nothing is trained. `broken`: the candidate's that could not be trained.
    Raises HarnessError where nothing pairs, or a name in `wanted` fits no cell or several.
    """
    named = {
        _one(a, dict.fromkeys((*now, *broken)), "the matrix"): _one(b, before, "the baseline")
        for a, b in wanted.items()
    }
    trained = [name for name, cell in now.items() if _trained(cell)]
    ours = [name for name in dict.fromkeys((*trained, *broken)) if name not in named]
    theirs = [name for name, cell in before.items() if _trained(cell) and name not in named.values()]
    same = {name: name for name in ours if name in theirs}
    if not (named or ours or theirs):
        same = {name: name for name in now if name in before}
    if not named and not same and len(ours) == len(theirs) == 1:
        same = {ours[0]: theirs[0]}
    if not named and not same and not broken:
        raise HarnessError(
            "no cell of the matrix has a counterpart in the baseline",
            hint=f"say which belong together (policy `cells:`). The matrix has {_listed(now)}; the baseline has "
            f"{_listed(before)}",
        )
    return named | same


def missing_cells(names: Mapping[str, str], before: Mapping[str, Cell]) -> tuple[str, ...]:
    """Trained cells of the baseline that nothing is held against."""
    return tuple(name for name, cell in before.items() if _trained(cell) and name not in names.values())


def without_counterpart(name: str) -> str:
    """A cell of the baseline that nothing is held against, in words."""
    return f"{name} of the baseline has no counterpart in the matrix"


def _broken(candidate: Snapshot) -> Iterator[tuple[str, str]]:
    for failure in candidate.failed:
        yield failure.variant.split("#")[0], f"{failure.stage} broke off: {failure.reason}"


def _listed(cells: Mapping[str, object]) -> str:
    return ", ".join(cells) or "none"


def _trained(cell: Cell) -> bool:
    return cell.method != "none"


def _one(part: str, cells: Mapping[str, object], whose: str) -> str:
    found = [name for name in cells if name == part] or [name for name in cells if part in name]
    if len(found) != 1:
        what = f"{part!r} fits {len(found)} cells of {whose}" if found else f"{whose} has no cell {part!r}"
        raise HarnessError(what, where="policy `cells:`", hint=f"cells: {_listed(dict.fromkeys(found) or cells)}")
    return found[0]
