"""Baseline and candidate side by side: which cell is held against which, and both as one panel of scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.align import Aligned, Layout, VariantScores, align, one_a_seed
from harness.errors import HarnessError
from harness.records.baseline import Snapshot, SnapshotVariant
from harness.records.result import MeasureInfo
from harness.records.rows import MetricRow, Scored
from harness.records.variant import Cell


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
class Sides:
    """Both snapshots, and the pairs of cells between them, one or more."""

    baseline: Snapshot
    candidate: Snapshot
    pairs: tuple[CellPair, ...]
    failed: tuple[str, ...]
    """Cells of the baseline whose candidate broke off in training, with the reason."""
    unmatched: tuple[str, ...]
    """Cells of either side without a counterpart, in words; untuned ones that both have are just not checked."""

    def aligned(self, info: MeasureInfo) -> tuple[Aligned, list[tuple[int, int]]]:
        """All trained and untuned cells of both sides on one measure, and the pairs as numbers of cells."""
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
        return align(layout, info, self.candidate.clusters), [
            (at["candidate", p.name], at["baseline", p.baseline_name]) for p in self.pairs
        ]


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
    """Pair the cells. `wanted`: candidate's cell -> baseline's, each by name or a part of it.

    Raises HarnessError where nothing pairs, or a name in `wanted` fits no cell or several.
    """
    before, now = _cells(baseline), _cells(candidate)
    broken = dict(_broken(candidate))
    names = _named(wanted, now, before) if wanted else _same_or_lone(now, before, broken)
    failed = tuple(
        f"{name}: {reason}" for name, reason in broken.items() if name in wanted or name in before or not names
    )
    if not names and not failed:
        raise HarnessError(
            "no cell of the matrix has a counterpart in the baseline",
            hint=f"say which belong together (policy `cells:`). The matrix has {_listed(now)}; the baseline has "
            f"{_listed(before)}",
        )
    alone = [f"{name} is new: the baseline has no such cell" for name in now if name not in names | before]
    alone += [
        f"{name} of the baseline has no counterpart in the matrix"
        for name in before
        if name not in {*names.values(), *now, *broken}
    ]
    pairs = tuple(CellPair(name, other, now[name], before[other]) for name, other in names.items())
    return Sides(baseline, candidate, pairs, failed, tuple(alone))


def _broken(candidate: Snapshot) -> Iterator[tuple[str, str]]:
    for failure in candidate.failed:
        yield failure.variant.split("#")[0], f"{failure.stage} broke off: {failure.reason}"


def _listed(cells: Mapping[str, object]) -> str:
    return ", ".join(cells) or "none"


def _same_or_lone(
    now: Mapping[str, tuple[SnapshotVariant, ...]],
    before: Mapping[str, tuple[SnapshotVariant, ...]],
    broken: Mapping[str, str],
) -> dict[str, str]:
    """Trained cells of the same name, or untuned ones where nothing is trained; else the lone trained one of each."""
    trained = [[name for name, group in side.items() if _trained(group[0].variant.cell)] for side in (now, before)]
    if not any(trained) and not broken:
        return {name: name for name in now if name in before}
    same = {name: name for name in trained[0] if name in trained[1]}
    if not same and len(trained[0]) == len(trained[1]) == 1:
        return {trained[0][0]: trained[1][0]}
    return same


def _trained(cell: Cell) -> bool:
    return cell.method != "none"


def _named(wanted: Mapping[str, str], now: Mapping[str, object], before: Mapping[str, object]) -> dict[str, str]:
    return {_one(a, now, "the matrix"): _one(b, before, "the baseline") for a, b in wanted.items()}


def _one(part: str, cells: Mapping[str, object], whose: str) -> str:
    found = [name for name in cells if name == part] or [name for name in cells if part in name]
    if len(found) != 1:
        what = f"{part!r} fits {len(found)} cells of {whose}" if found else f"{whose} has no cell {part!r}"
        raise HarnessError(what, where="policy `cells:`", hint=f"cells: {_listed(dict.fromkeys(found) or cells)}")
    return found[0]
