"""Checks without chance: budgets of time and stopping, and golden items."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from statistics import fmean

from harness.errors import HarnessError
from harness.gate.cells import CellPair, Sides
from harness.gate.drift import Drift, some
from harness.gate.measures import pair_values
from harness.gate.policy_file import directed, full_marks
from harness.records.baseline import SnapshotVariant
from harness.records.check import CheckResult
from harness.records.data import Example
from harness.records.policy import Budget, GoldenItem, Policy


def budget_checks(sides: Sides, policy: Policy) -> Iterator[CheckResult]:
    """Every budget of every pair of cells."""
    for budget in policy.budgets:
        for pair in sides.pairs:
            yield _budget(budget, pair)


def _budget(budget: Budget, pair: CellPair) -> CheckResult:
    now, before = _mean(pair.candidate, budget.what), _mean(pair.baseline, budget.what)
    ratio = budget.what != "stop_rate"
    value = now
    if ratio:
        value = now / before if now is not None and before else None
    result = CheckResult(
        name=f"{budget.what} of {pair.name}",
        kind="budget",
        tier=budget.tier,
        measure=budget.what,
        label=budget.what.replace("_", " "),
        outcome="pass",
        reason="",
        cell=pair.name,
        baseline_cell=pair.baseline_name,
        decimals=2,
        limit=budget.at_most if budget.at_most is not None else budget.at_least,
        baseline=before,
        candidate=now,
    )
    if value is None:
        missing = f"{budget.what} is not known on both sides (an untuned model is not trained)"
        return result.model_copy(update={"outcome": "error", "cause": "input", "reason": missing})
    kept = (budget.at_most is None or value <= budget.at_most) and (budget.at_least is None or value >= budget.at_least)
    ends = (("at most", budget.at_most), ("at least", budget.at_least))
    limits = [f"{word} {end:g}" for word, end in ends if end is not None]
    spoken = f"{value:.2f} times the baseline's" if ratio else f"{value:.2f} of the answers end by themselves"
    return result.model_copy(
        update={"outcome": "pass" if kept else "regression", "reason": f"{spoken}, asked for {' and '.join(limits)}"}
    )


def _mean(variants: Sequence[SnapshotVariant], what: str) -> float | None:
    found = [value for each in variants if (value := getattr(each, what)) is not None]
    return fmean(found) if found else None


def golden_checks(sides: Sides, policy: Policy, drifts: Sequence[Drift], where: str) -> Iterator[CheckResult]:
    """Every golden item of every pair of cells. Raises HarnessError for one that is no test item, or several."""
    for golden in policy.golden:
        item = golden_item(golden, sides.candidate.items, sides.candidate.examples or (), where)
        apart = [each.text for each in drifts if each.touches(golden.measure)]
        infos = (each.info for each in sides.candidate.measures if each.info.name == golden.measure)
        info = next((directed(each, policy) for each in infos), None)
        for pair in sides.pairs:
            result = CheckResult(
                name=f"golden {item} by {golden.measure} of {pair.name}",
                kind="golden",
                tier=golden.tier,
                measure=golden.measure,
                label=f"golden {item}",
                outcome="error",
                cause="input",
                reason="; ".join(apart) or f"{golden.measure} is not measured in this matrix",
                cell=pair.name,
                baseline_cell=pair.baseline_name,
            )
            if info is not None and not apart:
                values = pair_values(sides, info, pair).get(item)
                result = _golden(result, values, full_marks(golden, info), higher=info.higher_is_better)
            yield result


def _golden(result: CheckResult, values: tuple[float, float] | None, limit: float, *, higher: bool) -> CheckResult:
    if values is None:
        return result.model_copy(update={"cause": "infrastructure", "reason": "it has no score on both sides"})
    now, before = values
    kept, was_kept = (value >= limit - 1e-9 if higher else value <= limit + 1e-9 for value in values)
    wanted = f"from {limit:g} on" if higher else f"up to {limit:g}"
    reason = f"{now:.1f}, right {wanted}" + ("" if was_kept else f"; the baseline had {before:.1f}")
    changes = {"cause": None, "reason": reason, "limit": limit, "baseline": before, "candidate": now}
    return result.model_copy(update={"outcome": "pass" if kept else "regression", **changes})


def golden_item(golden: GoldenItem, items: Collection[str], examples: Sequence[Example], where: str) -> str:
    """Its id. Raises HarnessError where no test item has that id or instruction, or several have the instruction."""
    if golden.item in items:
        return golden.item
    alike = [each.id for each in examples if each.instruction == golden.item]
    if len(alike) > 1:
        raise HarnessError(
            f"golden: {len(alike)} test items have the instruction {golden.item!r}",
            where=where,
            hint=f"name one by its id: {some(alike)}",
        )
    if alike:
        return alike[0]
    near = get_close_matches(golden.item, [*items, *(each.instruction for each in examples)], n=1)
    raise HarnessError(
        f"golden: no test item {golden.item!r}",
        where=where,
        hint=(f"did you mean {near[0]!r}? " if near else "") + "an item is named by its id, or its instruction in full",
    )
