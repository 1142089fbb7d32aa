"""One measure over the whole matrix: every cell's score and ranks, every pair and every axis tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil
from typing import cast

import numpy as np

from harness.align import Layout
from harness.contrast import (
    FEW_ITEMS,
    Contrast,
    Measured,
    contrast_all,
    contrast_weighted,
)
from harness.factors import Matched, adjusted_weights, matched_levels, squares
from harness.records.result import CellScore, Comparison, FactorEffect, Interaction, Interval, MeasureInfo
from harness.stats.crossed import WARN_RATIO
from harness.stats.means import interval_at_bound
from harness.stats.panel import FloatArray, contrast_weights, item_contrasts, item_means
from harness.stats.passfail import wilson
from harness.stats.ranks import RankInterval, rank_intervals
from harness.summary import CellSummary, summarise_cells
from harness.verdict import Correction, Sides, judged, record

ROOM, MOST_DRAWS = 20, 1_000_000
"""Resamples that are advised are so many times pairs / alpha, ten times what could just be shown; never more than a
matrix may ask for."""


@dataclass(frozen=True, slots=True)
class MeasureBoard:
    """One measure's share of the result; `scores` in the order of `Layout.cells`."""

    info: MeasureInfo
    scores: tuple[CellScore, ...]
    comparisons: tuple[Comparison, ...]
    effects: tuple[FactorEffect, ...]
    interactions: tuple[Interaction, ...]
    warnings: tuple[Warned, ...]


@dataclass(frozen=True, slots=True)
class Families:
    """Which pairs are corrected together, and how. `baseline`: only pairs with this cell; None for all pairs."""

    baseline: str | None = None
    correction: Correction = "holm"


@dataclass(frozen=True, slots=True)
class _Pairs:
    """All pairs as they are reported, and as the ranks take them."""

    reported: list[Comparison]
    for_ranks: list[Comparison]


def measure_board(layout: Layout, measure: Measured, families: Families) -> MeasureBoard:
    """Test, correct, rank."""
    info = measure.info
    summaries = summarise_cells(measure)
    means = [summary.mean for summary in summaries]
    scored = [cell for cell in best_first(layout, info, means) if means[cell] is not None]
    pairs = [] if info.descriptive else list(combinations(scored, 2))
    found = _comparisons(layout, measure, families, pairs)
    ranks = dict(zip(scored, _ranks(scored, pairs, found.for_ranks), strict=True)) if info.ranks else {}
    return MeasureBoard(
        info=info,
        scores=_cell_scores(measure, summaries, ranks),
        comparisons=tuple(comparison for comparison in found.reported if comparison.n_items),
        effects=_effects(layout, measure, means),
        interactions=_interactions(layout, measure, means) if info.primary else (),
        warnings=(*_warnings(layout, measure, found.reported), *_too_few_draws(measure, found.reported)),
    )


def best_first(layout: Layout, info: MeasureInfo, means: Sequence[float | None]) -> list[int]:
    """Cells by mean, equal ones by name; cells without a score last."""
    sign = -1 if info.higher_is_better else 1

    def key(cell: int) -> tuple[bool, float, str]:
        mean = means[cell]
        return mean is None, 0.0 if mean is None else sign * mean, layout.cells[cell].name

    return sorted(range(len(means)), key=key)


def _comparisons(layout: Layout, measure: Measured, families: Families, pairs: list[tuple[int, int]]) -> _Pairs:
    contrasts = contrast_all(measure, [[pair] for pair in pairs])
    plain = [
        _with_left_out(measure, pair, record(measure, _sides(layout, [pair]), found))
        for pair, found in zip(pairs, contrasts, strict=True)
    ]
    label = measure.info.label
    root = _root(measure, pairs) if families.correction == "max-t" else None
    every = judged(measure, plain, contrasts, f"{{n}} pairs of cells on {label}", root)
    # Ranks hold together only under a family-wise correction over all pairs.
    for_ranks = every if measure.info.primary else _holm_verdicts(measure, plain, contrasts)
    if families.baseline is None:
        return _Pairs(every, for_ranks)
    kept = [k for k, pair in enumerate(plain) if families.baseline in (pair.a, pair.b)]
    chosen = judged(
        measure,
        [plain[k] for k in kept],
        [contrasts[k] for k in kept],
        f"{{n}} cells against the baseline on {label}",
        None if root is None else root[kept],
    )
    for k, comparison in zip(kept, chosen, strict=True):
        every[k] = comparison
    return _Pairs(every, for_ranks)


