"""policy.yaml -> Policy, and what stands where it says nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from harness.errors import HarnessError, SpecError
from harness.records.baseline import Snapshot
from harness.records.policy import GoldenItem, MeasureCheck, Policy
from harness.records.result import MeasureInfo
from harness.yaml_record import parse_record

SHARE = 1 / 50
"""Of a measure's scale, that it may fall where nobody says how much: 2 points of 100."""


def load_policy(path: Path | None) -> Policy:
    """The policy of a file; all defaults without one. Raises SpecError with every problem."""
    if path is None:
        return Policy()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read ({e})"
        raise SpecError([f"{path}: {reason}"], hint="give the path of a policy file; docs/ci.md shows one") from e
    policy = parse_record(text, str(path), Policy, "a policy", hint="docs/ci.md explains every key")
    problems = [
        f"{path}: budgets[{number}]: give `at_most` or `at_least`"
        for number, budget in enumerate(policy.budgets)
        if budget.at_most is None and budget.at_least is None
    ]
    for key, named in (
        ("checks", [each.measure for each in policy.checks]),
        ("budgets", [each.what for each in policy.budgets]),
        ("golden", [f"{each.item!r} by {each.measure}" for each in policy.golden]),
    ):
        problems += [f"{path}: {key}: {name} is checked twice" for name, times in Counter(named).items() if times > 1]
    problems += [
        f"{path}: checks: {each.measure} is advisory, which fails nothing: leave out `inconclusive: fail`, or its tier"
        for each in policy.checks
        if each.tier == "advisory" and each.inconclusive == "fail"
    ]
    if problems:
        raise SpecError(problems)
    return policy


def settled(policy: Policy, baseline: Snapshot, where: str) -> Policy:
    """The policy with a check for each measure where it names none. `where` names its file in messages.

    By default a measure without a scale is no check, unless it is the primary one or the policy has a tolerance.
    Raises HarnessError for a measure that the baseline does not have, a floor that is a share, not points, a tolerance
    of a whole scale, and a tolerance or full marks that only a scale could give.
    """
    infos = {each.info.name: each.info for each in baseline.measures}
    checks = policy.checks or tuple(
        MeasureCheck(measure=name, tier="critical" if name == baseline.primary else "advisory")
        for name, info in infos.items()
        if info.ranks and (name == baseline.primary or policy.tolerance is not None or _scale(info) is not None)
    )
    for kind, names in (("checks", [c.measure for c in checks]), ("golden", [g.measure for g in policy.golden])):
        for name in names:
            if name not in infos:
                near = get_close_matches(name, infos, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                known = f"measured: {', '.join(infos)}"
                raise HarnessError(f"{kind}: the baseline has no measure {name!r}", where=where, hint=hint + known)
    for check in checks:
        _refuse_share(check, infos[check.measure], where)
        _refuse_whole(check, policy, infos[check.measure], where)
    settled = policy.model_copy(update={"checks": checks})
    for golden in policy.golden:
        full_marks(golden, directed(infos[golden.measure], settled), where)
    return settled


def directed(info: MeasureInfo, policy: Policy) -> MeasureInfo:
    """The measure with the direction that its check gives it."""
    said = next((each.direction for each in policy.checks if each.measure == info.name), "auto")
    return info if said == "auto" else info.model_copy(update={"higher_is_better": said == "higher"})


def _refuse_whole(check: MeasureCheck, policy: Policy, info: MeasureInfo, where: str) -> None:
    points, scale = tolerance(check, policy, info, where), _scale(info)
    if scale is not None and points >= scale:
        raise HarnessError(
            f"checks: {info.name} may fall by {points:g} points, and its whole scale ({info.unit}) has {scale:g}",
            where=where,
            hint=f"give it a `tolerance` of its own, such as {SHARE * scale:g}",
        )


def wide_tolerances(policy: Policy, baseline: Snapshot) -> Iterator[str]:
    """In words, each tolerance of more than half of its measure's scale. `policy`: settled."""
    infos = {each.info.name: each.info for each in baseline.measures}
    for check in policy.checks:
        points, scale = tolerance(check, policy, infos[check.measure]), _scale(infos[check.measure])
        if scale is not None and points > scale / 2:
            yield f"{check.measure} may fall by {points:g} points, more than half of its scale ({scale:g})"


def _refuse_share(check: MeasureCheck, info: MeasureInfo, where: str) -> None:
    high = info.bounds[1]
    if check.floor is not None and math.isfinite(high) and high >= 10 and 0 < check.floor <= 1:
        raise HarnessError(
            f"checks: the floor {check.floor:g} of {info.name} is in points of {info.unit}",
            where=where,
            hint=f"for a share of {check.floor:g} write {check.floor * high:g}",
        )


def _scale(info: MeasureInfo) -> float | None:
    """Points from its low end to its high one; None where it has no ends."""
    low, high = info.bounds
    return high - low if math.isfinite(high - low) else None


def tolerance(check: MeasureCheck, policy: Policy, info: MeasureInfo, where: str = "policy") -> float:
    """Points that the measure may fall. Raises HarnessError where nobody says and the measure has no scale."""
    for said in (check.tolerance, policy.tolerance):
        if said is not None:
            return said
    scale = _scale(info)
    if scale is None:
        raise HarnessError(
            f"checks: {info.name} has no scale to take a tolerance from",
            where=where,
            hint="give it a `tolerance` in points",
        )
    return SHARE * scale


def full_marks(golden: GoldenItem, info: MeasureInfo, where: str = "policy") -> float:
    """Points from which on (up to which, if lower wins) a golden item is right.

    Raises HarnessError where nobody says and the measure has no scale.
    """
    best = info.bounds[1 if info.higher_is_better else 0] if golden.at_least is None else golden.at_least
    if not math.isfinite(best):
        raise HarnessError(
            f"golden: {info.name} has no scale, and so no full marks",
            where=where,
            hint="give the item an `at_least` in points (where lower wins, it must be at most that)",
        )
    return best
