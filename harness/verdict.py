"""From tested contrasts to comparisons with a verdict: corrected over their family, and guarded where items are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri, stdtrit

from harness.contrast import FEW_ITEMS, MANY_ITEMS, SKEWED, Contrast, Measured
from harness.records.result import Comparison, Interval, TestResult, UntilDecided, Verdict
from harness.stats.bootstrap import ALPHAS
from harness.stats.crossed import CrossedTest, tipping_point
from harness.stats.families import benjamini_hochberg, holm, max_t
from harness.stats.means import unseen_reach
from harness.stats.panel import FloatArray
from harness.stats.power import smallest_detectable_difference

Correction = Literal["holm", "max-t"]
NARROW_ITEMS = 100
"""Below this many items bootstrap intervals, which take no t, leave out the truth 6 to 7 times in 100."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Whom a contrast sets against whom: names, and the (fewest) seeds of each side."""

    a: str
    b: str
    seeds_a: int
    seeds_b: int


def record(measure: Measured, sides: Sides, found: Contrast) -> Comparison:
    """A contrast as a record, not yet corrected for its family."""
    headline = found.headline if found.units >= 2 and not found.identical else None
    t, stopped = _deciding_t(found), headline is not None and headline.method == "betting"
    testing, within = measure.testing, found.within
    return Comparison(
        a=sides.a,
        b=sides.b,
        measure=measure.info.name,
        scope="recipe" if measure.seeds is not None and found.seed_load > 0 else "checkpoint",
        n_items=found.items,
        seeds_a=sides.seeds_a,
        seeds_b=sides.seeds_b,
        mean_a=found.mean_a,
        mean_b=found.mean_b,
        delta=found.delta,
        interval=_shown_interval(measure, found, headline) if headline else None,
        p=_headline_p(found),
        p_adjusted=None,
        family="",
        effect_size=found.effect_size,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        mde=_detectable(measure, found, testing.alpha),
        tipping_point=tipping_point(t, found.seed_load, testing.alpha) if t and measure.seeds is None else None,
        verdict="not shown",
        tests=_tests(measure, found),
        note=_note(measure, found),
        method=_method(found),
        margin=testing.margin,
        p_equivalent=within.equivalent if within and headline else None,
        p_not_worse=within.not_worse(measure.info.higher_is_better) if within and headline else None,
        p_not_better=within.not_worse(not measure.info.higher_is_better) if within and headline else None,
        until_decided=_until_decided(measure, found) if stopped else None,
    )


def _deciding_t(found: Contrast) -> CrossedTest | None:
    """The headline where it is a t test that decides alone."""
    test = found.headline
    return test if test is not None and test.method == "crossed t" and found.units >= FEW_ITEMS else None


def _detectable(measure: Measured, found: Contrast, alpha: float) -> float | None:
    """Smallest true difference (points) that the deciding test finds four times in five at `alpha`; None: none, or not
    known.

    Where bootstrap-t decides, the longer arm of its interval takes the place of the t's. Of few items the interval has
    to leave out nil after it was widened, too.
    """
    test, level = found.headline, measure.testing.level
    if test is None or test.method == "betting":
        return None
    seen = smallest_detectable_difference(test.variance, test.df, alpha)
    if test.method == "bootstrap-t" and found.arms is not None:
        at_alpha = np.interp(-ndtri(alpha / 2), -ndtri(ALPHAS / 2), found.arms)
        arm = max(at_alpha, test.interval[1] - found.delta, found.delta - test.interval[0])
        seen += max(float(arm - stdtrit(test.df, 1 - alpha / 2) * np.sqrt(test.variance)), 0.0)
    if found.units < FEW_ITEMS:
        at_level = smallest_detectable_difference(test.variance, test.df, 1 - level)
        seen = max(seen, at_level + _reach(measure, found))
    return seen if np.isfinite(seen) and seen <= found.furthest else None


def _until_decided(measure: Measured, found: Contrast) -> UntilDecided:
    low, high = found.headline.interval if found.headline else (0.0, 0.0)
    return UntilDecided(
        items=found.items,
        out_of=len(measure.aligned.items),
        half_width=(high - low) / 2,
        fixed_half_width=found.fixed_half_width,
    )


def _shown_interval(measure: Measured, found: Contrast, headline: CrossedTest) -> Interval | None:
    """Of few items it is widened by what unseen ones could add; None where the scale has no ends to bound that."""
    low, high = headline.interval
    if headline.method == "betting" or found.units >= FEW_ITEMS:
        return _interval(headline.interval)
    reach = _reach(measure, found)
    if not np.isfinite(reach):
        return None
    return Interval(low=max(low - reach, -found.furthest), high=min(high + reach, found.furthest))


def _interval(ends: tuple[float, float]) -> Interval:
    return Interval(low=ends[0], high=ends[1])


def _headline_p(found: Contrast) -> float | None:
    """P-value of the headline test; of the permutation test where every item differs by the same amount."""
    if found.units < 2:
        return None
    if found.identical:
        return 1.0
    return found.headline.p if found.headline else found.permutation_p


