"""Checks of measures: the paired test of every pair of cells, corrected over the family, and floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.gate.cells import CellPair, Sides
from harness.gate.decision import Decision, Rule, Weighed, decide, weigh
from harness.gate.drift import Drift
from harness.gate.policy_file import directed, tolerance
from harness.metrics.registry import load_metric
from harness.records.baseline import SnapshotMeasure
from harness.records.check import Cause, CheckResult
from harness.records.policy import MeasureCheck, Policy
from harness.records.result import MeasureInfo
from harness.stats.panel import item_means


@dataclass(frozen=True, slots=True)
class _Made:
    """A check of one pair, weighed (or refused, or known without a test), and its floor if it has one."""

    result: CheckResult
    weighed: Weighed | None
    floor: CheckResult | None


def measure_checks(sides: Sides, policy: Policy, drifts: Sequence[Drift]) -> Iterator[CheckResult]:
    """Every check of every pair of cells, floors behind their measures."""
    made = [each for check in policy.checks for each in _checks(sides, policy, check, drifts)]
    decisions: dict[int, Decision] = {}
    for advisory in (False, True):
        family = [k for k, m in enumerate(made) if m.weighed and (m.result.tier == "advisory") == advisory]
        weighed = [each for k in family if (each := made[k].weighed)]
        decisions |= zip(family, decide(weighed, corrected=policy.correction == "holm"), strict=True)
    for k, one in enumerate(made):
        yield _decided(one.result, one.weighed, decisions[k]) if one.weighed else one.result
        if one.floor is not None:
            yield one.floor


def _checks(sides: Sides, policy: Policy, check: MeasureCheck, drifts: Sequence[Drift]) -> Iterator[_Made]:
    before = next(each for each in sides.baseline.measures if each.info.name == check.measure)
    now = next((each for each in sides.candidate.measures if each.info.name == check.measure), None)
    refused = _refused(check, now, drifts)
    blanks = [_blank(check, policy, pair, before.info) for pair in sides.pairs]
    if refused is not None or now is None:
        yield from (
            _Made(each.model_copy(update={"outcome": "error", "cause": "input", "reason": refused}), None, None)
            for each in blanks
        )
        return
    info = directed(now.info, policy)
    rule = Rule(
        tolerance=tolerance(check, policy, info),
        alpha=check.alpha or policy.alpha,
        strict=check.strict,
        scope=policy.scope,
        seed_sd=policy.seed_sd if check.seed_sd is None else check.seed_sd,
    )
    panels = sides.panels(info)
    score = load_metric(now.metric or info.name, options=now.options).corpus_score if info.corpus else None
    for blank, pair, weighed in zip(
        blanks, sides.pairs, weigh(info, panels.aligned, score, panels.pairs, rule, panels.again), strict=True
    ):
        yield _made(blank, pair, weighed, info, max(before.asked, now.asked), policy, check)


def _refused(check: MeasureCheck, now: SnapshotMeasure | None, drifts: Iterable[Drift]) -> str | None:
    """Why the measure cannot be compared."""
    apart = [each.text for each in drifts if each.touches(check.measure)]
    if apart:
        return "; ".join(apart)
    if now is None:
        return f"{check.measure} is not measured in this matrix"
    if not now.info.ranks:
        return f"{now.info.label} is not trusted and decides nothing: {now.info.untrusted_reason}"
    return None


def _blank(check: MeasureCheck, policy: Policy, pair: CellPair, info: MeasureInfo) -> CheckResult:
    usual = policy.inconclusive
    if usual == "fail" and check.tier != "critical":
        usual = "warn"
    return CheckResult(
        name=f"{check.measure} of {pair.name}",
        kind="measure",
        tier=check.tier,
        measure=check.measure,
        label=info.label,
        decimals=_decimals(info),
        outcome="inconclusive",
        reason="",
        cell=pair.name,
        baseline_cell=pair.baseline_name,
        on_inconclusive=check.inconclusive or usual,
        seeds=pair.seeds,
    )


def _made(  # noqa: PLR0913 - one check and all that it is judged by
    blank: CheckResult,
    pair: CellPair,
    weighed: Weighed,
    info: MeasureInfo,
    asked: int,
    policy: Policy,
    check: MeasureCheck,
) -> _Made:
    found = weighed.contrast
    unpaired = max(0, asked - found.items)
    known = blank.model_copy(
        update={
            "limit": weighed.rule.tolerance,
            "alpha": weighed.rule.alpha,
            "baseline": found.mean_b,
            "candidate": found.mean_a,
            "delta": found.delta,
            "n_items": found.items,
            "unpaired": unpaired,
            "notes": weighed.notes,
        }
    )
    floor = None
    if check.floor is not None and found.items:
        floor = _floor(known, check.floor, higher=info.higher_is_better)
    if pair.unchanged(check.measure):
        reason = "the same inputs gave the same scores, item by item: nothing changed"
        same = {"outcome": "pass", "reason": reason, "delta": 0.0, "baseline": known.candidate, "notes": ()}
        return _Made(known.model_copy(update=same), None, floor)
    if found.items < 2 or unpaired > policy.max_unpaired * asked:
        reason = f"{unpaired} of {asked} items lack a score on one side (at most {policy.max_unpaired:.0%} may)"
        cause: Cause = "infrastructure" if info.kind == "judge" else "input"
        refused = known.model_copy(update={"outcome": "error", "cause": cause, "reason": reason})
        return _Made(refused, None, None)  # no floor either: a mean of what happens to be scored
    return _Made(known, weighed, floor)


def _floor(known: CheckResult, floor: float, *, higher: bool) -> CheckResult:
    kept = known.candidate is not None and (known.candidate >= floor if higher else known.candidate <= floor)
    word = "at least" if higher else "at most"
    return known.model_copy(
        update={
            "name": f"floor of {known.name}",
            "kind": "floor",
            "outcome": "pass" if kept else "regression",
            "reason": f"{known.candidate:.{known.decimals}f}, asked for {word} {floor:g}",
            "limit": floor,
            "notes": (),
            "unpaired": None,
            "alpha": None,
            "delta": None,
        }
    )


def _decided(result: CheckResult, weighed: Weighed, decision: Decision) -> CheckResult:
    enough = weighed.enough
    undecided = decision.outcome == "inconclusive" and enough is not None
    return result.model_copy(
        update={
            "outcome": decision.outcome,
            "reason": _reason(weighed, decision, result.decimals),
            "lower": weighed.lower,
            "upper": weighed.upper,
            "p_pass": weighed.p_pass if weighed.testable else None,
            "p_regression": decision.p_regression if weighed.testable else None,
            "method": weighed.method,
            "scope": weighed.scope,
            "smallest_fall": weighed.smallest_fall,
            "items_needed": enough.items if undecided and enough else None,
            "seeds_needed": enough.seeds if undecided and enough else None,
        }
    )


def _decimals(info: MeasureInfo) -> int:
    """One for points of 100, two for 1–5, three for 0–1."""
    top = info.bounds[1]
    return 1 if top > 20 else 2 if top > 1 else 3


def _reason(weighed: Weighed, decision: Decision, decimals: int) -> str:
    if not weighed.testable:
        return (
            "one seed everywhere: no seed variance is known, so nothing can be said of the recipe; give the baseline "
            "two seeds or more, or the policy `seed_sd` or `scope: checkpoint`"
        )
    if weighed.method == "rule" and decision.outcome == "pass":
        return "every item has the same score on both sides"
    ends = (weighed.contrast.delta, weighed.lower or 0.0, weighed.upper or 0.0)
    delta, lower, upper = (f"{end:+.{decimals}f}" for end in ends)
    moved = f"{delta} points, [{lower}, {upper}]"
    match decision.outcome:
        case "pass":
            text = f"{moved}: not worse by {weighed.rule.tolerance:g} or more"
        case "improved":
            text = f"{moved}: better"
        case "regression":
            beyond = min(map(abs, ends[1:])) > weighed.rule.tolerance
            rest = ", by more than {}" if beyond else ", and a loss of {} cannot be excluded"
            text = f"{moved}: worse{rest.format(f'{weighed.rule.tolerance:g}')}"
        case _:
            text = f"{moved}: cannot tell whether it lost {weighed.rule.tolerance:g} or more; {_wanted(weighed)}"
    return text.replace("-", "\u2212") + (" (these checkpoints only)" if weighed.scope == "checkpoint" else "")


def _wanted(weighed: Weighed) -> str:
    enough = weighed.enough
    if enough is None or (enough.items is None and enough.seeds is None):
        return "no number of items or seeds alone would tell"
    offers = [f"{enough.items:,} items" if enough.items else "", f"{enough.seeds} seeds" if enough.seeds else ""]
    return f"{' or '.join(filter(None, offers))} would tell"


def pair_values(sides: Sides, info: MeasureInfo, pair: CellPair) -> dict[str, tuple[float, float]]:
    """Example id -> (candidate's, baseline's value), seeds averaged, where both have one."""
    panels = sides.panels(info)
    now, before = panels.pairs[sides.pairs.index(pair)]
    folded = item_means(panels.aligned.panel)
    both = np.flatnonzero(folded.scored[now] & folded.scored[before])
    return {panels.aligned.items[i]: (float(folded.means[now, i]), float(folded.means[before, i])) for i in both}
