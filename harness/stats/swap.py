"""Corpus measures (BLEU, chrF): tests on items' sufficient statistics, because a corpus figure is no mean of items.

A swap test (approximate randomisation: Noreen 1989, Riezler and Maxwell 2005) gives p; an item bootstrap (Koehn 2004)
gives the variance that the crossed t needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.crossed import SeedVariance, pool_seed_variance
from harness.stats.panel import RELATIVE_TOLERANCE, BoolArray, CellPairs, FloatArray, Moments

CorpusScore = Callable[[FloatArray], FloatArray]
"""Summed counts (..., k) -> corpus figure (...)."""

_BLOCK_VALUES = 4_000_000
"""Numbers held at a time by one step of a resampling loop (32 MB)."""
_PAIR_VALUES = 400_000
"""Numbers held at a time while pairs are scored: few enough to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class CorpusPanel:
    """Sufficient statistics for each cell, seed and item. Every used seed of every cell has all items."""

    counts: FloatArray  # (C, S, n, k), 0 where not used
    used: BoolArray  # (C, S)
    seeded: BoolArray  # (C,)

    @property
    def seeds(self) -> FloatArray:
        """(C,): seeds of each cell, at least 1 so that it can divide."""
        return np.asarray(np.maximum(self.used.sum(axis=1), 1), dtype=np.float64)


def corpus_values(panel: CorpusPanel, score: CorpusScore) -> FloatArray:
    """(C, S): the corpus figure of each seed; 0 where not used."""
    return np.where(panel.used, score(panel.counts.sum(axis=2)), 0.0)


@dataclass(frozen=True, slots=True)
class CorpusMoments:
    """What the corpus figures of all cells are, and how they vary."""

    means: FloatArray  # (C,): mean over seeds
    item_covariance: FloatArray  # (C, C): of the means, over the choice of items
    seeds: SeedVariance | None
    items: int
    load: FloatArray  # (C,): 1/S for a trained cell, 0 for an untuned one

    def contrasts(self, weights: FloatArray) -> Moments:
        """Moments of the contrasts with these weights (K, C)."""
        variance = np.einsum("kc,cd,kd->k", weights, self.item_covariance, weights)
        scale = max(float(np.abs(self.means).max(initial=0.0)), 1.0)
        variance[variance <= (RELATIVE_TOLERANCE * scale) ** 2] = 0.0
        items = np.full(len(weights), self.items, dtype=np.int64)
        return Moments(weights @ self.means, variance, items, weights**2 * self.load)


def corpus_moments(
    panel: CorpusPanel, score: CorpusScore, resamples: int, generator: np.random.Generator
) -> CorpusMoments:
    """Bootstrap the items, all cells and seeds together, so that every contrast keeps its pairing."""
    values = corpus_values(panel, score)
    draws = _bootstrap(panel, score, resamples, generator)  # (B, C, S)
    items = panel.counts.shape[2]
    means = values.sum(axis=1) / panel.seeds
    draw_means = draws.sum(axis=2) / panel.seeds
    # A bootstrap variance of n items is (n - 1)/n of the unbiased one.
    unbiased = items / (items - 1) if items > 1 else 1.0
    covariance = np.atleast_2d(np.cov(draw_means, rowvar=False)) * unbiased
    return CorpusMoments(
        means=means,
        item_covariance=covariance,
        seeds=_corpus_seed_variance(panel, values, draws, unbiased),
        items=items,
        load=panel.seeded / panel.seeds,
    )