def _holm_verdicts(measure: Measured, plain: list[Comparison], contrasts: Sequence[Contrast]) -> list[Comparison]:
    primary = replace(measure, info=measure.info.model_copy(update={"primary": True}))
    return judged(primary, plain, contrasts, "{n}")


def _root(measure: Measured, pairs: list[tuple[int, int]]) -> FloatArray:
    """(K, R): rows of length 1 whose products are the correlations of the pairs' estimates."""
    panel = measure.aligned.panel
    weights = contrast_weights([[pair] for pair in pairs], len(panel.seeded))
    seeds = np.maximum(panel.present.any(axis=2).sum(axis=1), 1)
    noise = np.sqrt((measure.seeds.pooled if measure.seeds else 0.0) * panel.seeded / seeds)
    root = np.concatenate([_item_root(measure, weights), weights * noise], axis=1)
    return np.asarray(root / np.maximum(np.sqrt((root**2).sum(axis=1, keepdims=True)), 1e-300), dtype=np.float64)


def _item_root(measure: Measured, weights: FloatArray) -> FloatArray:
    """(K, R): rows whose products are the covariances of the contrasts by items.

    Where scores are missing two contrasts vary together by the items that both of them count.
    """
    if measure.corpus is not None:
        covariance = measure.corpus.moments.item_covariance
    else:
        panel = measure.aligned.panel
        contrasts = item_contrasts(panel, weights)
        if contrasts.units.factors is None:
            counted, count = contrasts.units.counted, np.maximum(contrasts.moments.units, 2)[:, None]
            centred = np.where(counted, contrasts.units.values - contrasts.moments.estimate[:, None], 0.0)
            _, root = np.linalg.qr((centred / np.sqrt(count * (count - 1))).T)
            return np.asarray(root.T)
        means = item_means(panel).means
        covariance = np.atleast_2d(np.cov(means)) / max(means.shape[1], 1)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(weights @ (vectors * np.sqrt(np.maximum(values, 0))))


def _with_left_out(measure: Measured, pair: tuple[int, int], comparison: Comparison) -> Comparison:
    a, b = (measure.aligned.left_out[cell] for cell in pair)
    return comparison.model_copy(update={"left_out_a": a, "left_out_b": b})


def _sides(layout: Layout, pairs: Sequence[tuple[int, int]], names: tuple[str, str] | None = None) -> Sides:
    """Names (of the one pair's cells, where none are given) and the fewest seeds of each side."""
    first, second = (min(len(layout.seeds(pair[side])) for pair in pairs) for side in (0, 1))
    a, b = names or (layout.cells[pairs[0][0]].name, layout.cells[pairs[0][1]].name)
    return Sides(a, b, first, second)


def _ranks(scored: list[int], pairs: list[tuple[int, int]], comparisons: list[Comparison]) -> tuple[RankInterval, ...]:
    place = {cell: index for index, cell in enumerate(scored)}
    beats = np.zeros((len(scored), len(scored)), dtype=np.bool_)
    for (a, b), comparison in zip(pairs, comparisons, strict=True):
        beats[place[a], place[b]] = comparison.verdict == "better"
        beats[place[b], place[a]] = comparison.verdict == "worse"
    return rank_intervals(beats)


# ---------------------------------------------------------------- cells, effects, warnings


def cell_scores(measure: Measured) -> tuple[CellScore, ...]:
    """Every cell by itself, without ranks, in the order of the layout."""
    return _cell_scores(measure, summarise_cells(measure), {})


def _cell_scores(
    measure: Measured, summaries: Sequence[CellSummary], ranks: Mapping[int, RankInterval]
) -> tuple[CellScore, ...]:
    binary = measure.pass_or_fail
    return tuple(
        _cell_score(measure, c, summary, ranks.get(c), passfail=bool(binary[c])) for c, summary in enumerate(summaries)
    )


def _cell_score(
    measure: Measured, cell: int, summary: CellSummary, ranks: RankInterval | None, *, passfail: bool
) -> CellScore:
    return CellScore(
        measure=measure.info.name,
        mean=summary.mean,
        interval=_cell_interval(measure, summary, passfail=passfail),
        interval_scope="checkpoint" if summary.test is None else summary.test.scope,
        per_seed=summary.per_seed,
        rank_low=ranks.low if ranks else None,
        rank_high=ranks.high if ranks else None,
        n_items=summary.items,
        unscored=int(measure.aligned.unscored[cell]),
        left_out=measure.aligned.left_out[cell],
        **_bounds(measure, cell),
    )


