"""Where a measure's uncertainty comes from, what would shrink it, and what picking a winner hides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from harness.align import Layout
from harness.contrast import Measured
from harness.records.result import Purchase, VarianceTable, Winner
from harness.stats.components import Components, Design, components, purchases
from harness.stats.panel import BoolArray, FloatArray, Moments, contrast_weights, item_contrasts
from harness.stats.winner import optimism


def variance_table(measure: Measured) -> VarianceTable | None:
    """Shares of the variance of a typical pair of trained cells; None with fewer than two of them, or no spread."""
    panel = measure.aligned.panel
    runs = np.asarray(panel.present.any(axis=2))  # (C, S)
    trained = np.flatnonzero(panel.seeded & runs.any(axis=1))
    pairs = list(combinations(trained.tolist(), 2))
    if not pairs or measure.sequential is not None:
        return None
    moments = _moments(measure, contrast_weights([[pair] for pair in pairs], len(panel.seeded)))
    if moments.units.min() < 2:
        return None
    found = _components(measure, moments, runs[trained])
    total = sum(found.terms(found.design).values())
    if total <= 0:
        return None
    shares = {name: term / total for name, term in found.terms(found.design).items()}
    today = found.half_width(found.design)
    offers = [(what, found.half_width(design)) for what, design in purchases(found)]
    return VarianceTable(
        measure=measure.info.name,
        pairs=len(pairs),
        half_width=today,
        items=shares["items"],
        seeds=None if found.seeds is None else shares["seeds"],
        seeds_by_items=None if found.seeds_by_items is None else shares["seeds_by_items"],
        samples=None if found.samples is None else shares["samples"],
        judge=None if found.judge is None else shares["judge"],
        items_per_cluster=found.design.items_per_unit,
        item_sd=found.items**0.5,
        run_sd=found.run**0.5,
        seed_sd=None if found.seeds is None else found.seeds**0.5,
        judge_sd=None if found.judge is None else found.judge**0.5,
        purchases=tuple(Purchase(what=what, half_width=half, shrinks_by=1 - half / today) for what, half in offers),
    )


def _components(measure: Measured, moments: Moments, runs: BoolArray) -> Components:
    """`runs`: (trained cells, S), which seeds each has."""
    noise, seeds = measure.aligned.noise, measure.seeds
    per_cell = runs.sum(axis=1)
    items = float(moments.items.mean())
    design = Design(
        items=items,
        seeds=float(len(per_cell) / (1 / per_cell).sum()),
        repeats=noise.repeats,
        samples=noise.per_item,
        cells=len(per_cell),
        items_per_unit=items / float(moments.units.mean()),
    )
    between, interaction = (seeds.between, seeds.interaction) if seeds else (None, 0.0)
    return components(float(moments.item_variance.mean()), design, between, interaction, noise)


def _moments(measure: Measured, weights: FloatArray) -> Moments:
    if measure.corpus is not None:
        return measure.corpus.moments.contrasts(weights)
    return item_contrasts(measure.aligned.panel, weights).moments


def winner(layout: Layout, measure: Measured, means: Sequence[float | None]) -> Winner | None:
    """The best cell and its expected optimism; None with fewer than three scored cells, where little is picked."""
    scored = [cell for cell, mean in enumerate(means) if mean is not None]
    if len(scored) < 3:
        return None
    sign = 1 if measure.info.higher_is_better else -1
    values = sign * np.array([means[cell] for cell in scored], dtype=np.float64)
    best = int(values.argmax())
    extra = optimism(values, _covariance(measure, scored), measure.testing.permutations, measure.generator())
    return Winner(
        cell=layout.cells[scored[best]].name,
        measure=measure.info.name,
        out_of=len(scored),
        mean=float(sign * values[best]),
        optimism=extra,
    )


def _covariance(measure: Measured, cells: list[int]) -> FloatArray:
    """Covariance of these cells' means: over items, and each cell's own over seeds."""
    panel = measure.aligned.panel
    weights = np.eye(len(panel.seeded))[cells]
    moments = _moments(measure, weights)
    if measure.corpus is not None:
        found = measure.corpus.moments.item_covariance[np.ix_(cells, cells)]
    else:
        by_item = item_contrasts(panel, weights)
        common = by_item.units.counted.all(axis=0)
        units = by_item.units.values[:, common]
        found = np.atleast_2d(np.cov(units)) / units.shape[1] if units.shape[1] > 1 else np.diag(moments.item_variance)
    seeds = measure.seeds.pooled if measure.seeds else 0.0
    return np.asarray(found + np.diag(moments.seed_load.sum(axis=1) * seeds), dtype=np.float64)