def _bootstrap(panel: CorpusPanel, score: CorpusScore, resamples: int, generator: np.random.Generator) -> FloatArray:
    cells, seeds, items, k = panel.counts.shape
    flat = panel.counts.transpose(2, 0, 1, 3).reshape(items, cells * seeds * k)
    size = max(1, _BLOCK_VALUES // max(items, cells * seeds * k))
    blocks = []
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = generator.integers(0, items, size=(rows, items))
        drawn += np.arange(rows)[:, None] * items
        weights = np.bincount(drawn.ravel(), minlength=rows * items).reshape(rows, items)
        sums = (weights.astype(np.float64) @ flat).reshape(rows, cells, seeds, k)
        blocks.append(np.where(panel.used, score(sums), 0.0))
    return np.concatenate(blocks)


def _corpus_seed_variance(
    panel: CorpusPanel, values: FloatArray, draws: FloatArray, unbiased: float
) -> SeedVariance | None:
    """Seed variance from the seeds' corpus figures; the interaction from how items move the seeds apart."""
    items = panel.counts.shape[2]
    variances: list[float | None] = []
    dfs: list[int] = []
    interaction_ss = 0.0
    for cell, (used, seeded) in enumerate(zip(panel.used, panel.seeded, strict=True)):
        seeds = int(used.sum())
        if not seeded or seeds < 2 or items < 2:
            variances.append(None)
            dfs.append(0)
            continue
        variances.append(float(values[cell, used].var(ddof=1)))
        dfs.append(seeds - 1)
        own = draws[:, cell][:, used]
        apart = own - own.mean(axis=1, keepdims=True)  # (B, seeds)
        # Per-item scores would give sum(var) = (S - 1) * MS_int / n, which is what this estimates.
        interaction_ss += float(apart.var(axis=0, ddof=1).sum()) * unbiased * items
    return pool_seed_variance(variances, dfs, interaction_ss, float(sum(dfs)))


def swap_test(
    panel: CorpusPanel,
    contrasts: Sequence[CellPairs],
    score: CorpusScore,
    resamples: int,
    generator: np.random.Generator,
) -> FloatArray:
    """Two-sided p-values (K,) of the hypothesis that the two sides of each contrast are exchangeable item by item.

    Each resample swaps the sides' counts of about half of the items, all seeds together; the statistic is the
    difference of the corpus figures of the counts averaged over seeds. (c + 1) / (resamples + 1), where c counts the
    resamples at least as extreme, within 1e-9 of the figures' scale. Sides with equal counts have p = 1 by rule.
    """
    whole, divisor = _seed_sums(panel)  # (C, n, k)
    cells, items, k = whole.shape
    flat = whole.transpose(1, 2, 0).reshape(items, k * cells)
    statistic = _Statistic(whole.sum(axis=1).T, divisor, score)
    figures = score(whole.sum(axis=1) / divisor)
    tolerance = RELATIVE_TOLERANCE * max(1.0, float(np.abs(figures).max(initial=0.0)))
    thresholds = np.abs(statistic.all(np.zeros((k, 1, cells)), contrasts)[0]) - tolerance
    reached = np.zeros(len(contrasts), dtype=np.int64)
    size = max(1, min(resamples, _BLOCK_VALUES // max(items, cells * k)))
    for start in range(0, resamples, size):
        chosen = generator.integers(0, 2, size=(min(size, resamples - start), items), dtype=np.int8)
        moved = (chosen.astype(np.float64) @ flat).reshape(-1, k, cells).transpose(1, 0, 2)
        reached += (np.abs(statistic.all(np.ascontiguousarray(moved), contrasts)) >= thresholds).sum(axis=0)
    p = (reached + 1) / (resamples + 1)
    same = [all(np.array_equal(whole[a], whole[b]) for a, b in pairs) for pairs in contrasts]
    return np.where(same, 1.0, p)


def _seed_sums(panel: CorpusPanel) -> tuple[FloatArray, float]:
    """(counts summed over seeds, scaled to a common number of seeds; that number).

    Sums rather than means: whole counts stay whole, so that a count of nil is exactly nil after any number of swaps.
    """
    seeds = panel.seeds.astype(np.int64)
    common = math.lcm(*seeds.tolist())
    return panel.counts.sum(axis=1) * (common / seeds)[:, None, None], float(common)


@dataclass(frozen=True, slots=True)
class _Statistic:
    """Difference of corpus figures after the chosen items of both sides have changed places.

    Counts come first in all shapes here, so that a metric's formula runs over whole stretches of memory.
    """

    totals: FloatArray  # (k, C)
    divisor: float
    score: CorpusScore

    def all(self, moved: FloatArray, contrasts: Sequence[CellPairs]) -> FloatArray:
        """(B, K) from the chosen items' counts `moved` (k, B, C)."""
        found = np.empty((moved.shape[1], len(contrasts)))
        block = max(1, _PAIR_VALUES // max(1, moved.shape[0] * moved.shape[1]))
        single = [index for index, pairs in enumerate(contrasts) if len(pairs) == 1]
        for start in range(0, len(single), block):
            part = single[start : start + block]
            found[:, part] = self.differences(moved, [contrasts[index][0] for index in part])
        for index, pairs in enumerate(contrasts):
            if len(pairs) > 1:
                found[:, index] = self.differences(moved, pairs).mean(axis=1)
        return found

    def differences(self, moved: FloatArray, pairs: CellPairs) -> FloatArray:
        """(B, J): one for each pair of cells."""
        first = np.array([a for a, _ in pairs])
        second = np.array([b for _, b in pairs])
        change = moved[:, :, second] - moved[:, :, first]
        gained = self.totals[:, None, first] + change
        lost = self.totals[:, None, second] - change
        return self._figure(gained) - self._figure(lost)

    def _figure(self, counts: FloatArray) -> FloatArray:
        return self.score(np.moveaxis(counts / self.divisor, 0, -1))