def _bounds(measure: Measured, cell: int) -> dict[str, float]:
    """The mean with every unscored item at an end of the scale; nothing where all are scored, or a scale has no end."""
    unscored = int(measure.aligned.unscored[cell])
    ends = measure.info.bounds
    if not unscored or measure.info.corpus or not np.isfinite(ends).all():
        return {}
    panel = measure.aligned.panel
    scored = int(panel.present[cell].sum())
    total = float(panel.values[cell][panel.present[cell]].sum())
    worst, best = ((total + unscored * end) / (scored + unscored) for end in ends)
    return {"worst": worst, "best": best}


def _cell_interval(measure: Measured, summary: CellSummary, *, passfail: bool) -> Interval | None:
    """Kept inside the scale; Wilson's for one run of passes and fails; exact where all items lie at one end.

    None without spread elsewhere.
    """
    low, high = measure.info.bounds
    if summary.test is not None:
        low_end, high_end = summary.test.interval
        if passfail and not measure.clustered and measure.sequential is None and summary.test.scope == "checkpoint":
            passed = round((cast(float, summary.mean) - low) / (high - low) * summary.items)
            low_end, high_end = (low + share * (high - low) for share in wilson(passed, summary.items))
        return Interval(low=max(low_end, low), high=min(high_end, high))
    at_end = summary.mean in (low, high) and summary.units > 1 and not measure.info.corpus
    if summary.mean is None or not at_end or not np.isfinite([low, high]).all():
        return None
    ends = interval_at_bound(summary.units, low, high, at_high=summary.mean == high)
    return Interval(low=ends[0], high=ends[1])


def _effects(layout: Layout, measure: Measured, means: Sequence[float | None]) -> tuple[FactorEffect, ...]:
    """Each pair of levels of each axis, over the matched cells that have a score.

    Levels that never meet in otherwise equal cells are set against each other by an additive model, where that can.
    """
    kept: list[tuple[Matched, list[tuple[int, int]]]] = []
    adjusted: list[tuple[Matched, FloatArray]] = []
    for levels in [] if measure.info.descriptive else matched_levels(layout.cells):
        if pairs := [(a, b) for a, b in levels.pairs if means[a] is not None and means[b] is not None]:
            kept.append((levels, pairs))
        elif (weights := adjusted_weights(layout.cells, levels)) is not None and _all_scored(weights, means):
            adjusted.append((levels, weights))
    contrasts = [*contrast_all(measure, [pairs for _, pairs in kept])]
    plain = [
        record(measure, _sides(layout, pairs, (m.a, m.b)), found)
        for (m, pairs), found in zip(kept, contrasts, strict=True)
    ]
    modelled = contrast_weighted(measure, np.array([weights for _, weights in adjusted]))
    for (m, weights), found in zip(adjusted, modelled, strict=True):
        used = [(cell, cell) for cell in np.flatnonzero(weights).tolist()]
        plain.append(_modelled(record(measure, _sides(layout, used, (m.a, m.b)), found)))
    done = judged(measure, plain, [*contrasts, *modelled], f"{{n}} effects of axes on {measure.info.label}")
    sizes = [*((m, len(pairs)) for m, pairs in kept), *((m, 0) for m, _ in adjusted)]
    return tuple(
        FactorEffect(axis=m.axis, a=m.a, b=m.b, measure=measure.info.name, pairs=size, comparison=comparison)
        for (m, size), comparison in zip(sizes, done, strict=True)
        if comparison.n_items
    )


def _modelled(comparison: Comparison) -> Comparison:
    note = "these levels never meet in otherwise equal cells: estimated by an additive model of all axes"
    return comparison.model_copy(update={"note": f"{note}; {comparison.note}" if comparison.note else note})


def _all_scored(weights: FloatArray, means: Sequence[float | None]) -> bool:
    return all(means[cell] is not None for cell in np.flatnonzero(weights).tolist())


