"""The rule: one candidate against one baseline on one measure -> passed, regressed, or it cannot be told.

One-sided bounds at 1 - alpha of candidate minus baseline (turned round where lower is better), tolerance m:
PASS where the lower bound is above -m; REGRESSION where the upper bound is below 0 (strict: -m) and it is no pass;
else INCONCLUSIVE. Where losses may not have shown yet, the lower bound counts them (`unseen.py`). Passing needs every
check and so no correction; regressions and improvements are corrected (Holm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.align import Aligned
from harness.contrast import Contrast, Measured, Testing, contrast_all, measured
from harness.gate.enough import Enough, enough
from harness.gate.unseen import Unseen, unseen
from harness.records.check import Outcome
from harness.records.result import MeasureInfo
from harness.stats.corpus import CorpusScore
from harness.stats.crossed import CrossedTest, Scope
from harness.stats.families import holm
from harness.stats.panel import BoolArray
from harness.stats.power import smallest_detectable_difference

Pair = tuple[int, int]
"""Cells of the panel by number: the candidate's, the baseline's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of one measure. `tolerance` in points; `seed_sd`: points, see `Testing`."""

    tolerance: float
    alpha: float = 0.05
    strict: bool = False
    scope: Scope = "recipe"
    seed_sd: float | None = None
    resamples: int = 10_000


@dataclass(frozen=True, slots=True)
class Weighed:
    """One pair tested one-sidedly, before any correction. `gain`: the difference with higher as better, points.

    `lower`, `upper`: bounds of candidate minus baseline. `scope` None: nothing was tested.
    """

    rule: Rule
    contrast: Contrast
    gain: float
    lower: float | None
    upper: float | None
    p_pass: float
    p_worse: float
    p_better: float
    scope: Scope | None
    method: str
    enough: Enough | None = None
    smallest_fall: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def testable(self) -> bool:
        """Whether there are two items or more, and seeds to speak of a recipe with."""
        return self.method != ""


def weigh(  # noqa: PLR0913 - a measure's scores, and what is asked of them
    info: MeasureInfo,
    aligned: Aligned,
    score: CorpusScore | None,
    pairs: Sequence[Pair],
    rule: Rule,
    again: BoolArray | None = None,
) -> list[Weighed]:
    """Test every pair on one measure.

    The seed variance is pooled over all cells of the panel, so that a candidate of one seed borrows the baseline's.
    `again`: see `_once`.
    """
    testing = Testing(
        alpha=2 * rule.alpha,
        permutations=rule.resamples,
        margin=rule.tolerance,
        seed_sd=rule.seed_sd,
        level=1 - 2 * rule.alpha,
        headline_only=True,
    )
    measure = _once(info, aligned, score, testing, again)
    if rule.scope == "checkpoint":
        measure = replace(measure, seeds=None)
    contrasts = contrast_all(measure, [[pair] for pair in pairs])
    beyond = contrasts
    if rule.strict:
        beyond = contrast_all(replace(measure, testing=replace(testing, margin=-rule.tolerance)), [[p] for p in pairs])
    return [
        _weighed(measure, rule, pair, found, far) for pair, found, far in zip(pairs, contrasts, beyond, strict=True)
    ]


def _once(
    info: MeasureInfo, aligned: Aligned, score: CorpusScore | None, testing: Testing, again: BoolArray | None
) -> Measured:
    """The measure, its seed variance without the cells (C,) that are there `again`.

    Seeds that stand on both sides are known once: counted twice they would lend the test degrees of freedom.
    """
    if again is None or not again.any():
        return measured(info, aligned, score, testing)
    panel, counts = aligned.panel, aligned.counts
    once = replace(
        aligned,
        panel=replace(panel, seeded=panel.seeded & ~again),
        counts=None if counts is None else replace(counts, seeded=counts.seeded & ~again),
    )
    found = measured(info, once, score, testing)
    corpus = found.corpus
    if corpus is not None and counts is not None:
        corpus = replace(corpus, panel=counts, moments=replace(corpus.moments, load=counts.seeded / counts.seeds))
    return replace(found, aligned=aligned, corpus=corpus)


def _weighed(measure: Measured, rule: Rule, pair: Pair, found: Contrast, far: Contrast) -> Weighed:
    higher = measure.info.higher_is_better
    gain = found.delta if higher else -found.delta
    trained = bool(measure.aligned.panel.seeded[list(pair)].any())
    if found.units < 2 or (not found.identical and rule.scope == "recipe" and measure.seeds is None and trained):
        return Weighed(rule, found, gain, None, None, 1.0, 1.0, 1.0, None, "")
    hidden = unseen(found, measure.aligned, measure.info, rule.tolerance, rule.alpha)
    test, within = found.headline, found.within
    if test is None or within is None:
        return _guarded(measure, pair, _constant(rule, found, gain), hidden, found.units - 1)
    falling = test.p / 2 if gain < 0 else 1 - test.p / 2
    worse = falling
    if rule.strict and far.within is not None:
        worse = far.within.not_worse(not higher)
    lower, upper = test.interval
    weighed = Weighed(
        rule=rule,
        contrast=found,
        gain=gain,
        lower=lower,
        upper=upper,
        p_pass=within.not_worse(higher),
        p_worse=worse,
        p_better=1 - falling,
        scope=test.scope,
        method=test.method,
        smallest_fall=_smallest_fall(test, rule),
    )
    return _guarded(measure, pair, weighed, hidden, test.df, test.variance - found.item_variance)


def _smallest_fall(test: CrossedTest, rule: Rule) -> float | None:
    """None where it is no t test: what bootstrap-t would find is not known."""
    if test.method != "crossed t":
        return None
    beyond = rule.tolerance if rule.strict else 0.0
    return beyond + smallest_detectable_difference(test.variance, test.df, 2 * rule.alpha)


def _guarded(  # noqa: PLR0913 - a test in its parts
    measure: Measured, pair: Pair, weighed: Weighed, hidden: Unseen, df: float, rest: float = 0.0
) -> Weighed:
    """With the losses that the sample may not have shown, and how much more would be enough.

    `rest`: V without T_item.
    """
    found, higher = weighed.contrast, measure.info.higher_is_better
    weighed = replace(weighed, enough=enough(measure, pair, df, hidden))
    if not hidden.counts(found.units):
        return weighed
    p, bound = hidden.passing(weighed.gain, found.item_variance, rest, df, found.units)
    lower, upper = (bound, weighed.upper) if higher else (weighed.lower, -bound)
    note = (
        f"{found.items} items, of which {found.wins + found.losses} moved, might hide rare and deep losses: to pass, "
        f"{hidden.weight:.2g} more are taken to have lost all {hidden.loss:g} points"
    )
    return replace(weighed, p_pass=p, lower=lower, upper=upper, notes=(*weighed.notes, note))


def _constant(rule: Rule, found: Contrast, gain: float) -> Weighed:
    """Every item differs by the same amount, perhaps nil: exact sign test, since there is no spread to divide by."""
    if found.identical:
        return Weighed(rule, found, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, "checkpoint", "rule")
    chance = 0.5**found.units
    beyond = -rule.tolerance if rule.strict else 0.0
    return Weighed(
        rule=rule,
        contrast=found,
        gain=gain,
        lower=found.delta,
        upper=found.delta,
        p_pass=chance if gain > -rule.tolerance else 1.0,
        p_worse=chance if gain < beyond else 1.0,
        p_better=chance if gain > 0 else 1.0,
        scope="checkpoint",
        method="sign test",
        notes=("every item differs by the same amount",),
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What came out, with the corrected p-values of a fall and of a rise."""

    outcome: Outcome
    p_regression: float
    p_improvement: float


def decide(family: Sequence[Weighed], *, corrected: bool = True) -> list[Decision]:
    """Judge checks that stand or fall together. What cannot be tested is inconclusive, and corrects nothing."""
    tested = [k for k, each in enumerate(family) if each.testable]
    worse, better = ([getattr(family[k], name) for k in tested] for name in ("p_worse", "p_better"))
    if corrected:
        worse, better = holm(worse).tolist(), holm(better).tolist()
    adjusted = dict(zip(tested, zip(worse, better, strict=True), strict=True))
    return [_decision(each, *adjusted.get(k, (1.0, 1.0))) for k, each in enumerate(family)]


def _decision(each: Weighed, worse: float, better: float) -> Decision:
    alpha = each.rule.alpha
    outcome: Outcome = "inconclusive"
    if each.p_pass <= alpha:
        outcome = "improved" if better <= alpha else "pass"
    elif worse <= alpha:
        outcome = "regression"
    return Decision(outcome, worse, better)
