"""Scores of all cells of a matrix on one measure, as arrays; and contrasts: weighted sums of cells.

Letters used in shapes throughout harness.stats: C cells, S seeds at most in a cell, n items, K contrasts, k counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Reals = npt.NDArray[np.floating]
"""Single or double precision."""
CellPairs = Sequence[tuple[int, int]]
"""A contrast: the mean of the differences (first minus second) of these pairs of cells, by index."""

RELATIVE_TOLERANCE = 1e-9
"""Two sums nearer than this share of the scores' scale are equal: above rounding, and far below a point."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A value for each cell, seed and item; `present` says where there is one (`values` is 0 elsewhere).

    `seeded[c]` is False for a cell whose scores do not depend on a training seed (an untuned model): its one row stands
    for the cell itself and brings no seed variance.
    """

    values: FloatArray  # (C, S, n)
    present: BoolArray  # (C, S, n)
    seeded: BoolArray  # (C,)
    clusters: IntArray | None = None
    """(n,): the cluster of each item, 0 … G - 1, where items come in groups that stand or fall together."""

    @property
    def scale(self) -> float:
        """Largest absolute score, the yardstick for tolerances."""
        return float(np.abs(self.values).max(initial=0.0))


@dataclass(frozen=True, slots=True)
class ItemMeans:
    """Each item's mean over the seeds that have a score for it; `scored` says where there is at least one."""

    means: FloatArray  # (C, n), 0 where not scored
    scored: BoolArray  # (C, n)
    shares: FloatArray  # (C, S, n): the weight of each seed in the item's mean


def cluster_sums(values: FloatArray, clusters: IntArray) -> FloatArray:
    """(..., G): sums of values (..., n) over the clusters that are there, in the order of their numbers."""
    if not clusters.size:
        return values
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1), dtype=np.float64)


def item_means(panel: Panel) -> ItemMeans:
    """Fold the seeds of every cell."""
    seeds = panel.present.sum(axis=1)  # (C, n)
    shares = panel.present / np.maximum(seeds, 1)[:, None, :]
    return ItemMeans(means=(shares * panel.values).sum(axis=1), scored=seeds > 0, shares=shares)


def contrast_weights(contrasts: Sequence[CellPairs], cells: int) -> FloatArray:
    """(K, C): the weight of each cell in each contrast; rows sum to zero."""
    weights = np.zeros((len(contrasts), cells))
    for row, pairs in zip(weights, contrasts, strict=True):
        for first, second in pairs:
            row[first] += 1 / len(pairs)
            row[second] -= 1 / len(pairs)
    return weights


@dataclass(frozen=True, slots=True)
class Moments:
    """What a crossed t needs to know of K contrasts."""

    estimate: FloatArray  # (K,), points
    item_variance: FloatArray  # (K,): T_item, the variance of the estimate that comes from the choice of items
    items: IntArray  # (K,): items that every cell of the contrast has a score for
    units: IntArray  # (K,): what is drawn independently: items, or clusters of items
    seed_load: FloatArray  # (K, C): what a cell's seed variance is multiplied with: w² / S_c


@dataclass(frozen=True, slots=True)
class Units:
    """What resampling draws, flips or counts for K contrasts: items, or clusters (G of them).

    `values`: their mean over `counted` is the estimate and their paired t the test; for a cluster
    estimate + G/n · (sum of its differences - its size · estimate), whose squares give the CR1 cluster variance.
    `sums`: each unit's summed difference, what a sign flip turns round. Both 0 where not counted.
    """

    values: FloatArray  # (K, G)
    sums: FloatArray  # (K, G)
    counted: BoolArray  # (K, G)
    factors: tuple[FloatArray, FloatArray] | None = None
    """(K, C) and (C, G) whose product `values` and `sums` are, where there is one: C cells are fewer than K contrasts,
    so that resampling sums over them first."""


@dataclass(frozen=True, slots=True)
class ItemContrasts:
    """K contrasts of per-item scores: their moments, and each item's difference (0 for an item left out)."""

    moments: Moments
    differences: FloatArray  # (K, n)
    included: BoolArray  # (K, n)
    units: Units


def item_contrasts(panel: Panel, weights: FloatArray) -> ItemContrasts:
    """Paired by item: an item counts for a contrast when every cell of the contrast has a score for it."""
    folded = item_means(panel)
    included = ((weights != 0).astype(np.float64) @ (~folded.scored).astype(np.float64)) == 0
    items = included.sum(axis=1)
    differences = np.where(included, weights @ folded.means, 0.0)
    # A sum of equal scores can leave rounding behind where the difference is nil.
    differences[np.abs(differences) <= RELATIVE_TOLERANCE * panel.scale] = 0.0
    estimate = differences.sum(axis=1) / np.maximum(items, 1)
    factors = (weights, folded.means) if included.all() else None
    units = _units(panel, Units(differences, differences, included, factors), estimate)
    counts = units.counted.sum(axis=1)
    deviations = np.where(units.counted, units.values - estimate[:, None], 0.0)
    variance = (deviations**2).sum(axis=1) / np.maximum(counts - 1, 1)
    variance[variance <= (RELATIVE_TOLERANCE * panel.scale) ** 2] = 0.0
    load = _seed_load(panel, folded, weights, included)
    moments = Moments(estimate, variance / np.maximum(counts, 1), items, counts, load)
    return ItemContrasts(moments, differences, included, units)


def _units(panel: Panel, items: Units, estimate: FloatArray) -> Units:
    """The items themselves, or their clusters."""
    if panel.clusters is None:
        return items
    sums, sizes = (cluster_sums(each, panel.clusters) for each in (items.sums, items.counted.astype(np.float64)))
    sums[np.abs(sums) <= RELATIVE_TOLERANCE * panel.scale] = 0.0
    counted = sizes > 0
    share = counted.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1)
    values = estimate[:, None] + share[:, None] * (sums - sizes * estimate[:, None])
    return Units(np.where(counted, values, 0.0), sums, counted)


def _seed_load(panel: Panel, folded: ItemMeans, weights: FloatArray, included: BoolArray) -> FloatArray:
    """(K, C). With every score there, w²/S_c; with scores missing, the seeds weigh in as often as they have a score."""
    cells, seeds, n = panel.values.shape
    items = np.maximum(included.sum(axis=1), 1)
    totals = included.astype(np.float64) @ folded.shares.reshape(cells * seeds, n).T  # (K, C*S)
    seed_weights = (totals / items[:, None]).reshape(-1, cells, seeds)
    load = weights**2 * (seed_weights**2).sum(axis=2) * panel.seeded
    return np.asarray(load, dtype=np.float64)
