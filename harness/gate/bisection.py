"""Which changed factor explains a fall: by halves, and only what a hybrid does not share with earlier runs is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from statistics import fmean

from harness.errors import HarnessError
from harness.gate.cells import sides
from harness.gate.hybrid import Factor
from harness.gate.report import Files, check
from harness.records.baseline import Baseline, Snapshot
from harness.records.check import CheckResult
from harness.records.policy import MeasureCheck, Policy
from harness.records.result import MeasureInfo

Make = Callable[[Sequence[Factor]], Snapshot | None]
"""Runs the good matrix with these factors as in the bad one; None where every training broke off."""


@dataclass(frozen=True, slots=True)
class Step:
    """One hybrid against the good side. `delta`: mean over the pairs of cells, points; `share`: of the whole fall.

    `checks`: empty where the hybrid could not be trained.
    """

    switched: tuple[Factor, ...]
    delta: float
    share: float
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class Bisection:
    """`whole`: all factors switched; `culprit`: the factor with which the fall comes; `alone`: it and nothing else."""

    measure: str
    whole: Step
    steps: tuple[Step, ...]
    culprit: Factor
    alone: Step

    @property
    def sufficient(self) -> bool:
        """Whether the culprit by itself brings half of the fall or more; else it takes others with it."""
        return self.alone.share >= 0.5


def bisect(factors: Sequence[Factor], make: Make, measure: str | None = None) -> Bisection:
    """Halve the list of factors until one is left whose switching brings the fall.

    About log2(n) + 2 runs for n factors. Raises HarnessError where nothing differs, or nothing fell.
    """
    if not factors:
        raise HarnessError("nothing differs between the two recipes", hint="the difference is chance, or the machine's")
    good = make(())
    if good is None:
        raise HarnessError("the good side cannot be trained", hint="swap the two sides")
    name = measure or good.primary
    known = {each.info.name: each.info for each in good.measures}
    if name not in known:
        raise HarnessError(f"no measure {name!r}", where="--measure", hint="measured: " + ", ".join(known))
    info = known[name]
    sign = 1.0 if info.higher_is_better else -1.0
    whole = _step(good, make(tuple(factors)), tuple(factors), info)
    if sign * whole.delta >= 0:
        raise HarnessError(
            f"nothing fell: {name} is {whole.delta:+.1f} points from the good side to the bad one",
            hint="swap the two sides, or name another --measure",
        )
    steps: list[Step] = []
    low, high = 0, len(factors)  # all is well with the first `low` switched, and not with the first `high`
    while high - low > 1:
        middle = (low + high) // 2
        step = _shared(_step(good, make(tuple(factors[:middle])), tuple(factors[:middle]), info), whole)
        steps.append(step)
        low, high = (low, middle) if step.share >= 0.5 else (middle, high)
    culprit = factors[high - 1]
    alone = whole if len(factors) == 1 else _shared(_step(good, make((culprit,)), (culprit,), info), whole)
    return Bisection(name, _shared(whole, whole), tuple(steps), culprit, _shared(alone, whole))


def _step(good: Snapshot, made: Snapshot | None, switched: tuple[Factor, ...], info: MeasureInfo) -> Step:
    if made is None:
        return Step(switched, -inf if info.higher_is_better else inf, 1.0, ())
    both = sides(good, made, {})
    if both.missing:
        raise HarnessError(
            f"cells of the good side have no counterpart in the bad one: {', '.join(both.missing)}",
            hint="; ".join((*both.unmatched, "bisect matrices of the same cells, or of one trained cell each")),
        )
    points = None if isfinite(info.bounds[1] - info.bounds[0]) else 0.0  # a measure without a scale
    policy = Policy(checks=(MeasureCheck(measure=info.name, tolerance=points),), scope="recipe")
    report = check(Baseline(name="good", history=(), snapshot=good), made, policy, Files("bad", "good"))
    checks = tuple(each for each in report.checks if each.delta is not None)
    if not checks:
        reasons = "; ".join(each.reason for each in report.checks)
        raise HarnessError(f"the two sides cannot be compared: {reasons}")
    return Step(switched, fmean(each.delta for each in checks if each.delta is not None), 0.0, checks)


def _shared(step: Step, whole: Step) -> Step:
    """With its share of the whole fall."""
    if not step.checks:
        return step
    share = step.delta / whole.delta if whole.checks else 0.0
    return Step(step.switched, step.delta, share, step.checks)
