"""The items on which a candidate lost most."""

from __future__ import annotations

from harness.gate.cells import CellPair, Sides
from harness.gate.measures import pair_values
from harness.gate.policy_file import directed
from harness.records.baseline import Snapshot, SnapshotVariant
from harness.records.check import CheckResult, WorstItem
from harness.records.policy import Policy

SHOWN = 5


def worst_items(
    sides: Sides, checks: tuple[CheckResult, ...], policy: Policy, count: int = SHOWN
) -> tuple[WorstItem, ...]:
    """Of the first failed measure (the first measure if none failed), largest loss first; none that did not lose.

    Answers shown are those of each side's first seed.
    """
    measures = [each for each in checks if each.kind == "measure" and each.delta is not None]
    if not measures or not sides.candidate.examples:
        return ()
    chosen = next((each for each in measures if each.fails or each.outcome == "regression"), measures[0])
    info = next(directed(each.info, policy) for each in sides.candidate.measures if each.info.name == chosen.measure)
    pair = next(each for each in sides.pairs if each.name == chosen.cell)
    sign = 1 if info.higher_is_better else -1
    losses = sorted(
        (sign * (now - before), item, now, before) for item, (now, before) in pair_values(sides, info, pair).items()
    )
    return tuple(
        _item(sides, pair, chosen, item, (before, now)) for loss, item, now, before in losses[:count] if loss < 0
    )


def _item(sides: Sides, pair: CellPair, check: CheckResult, item: str, values: tuple[float, float]) -> WorstItem:
    example = next(each for each in sides.candidate.examples or () if each.id == item)
    return WorstItem(
        example_id=item,
        measure=check.measure,
        cell=pair.name,
        baseline=values[0],
        candidate=values[1],
        instruction="\n".join(filter(None, (example.instruction, example.input))),
        reference=example.output,
        baseline_answer=_answer(sides.baseline, pair.baseline[0], item),
        candidate_answer=_answer(sides.candidate, pair.candidate[0], item) or "",
    )


def _answer(snapshot: Snapshot, variant: SnapshotVariant, item: str) -> str | None:
    return variant.answers[snapshot.items.index(item)] if variant.answers and item in snapshot.items else None
