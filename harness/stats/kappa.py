"""How far two raters agree: Cohen's kappa, plain and weighted, and Spearman's rank correlation, with intervals.

Cohen (1960, 1968); the intervals are percentiles over resampled items, because answers to one item hang together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.stats.corpus import resample_weights
from harness.stats.panel import FloatArray, IntArray

LEVEL = 0.95
MOST_UNDEFINED = 0.05
"""Share of resamples without a value beyond which no interval is given."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """A figure; NaN where one rater gave one grade to everything; its ends NaN where resampling cannot tell them."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two raters about the same answers."""

    kappa: Agreed
    weighted: Agreed
    spearman: Agreed


def grades(scores: FloatArray, levels: int) -> IntArray:
    """Scores of 0 to 1 as grades 0 … levels - 1, each an equal part of the scale."""
    return np.minimum((scores * levels + 1e-9).astype(np.int64), levels - 1)


def agreement(
    a: FloatArray, b: FloatArray, items: IntArray, levels: int, resamples: int, generator: np.random.Generator
) -> Agreement:
    """Of two raters' scores (n,) of the same n answers, 0 to 1. `items`: (n,), the item of each, from 0 on."""
    drawn = resample_weights(resamples, int(items.max()) + 1, generator)  # (R, items)
    weights = np.concatenate([np.ones((1, len(items))), drawn[:, items]])  # (1 + R, n): the first is the sample itself
    cell = grades(a, levels) * levels + grades(b, levels)
    joint = np.stack([weights[:, cell == k].sum(axis=1) for k in range(levels**2)], axis=1)
    tables = joint.reshape(-1, levels, levels)
    place = np.arange(levels)
    apart = (place[:, None] - place[None, :]).astype(np.float64)
    return Agreement(
        kappa=_interval(_kappas(tables, (apart != 0).astype(np.float64))),
        weighted=_interval(_kappas(tables, apart**2)),
        spearman=_interval(_rank_correlations(a, b, weights)),
    )


def _kappas(tables: FloatArray, cost: FloatArray) -> FloatArray:
    """(R,) from (R, L, L) counts and (L, L) costs of disagreeing."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    chance = shares.sum(axis=2)[:, :, None] * shares.sum(axis=1)[:, None, :]
    observed, expected = ((each * cost).sum(axis=(1, 2)) for each in (shares, chance))
    return np.where(expected > 1e-12, 1 - observed / np.maximum(expected, 1e-12), np.nan)


def _rank_correlations(a: FloatArray, b: FloatArray, weights: FloatArray) -> FloatArray:
    """(R,): Pearson's correlation of the mid-ranks of the answers, each as often as its weight says."""
    x, y = (_ranks(scores, weights) for scores in (a, b))
    total = weights.sum(axis=1, keepdims=True)
    x, y = (each - (weights * each).sum(axis=1, keepdims=True) / total for each in (x, y))
    spread = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    return np.where(spread > 1e-9, (weights * x * y).sum(axis=1) / np.maximum(spread, 1e-9), np.nan)


def _ranks(scores: FloatArray, weights: FloatArray) -> FloatArray:
    """(R, n) mid-ranks, up to a shift."""
    values, which = np.unique(scores, return_inverse=True)
    counts = np.stack([weights[:, which == k].sum(axis=1) for k in range(len(values))], axis=1)
    middle = np.cumsum(counts, axis=1) - counts / 2
    return np.asarray(middle[:, which], dtype=np.float64)


def _interval(values: FloatArray) -> Agreed:
    """The first is the figure, the others its resamples."""
    drawn = values[1:]
    known = drawn[~np.isnan(drawn)]
    if np.isnan(values[0]) or len(known) < (1 - MOST_UNDEFINED) * len(drawn) or not len(known):
        return Agreed(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Agreed(float(values[0]), float(low), float(high))