def _method(found: Contrast) -> str:
    if found.identical:
        return "rule"
    return found.headline.method if found.headline else "permutation"


def _note(measure: Measured, found: Contrast) -> str:
    if found.units < 2:
        one_cluster = f"all {found.items} items are of one cluster, so there is no spread to test against"
        return one_cluster if found.items > 1 else "fewer than two items were scored on both sides"
    if found.identical:
        return "every item has the same score on both sides; p = 1 by rule"
    if found.headline is None:
        return (
            "every item differs by the same amount, so there is no spread to test against; p is the permutation test's"
        )
    if found.headline.method == "betting":
        return _betting_note(measure, found)
    return _t_note(measure, found, found.headline)


FEW_DIFFERING = 4
"""Items that differ below which more than 2.5 % of the resamples hold none: of 3 exp(-3) = 5 %, of 4 1.8 %."""


def _t_note(measure: Measured, found: Contrast, headline: CrossedTest) -> str:
    if found.units < FEW_ITEMS:
        return _few_note(measure, found)
    if headline.method != "bootstrap-t":
        doubt = _doubt(found, headline.method)
        return f"differences are skewed ({found.skewness:+.1f}): the t test may be {doubt}" if doubt else ""
    note = f"differences are skewed ({found.skewness:+.1f}): p and interval are the bootstrap-t's"
    differing = found.wins + found.losses
    if differing >= FEW_DIFFERING:
        return note
    return f"{note}, which only {differing} items that differ cannot bound on the side where rare ones would lie"


def _betting_note(measure: Measured, found: Contrast) -> str:
    """What was spared and what it cost."""
    paid = _until_decided(measure, found)
    note = (
        f"judged until it was decided, on {paid.items} of {paid.out_of} items: the interval, ±{paid.half_width:.1f}, "
    )
    note += "holds whenever one stops"
    if paid.fixed_half_width is not None:
        note += f"; as many items fixed beforehand would have given ±{paid.fixed_half_width:.1f}"
    return note + "; stopping early makes the difference itself look somewhat too large"


def _few_note(measure: Measured, found: Contrast) -> str:
    what = "clusters" if measure.clustered else "items"
    reach = _reach(measure, found)
    head = f"fewer than {FEW_ITEMS} {what}: a rare loss or gain may not have shown yet"
    if not np.isfinite(reach):
        return f"{head}, and the scale has no ends that would bound it: no interval is given"
    return f"{head}; the interval is {reach:.1f} points wider at each end for it, within the scale"


def _reach(measure: Measured, found: Contrast) -> float:
    """How far unseen differences may still pull the mean, points; infinite on a scale without ends."""
    low, high = measure.info.bounds
    if found.units < 1 or not np.isfinite([low, high]).all():
        return np.inf
    return unseen_reach(found.units, low, high)


def _tests(measure: Measured, found: Contrast) -> tuple[TestResult, ...]:
    if found.units < 2:
        return ()
    assumes = {"recipe": "items and training seeds vary", "checkpoint": ITEMS_ONLY}
    tests = [
        TestResult(
            name=f"{t.method} ({t.scope})",
            p=t.p,
            statistic=t.t,
            df=t.df,
            assumes="items come in random order, and one may stop at any; these checkpoints only"
            if t.method == "betting"
            else assumes[t.scope],
            interval=_interval(t.interval),
        )
        for t in found.tests
    ]
    return tuple(_cautious(found, test) for test in (*tests, *_permutation(measure, found), *_beside(found)))


def _cautious(found: Contrast, test: TestResult) -> TestResult:
    """A method that calibration has seen fail on scores like these says so."""
    doubt = _doubt(found, test.name.split(" (")[0])
    return test.model_copy(update={"holds": False, "assumes": f"{test.assumes}; {doubt}"}) if doubt else test


def _doubt(found: Contrast, name: str) -> str:
    skewed = abs(found.skewness) > SKEWED
    if name in ("betting", "McNemar") or found.identical:
        return ""
    if found.units < FEW_ITEMS:
        return f"fewer than {FEW_ITEMS} items: too sure where losses are rare"
    if name == "Wilcoxon signed-rank":
        return "differences are skewed: it says nothing of the mean" if skewed else ""
    if skewed and found.units <= MANY_ITEMS and name not in ("bootstrap-t", "BCa bootstrap"):
        return "too sure of differences as skewed as these"
    narrow = name in ("percentile bootstrap", "BCa bootstrap") and found.units < NARROW_ITEMS
    return f"a little too narrow below {NARROW_ITEMS} items" if narrow else ""


def _permutation(measure: Measured, found: Contrast) -> list[TestResult]:
    name, what = ("swap", "the sides' outputs are") if measure.corpus else ("sign-flip", "each item's sides are")
    p = 1.0 if found.identical else found.permutation_p
    if p is None:
        return []
    about = f"{what} exchangeable item by item; these checkpoints only"
    return [TestResult(name=f"{name} permutation", p=p, statistic=None, df=None, assumes=about)]


