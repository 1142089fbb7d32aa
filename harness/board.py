"""One measure over the whole matrix: every cell's score and ranks, every pair and every axis tested."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.align import Layout, align
from harness.contrast import CellSummary, Contrast, Measured, contrast_all, measured, summarise_cells
from harness.factors import Matched, matched_levels
from harness.records.result import CellScore, Comparison, FactorEffect, Interval, MeasureInfo, TestResult, Verdict
from harness.stats.crossed import tipping_point
from harness.stats.families import holm
from harness.stats.means import interval_at_bound
from harness.stats.power import smallest_detectable_difference
from harness.stats.ranks import RankInterval, rank_intervals
from harness.stats.swap import CorpusScore

FEW_ITEMS = 50
"""Below this many items a t test's false alarms run up to 13 % on scores with rare large losses."""


@dataclass(frozen=True, slots=True)
class MeasureBoard:
    """One measure's share of the result; `scores` in the order of `Layout.cells`."""

    info: MeasureInfo
    scores: tuple[CellScore, ...]
    comparisons: tuple[Comparison, ...]
    effects: tuple[FactorEffect, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Testing:
    """How differences are tested: two-sided at `alpha`, with this many permutations, from this seed."""

    alpha: float
    permutations: int
    seed: int


def measure_board(layout: Layout, info: MeasureInfo, score: CorpusScore | None, plan: Testing) -> MeasureBoard:
    """Align, test, correct, rank. `score` turns counts into the corpus figure, for a corpus measure."""
    measure = measured(info, align(layout, info), score, plan.permutations, plan.seed)
    summaries = summarise_cells(measure)
    means = [summary.mean for summary in summaries]
    scored = [cell for cell in best_first(layout, info, means) if means[cell] is not None]
    pairs = list(combinations(scored, 2))
    comparisons = _comparisons(layout, measure, plan.alpha, pairs)
    ranks = dict(zip(scored, _ranks(scored, pairs, comparisons), strict=True)) if info.ranks else {}
    return MeasureBoard(
        info=info,
        scores=tuple(_cell_score(measure, c, summary, ranks.get(c)) for c, summary in enumerate(summaries)),
        comparisons=tuple(comparison for comparison in comparisons if comparison.n_items),
        effects=_effects(layout, measure, plan.alpha, means),
        warnings=tuple(_warnings(layout, measure, comparisons)),
    )


def best_first(layout: Layout, info: MeasureInfo, means: Sequence[float | None]) -> list[int]:
    """Cells by mean, equal ones by name; cells without a score last."""
    sign = -1 if info.higher_is_better else 1

    def key(cell: int) -> tuple[bool, float, str]:
        mean = means[cell]
        return mean is None, 0.0 if mean is None else sign * mean, layout.cells[cell].name

    return sorted(range(len(means)), key=key)


def _comparisons(layout: Layout, measure: Measured, alpha: float, pairs: list[tuple[int, int]]) -> list[Comparison]:
    contrasts = contrast_all(measure, [[pair] for pair in pairs])
    plain = []
    for (a, b), found in zip(pairs, contrasts, strict=True):
        names = layout.cells[a].name, layout.cells[b].name
        plain.append(_record(measure, alpha, names, (len(layout.seeds(a)), len(layout.seeds(b))), found))
    return _adjust(plain, f"{{n}} pairs of cells on {measure.info.label}", measure.info, alpha)


def _record(
    measure: Measured, alpha: float, names: tuple[str, str], seeds: tuple[int, int], found: Contrast
) -> Comparison:
    """A contrast as a record, not yet corrected for its family."""
    headline = found.headline if found.items >= 2 and not found.identical else None
    one_seed = measure.seeds is None and headline is not None
    return Comparison(
        a=names[0],
        b=names[1],
        measure=measure.info.name,
        scope="recipe" if measure.seeds is not None and found.seed_load > 0 else "checkpoint",
        n_items=found.items,
        seeds_a=seeds[0],
        seeds_b=seeds[1],
        mean_a=found.mean_a,
        mean_b=found.mean_b,
        delta=found.delta,
        interval=Interval(low=headline.interval[0], high=headline.interval[1]) if headline else None,
        p=_headline_p(found),
        p_adjusted=None,
        family="",
        effect_size=found.effect_size,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        mde=smallest_detectable_difference(headline.variance, headline.df, alpha) if headline else None,
        tipping_point=tipping_point(headline, found.seed_load, alpha) if headline and one_seed else None,
        verdict="not shown",
        tests=_tests(measure, found),
        note=_note(found),
    )


def _headline_p(found: Contrast) -> float | None:
    """P-value of the headline test; of the permutation test where every item differs by the same amount."""
    if found.items < 2:
        return None
    if found.identical:
        return 1.0
    return found.headline.p if found.headline else found.permutation_p


def _note(found: Contrast) -> str:
    if found.items < 2:
        return "fewer than two items were scored on both sides"
    if found.identical:
        return "every item has the same score on both sides; p = 1 by rule"
    if found.headline is None:
        return (
            "every item differs by the same amount, so there is no spread to test against; p is the permutation test's"
        )
    return ""


def _tests(measure: Measured, found: Contrast) -> tuple[TestResult, ...]:
    if found.items < 2:
        return ()
    assumes = {"recipe": "items and training seeds vary", "checkpoint": "items vary; these checkpoints only"}
    tests = [
        TestResult(name=f"crossed t ({t.scope})", p=t.p, statistic=t.t, df=t.df, assumes=assumes[t.scope])
        for t in (found.recipe, found.checkpoint)
        if t is not None and not found.identical
    ]
    name, what = ("swap", "the sides' outputs are") if measure.corpus else ("sign-flip", "each item's sides are")
    p = 1.0 if found.identical else found.permutation_p
    about = f"{what} exchangeable item by item; these checkpoints only"
    return (*tests, TestResult(name=f"{name} permutation", p=p, statistic=None, df=None, assumes=about))


def _adjust(comparisons: list[Comparison], family: str, info: MeasureInfo, alpha: float) -> list[Comparison]:
    """Holm over all comparisons that have a p; with it, the verdicts. `family` has `{n}` for the family's size."""
    tested = [c.p for c in comparisons if c.p is not None]
    adjusted = iter(holm(tested))
    text = "Holm over " + family.format(n=len(tested))
    done = []
    for comparison in comparisons:
        p = None if comparison.p is None else float(next(adjusted))
        verdict = _verdict(comparison, p, info, alpha)
        done.append(comparison.model_copy(update={"p_adjusted": p, "family": text, "verdict": verdict}))
    return done


def _verdict(comparison: Comparison, p_adjusted: float | None, info: MeasureInfo, alpha: float) -> Verdict:
    if p_adjusted is None:
        return "too few items"
    if abs(comparison.delta) < 1e-9 and comparison.wins == comparison.losses == 0:
        return "identical"
    if p_adjusted > alpha:
        return "not shown"
    return "better" if (comparison.delta > 0) == info.higher_is_better else "worse"


def _ranks(scored: list[int], pairs: list[tuple[int, int]], comparisons: list[Comparison]) -> tuple[RankInterval, ...]:
    place = {cell: index for index, cell in enumerate(scored)}
    beats = np.zeros((len(scored), len(scored)), dtype=np.bool_)
    for (a, b), comparison in zip(pairs, comparisons, strict=True):
        beats[place[a], place[b]] = comparison.verdict == "better"
        beats[place[b], place[a]] = comparison.verdict == "worse"
    return rank_intervals(beats)


# ---------------------------------------------------------------- cells, effects, warnings


def _cell_score(measure: Measured, cell: int, summary: CellSummary, ranks: RankInterval | None) -> CellScore:
    return CellScore(
        measure=measure.info.name,
        mean=summary.mean,
        interval=_cell_interval(measure.info, summary),
        interval_scope="checkpoint" if summary.test is None else summary.test.scope,
        per_seed=summary.per_seed,
        rank_low=ranks.low if ranks else None,
        rank_high=ranks.high if ranks else None,
        n_items=summary.items,
        unscored=int(measure.aligned.unscored[cell]),
        **_bounds(measure, cell),
    )


def _bounds(measure: Measured, cell: int) -> dict[str, float]:
    """The mean with every unscored item at an end of the scale; nothing where all are scored, or a scale has no end."""
    unscored = int(measure.aligned.unscored[cell])
    ends = scale_bounds(measure.info.unit)
    if not unscored or measure.info.corpus or not np.isfinite(ends).all():
        return {}
    panel = measure.aligned.panel
    scored = int(panel.present[cell].sum())
    total = float(panel.values[cell][panel.present[cell]].sum())
    worst, best = ((total + unscored * end) / (scored + unscored) for end in ends)
    return {"worst": worst, "best": best}


def _cell_interval(info: MeasureInfo, summary: CellSummary) -> Interval | None:
    """Kept inside the scale; exact where every item lies at one end of it; None without spread elsewhere."""
    low, high = scale_bounds(info.unit)
    if summary.test is not None:
        ends = summary.test.interval
        return Interval(low=max(ends[0], low), high=min(ends[1], high))
    at_end = summary.mean in (low, high) and summary.items > 1 and not info.corpus
    if summary.mean is None or not at_end or not np.isfinite([low, high]).all():
        return None
    ends = interval_at_bound(summary.items, low, high, at_high=summary.mean == high)
    return Interval(low=ends[0], high=ends[1])


def scale_bounds(unit: str) -> tuple[float, float]:
    """(0, 100) from `0–100`; no bounds (minus and plus infinity) from a unit that names none."""
    found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*[–-]\s*(-?\d+(?:\.\d+)?)\s*", unit)
    return (float(found[1]), float(found[2])) if found else (-np.inf, np.inf)


def _effects(
    layout: Layout, measure: Measured, alpha: float, means: Sequence[float | None]
) -> tuple[FactorEffect, ...]:
    """Each pair of levels of each axis, over the matched cells that have a score."""
    kept: list[tuple[Matched, list[tuple[int, int]]]] = []
    for levels in matched_levels(layout.cells):
        if pairs := [(a, b) for a, b in levels.pairs if means[a] is not None and means[b] is not None]:
            kept.append((levels, pairs))
    contrasts = contrast_all(measure, [pairs for _, pairs in kept])
    plain = [
        _record(measure, alpha, (m.a, m.b), _fewest_seeds(layout, pairs), found)
        for (m, pairs), found in zip(kept, contrasts, strict=True)
    ]
    adjusted = _adjust(plain, f"{{n}} effects of axes on {measure.info.label}", measure.info, alpha)
    return tuple(
        FactorEffect(axis=m.axis, a=m.a, b=m.b, measure=measure.info.name, pairs=len(pairs), comparison=comparison)
        for (m, pairs), comparison in zip(kept, adjusted, strict=True)
        if comparison.n_items
    )


def _fewest_seeds(layout: Layout, pairs: list[tuple[int, int]]) -> tuple[int, int]:
    first, second = (min(len(layout.seeds(pair[side])) for pair in pairs) for side in (0, 1))
    return first, second


def _warnings(layout: Layout, measure: Measured, comparisons: list[Comparison]) -> list[str]:
    label, seeds = measure.info.label, measure.seeds
    items = len(measure.aligned.items)
    found = []
    if items < FEW_ITEMS:
        found.append(f"{label}: {items} items; below {FEW_ITEMS}, intervals and p-values are rough")
    if unscored := int(measure.aligned.unscored.sum()):
        runs = items * sum(len(group) for group in layout.variants)
        found.append(f"{label}: {unscored} of {runs} responses have no score and are left out")
    if nothing := sum(comparison.n_items == 0 for comparison in comparisons):
        found.append(f"{label}: {nothing} pairs of cells have no scored item in common and are not compared")
    if seeds is None and measure.aligned.panel.seeded.any():
        found.append("one training seed a cell: p-values and intervals speak of these checkpoints only")
    if seeds is not None and seeds.unequal and seeds.ratio is not None:
        found.append(f"{label}: cells differ in seed variance by {seeds.ratio:.1f} times; each pair uses its own")
    return found + _unmatched(layout)


def _unmatched(layout: Layout) -> list[str]:
    return [
        f"{m.axis}: {m.a} and {m.b} never meet in cells that are otherwise equal, so their effect cannot be told"
        for m in matched_levels(layout.cells)
        if not m.pairs
    ]