def _interactions(layout: Layout, measure: Measured, means: Sequence[float | None]) -> tuple[Interaction, ...]:
    """Does one axis matter more at one level of another? Difference of differences over complete squares of cells."""
    kept = [
        square
        for square in squares(layout.cells)
        if all(means[cell] is not None for pair in (*square.at_c, *square.at_d) for cell in pair)
    ]
    cells = len(layout.cells)
    at_c, at_d = (contrast_weights([getattr(square, side) for square in kept], cells) for side in ("at_c", "at_d"))
    found = contrast_weighted(measure, at_c - at_d)
    simple = [contrast_weighted(measure, weights) for weights in (at_c, at_d)]
    # Every contrast goes through the one place that knows when there is a p, and when a verdict.
    judged_ = judged(
        measure,
        [record(measure, Sides("", "", 0, 0), contrast) for contrast in found],
        found,
        f"{{n}} interactions on {measure.info.label}",
    )
    return tuple(
        Interaction(
            axis=square.axis,
            a=square.a,
            b=square.b,
            other_axis=square.other,
            c=square.c,
            d=square.d,
            measure=measure.info.name,
            at_c=c.delta,
            at_d=d.delta,
            delta=comparison.delta,
            interval=comparison.interval,
            p=comparison.p,
            p_adjusted=comparison.p_adjusted,
            family=comparison.family,
            scope=comparison.scope,
            shown=comparison.verdict in ("better", "worse"),
        )
        for square, comparison, c, d in zip(kept, judged_, *simple, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Warned:
    """What to beware of; `of`: a measure's label, where it is not said of the whole matrix."""

    text: str
    of: str | None = None


def said_once(warnings: Iterable[Warned]) -> list[str]:
    """In order; measures of which the same is said stand before it together."""
    labels: dict[str, dict[str, None]] = {}
    for warned in warnings:
        labels.setdefault(warned.text, {}).update({} if warned.of is None else {warned.of: None})
    return [f"{', '.join(names)}: {text}" if names else text for text, names in labels.items()]


def _warnings(layout: Layout, measure: Measured, comparisons: list[Comparison]) -> list[Warned]:
    label, seeds = measure.info.label, measure.seeds
    items = len(measure.aligned.items)
    found = []
    if items < FEW_ITEMS:
        found.append(Warned(f"{items} items; below {FEW_ITEMS}, intervals and p-values are rough", label))
    if unscored := int(measure.aligned.unscored.sum()):
        runs = items * sum(len(group) for group in layout.variants)
        found.append(Warned(f"{unscored} of {runs} responses have no score and are left out", label))
    if nothing := sum(comparison.n_items == 0 for comparison in comparisons):
        found.append(Warned(f"{nothing} pairs of cells have no scored item in common and are not compared", label))
    if (course := measure.sequential) is not None:
        spared = f"{course.spared:,} of {course.asked + course.spared:,} questions were spared"
        found.append(Warned(f"asked until it was decided: {spared}, and intervals are wider for it", label))
    elif seeds is None and measure.aligned.panel.seeded.any():
        found.append(Warned("one training seed a cell: p-values and intervals speak of these checkpoints only"))
    if seeds is not None and seeds.unequal:
        ratio = f"more than {WARN_RATIO:g}" if seeds.ratio is None else f"{seeds.ratio:.1f}"
        found.append(Warned(f"cells differ in seed variance by {ratio} times; each pair uses its own", label))
    return found + [Warned(text) for text in _unmatched(layout)]


def _too_few_draws(measure: Measured, comparisons: Sequence[Comparison]) -> list[Warned]:
    """Where a p is as small as the resamples can make it, and the correction leaves nothing of it."""
    draws, alpha = measure.testing.permutations, measure.testing.alpha
    least = 2 / (draws + 1) * (1 + 1e-9)
    cut_off = [
        c
        for c in comparisons
        if c.method in ("bootstrap-t", "permutation") and (c.p or 1.0) <= least and (c.p_adjusted or 0.0) > alpha
    ]
    if not cut_off:
        return []
    family = max(sum(other.family == each.family for other in comparisons) for each in cut_off)
    wanted = min(ceil(ROOM * family / alpha), MOST_DRAWS)
    told = (
        f"{draws:,} resamples make no p smaller than {least:.1g}, which is nothing after the correction over {family} "
        f"pairs; {len(cut_off)} of them stop there: set `compare.permutations: {wanted}`"
    )
    return [Warned(told, measure.info.label)]


def _unmatched(layout: Layout) -> list[str]:
    return [
        f"{m.axis}: {m.a} and {m.b} never meet in cells that are otherwise equal, so their effect cannot be told"
        for m in matched_levels(layout.cells)
        if not m.pairs and adjusted_weights(layout.cells, m) is None
    ]