def _beside(found: Contrast) -> list[TestResult]:
    """Tests that are shown and decide nothing."""
    if found.identical:
        return []
    tests = [
        TestResult(name=name, p=None, statistic=None, df=None, interval=_interval(ends), assumes=ITEMS_ONLY)
        for name, ends in found.bootstraps
    ]
    ranks = "whether gains outrank losses, not whether the mean moved; these checkpoints only"
    passed = "which items only one side passed; these checkpoints only"
    for name, p, about in (("Wilcoxon signed-rank", found.wilcoxon_p, ranks), ("McNemar", found.mcnemar_p, passed)):
        if p is not None:
            tests.append(TestResult(name=name, p=p, statistic=None, df=None, assumes=about))
    return tests


ITEMS_ONLY = "items vary; these checkpoints only"


# ---------------------------------------------------------------- families


def judged(
    measure: Measured,
    comparisons: Sequence[Comparison],
    contrasts: Sequence[Contrast],
    family: str,
    root: FloatArray | None = None,
) -> list[Comparison]:
    """Correct all comparisons that have a p, as one family, and say what each shows.

    Holm over the primary measure; Benjamini-Hochberg, labelled exploratory, over any other. `root`: max-T instead of
    Holm, from the contrasts' joint distribution (see `max_t`). `family` has `{n}` for the family's size.
    """
    tested = [k for k, comparison in enumerate(comparisons) if comparison.p is not None]
    pairs = [(comparisons[k], contrasts[k]) for k in tested]
    adjusted = dict(zip(tested, _adjusted(measure, pairs, tested, root), strict=True))
    bounded = [k for k in tested if comparisons[k].p_equivalent is not None]
    equivalent = dict(zip(bounded, holm([comparisons[k].p_equivalent or 0.0 for k in bounded]), strict=True))
    text = f"{_correction(measure, root)} over {family.format(n=len(tested))}"
    text += "" if measure.info.primary else ", exploratory"
    done = []
    for k, (comparison, found) in enumerate(zip(comparisons, contrasts, strict=True)):
        changes: dict[str, Any] = {
            "p_adjusted": float(adjusted[k]) if k in adjusted else None,
            "p_equivalent": float(equivalent[k]) if k in equivalent else None,
            "family": text,
        }
        changes |= _foreseen(measure, comparison, found, changes["p_adjusted"], len(tested))
        corrected = comparison.model_copy(update=changes)
        done.append(_with_verdict(measure, corrected, found))
    return done


def _foreseen(
    measure: Measured, comparison: Comparison, found: Contrast, adjusted: float | None, size: int
) -> dict[str, float | None]:
    """What depends on the level that the family leaves: alpha / `size`, or what this very p had to keep to."""
    test, alpha, p = _deciding_t(found), measure.testing.alpha, comparison.p
    foreseen: dict[str, float | None] = {"mde": _detectable(measure, found, alpha / max(size, 1))}
    if test is not None and p is not None and adjusted and comparison.tipping_point is not None:
        kept_to = max(alpha / size, alpha * p / adjusted)
        foreseen["tipping_point"] = tipping_point(test, found.seed_load, kept_to)
    return foreseen


def _correction(measure: Measured, root: FloatArray | None) -> str:
    if not measure.info.primary:
        return "Benjamini–Hochberg"
    return "Holm" if root is None else "max-T"


def _adjusted(
    measure: Measured, tested: Sequence[tuple[Comparison, Contrast]], places: Sequence[int], root: FloatArray | None
) -> FloatArray:
    p = np.array([comparison.p for comparison, _ in tested], dtype=np.float64)
    if not measure.info.primary:
        return benjamini_hochberg(p)
    df = [found.headline.df for _, found in tested if found.headline]
    if root is None or not df:
        return holm(p)
    return max_t(p, min(df), root[list(places)], measure.testing.permutations, measure.generator())


def _with_verdict(measure: Measured, comparison: Comparison, found: Contrast) -> Comparison:
    verdict = _verdict(measure, comparison, found)
    note, margin = comparison.note, comparison.margin
    if verdict in ("better", "worse") and _within_margin(measure, comparison):
        note = f"{note}; " if note else ""
        note += f"a difference, but one within ±{margin:g}"
    return comparison.model_copy(update={"verdict": verdict, "note": note})


def _within_margin(measure: Measured, comparison: Comparison) -> bool:
    return comparison.p_equivalent is not None and comparison.p_equivalent <= measure.testing.alpha


def _verdict(measure: Measured, comparison: Comparison, found: Contrast) -> Verdict:
    if comparison.p_adjusted is None:
        return "too few items"
    if found.identical:
        return "identical"
    few = found.units < FEW_ITEMS and not (found.headline and found.headline.method == "betting")
    if comparison.p_adjusted > measure.testing.alpha:
        return "equivalent" if not few and _within_margin(measure, comparison) else "not shown"
    nearest = min(map(abs, found.headline.interval)) if found.headline else abs(found.delta)
    if few and nearest <= _reach(measure, found):
        return "too few items"
    return "better" if (comparison.delta > 0) == measure.info.higher_is_better else "worse"
