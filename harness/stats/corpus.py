"""Corpus measures (BLEU, chrF): a figure of items' summed sufficient statistics, because it is no mean of items.

A paired bootstrap of the items (Koehn 2004) gives the variance that the crossed t needs, and a percentile interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.stats.blocks import each_block
from harness.stats.crossed import SeedVariance, pool_seed_variance
from harness.stats.panel import RELATIVE_TOLERANCE, BoolArray, FloatArray, Moments, Reals

CorpusScore = Callable[[Reals], Reals]
"""Summed counts (..., k), in single or double precision -> corpus figure (...)."""

_BLOCK_VALUES = 4_000_000
"""Numbers held at a time by one step of the resampling loop (32 MB)."""
_RESAMPLES = 250
"""Most resamples of one step: so few that even a thousand are shared out among processors."""
_ROWS = 50
"""Resamples counted at a time, so that the draws stay in the processor's cache."""
WHOLE_IN_FLOAT32 = 2.0**24
"""Whole numbers below this are exact in single precision."""


@dataclass(frozen=True, slots=True)
class CorpusPanel:
    """Sufficient statistics for each cell, seed and unit (an item, or the sum over a cluster of items).

    Every used seed of every cell has all `items`.
    """

    counts: FloatArray  # (C, S, n, k), 0 where not used
    used: BoolArray  # (C, S)
    seeded: BoolArray  # (C,)
    items: int

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
    draw_means: FloatArray  # (B, C): the means in each bootstrap resample
    influence: FloatArray  # (C, units): by how much the mean would fall without that unit, less their average
    seeds: SeedVariance | None
    items: int
    units: int
    load: FloatArray  # (C,): 1/S for a trained cell, 0 for an untuned one

    def contrasts(self, weights: FloatArray) -> Moments:
        """Moments of the contrasts with these weights (K, C)."""
        variance = np.einsum("kc,cd,kd->k", weights, self.item_covariance, weights)
        scale = max(float(np.abs(self.means).max(initial=0.0)), 1.0)
        variance[variance <= (RELATIVE_TOLERANCE * scale) ** 2] = 0.0
        items, units = (np.full(len(weights), number, dtype=np.int64) for number in (self.items, self.units))
        return Moments(weights @ self.means, variance, items, units, weights**2 * self.load)


def corpus_moments(
    panel: CorpusPanel, score: CorpusScore, resamples: int, generator: np.random.Generator
) -> CorpusMoments:
    """Bootstrap the items (or clusters), all cells and seeds together, so that every contrast keeps its pairing."""
    values = corpus_values(panel, score)
    draws = _bootstrap(panel, score, resamples, generator)  # (B, C, S)
    units = panel.counts.shape[2]
    means = values.sum(axis=1) / panel.seeds
    draw_means = draws.sum(axis=2) / panel.seeds
    # A bootstrap variance of n units is (n - 1)/n of the unbiased one.
    unbiased = units / (units - 1) if units > 1 else 1.0
    covariance = np.atleast_2d(np.cov(draw_means, rowvar=False)) * unbiased
    return CorpusMoments(
        means=means,
        item_covariance=covariance,
        draw_means=draw_means,
        influence=_influence(panel, score),
        seeds=_corpus_seed_variance(panel, values, draws, unbiased),
        items=panel.items,
        units=units,
        load=panel.seeded / panel.seeds,
    )


def _influence(panel: CorpusPanel, score: CorpusScore) -> FloatArray:
    """By the jackknife: of a mean it is each unit's own value. An item's own figure says little of a corpus's."""
    without = score(panel.counts.sum(axis=2, keepdims=True) - panel.counts)  # (C, S, units)
    means = np.where(panel.used[:, :, None], without, 0.0).sum(axis=1) / panel.seeds[:, None]
    centre = means.sum(axis=1, keepdims=True) / max(means.shape[1], 1)
    return np.asarray(centre - means, dtype=np.float64)


def _bootstrap(panel: CorpusPanel, score: CorpusScore, resamples: int, generator: np.random.Generator) -> FloatArray:
    """(B, C, S): corpus figures of resampled items; counts come first and resamples last while they are scored.

    Whole counts whose sums single precision holds exactly (nearly always) are summed in it; figures are then formed in
    double precision all the same.
    """
    cells, seeds, units, k = panel.counts.shape
    exact = bool(units * np.abs(panel.counts).max(initial=0.0) < WHOLE_IN_FLOAT32 and (panel.counts % 1 == 0).all())
    kind: type[np.floating] = np.float32 if exact else np.float64
    rows: Reals = panel.counts.transpose(3, 0, 1, 2).reshape(k * cells * seeds, units).astype(kind)
    found = np.empty((resamples, cells, seeds))
    size = max(1, min(_RESAMPLES, _BLOCK_VALUES // max(units, k * cells * seeds)))
    generators = generator.spawn(-(-resamples // size))  # one a block, so that threads cannot change the digits

    def fill(number: int, block: slice) -> None:
        weights = resample_weights(min(block.stop, resamples) - block.start, units, generators[number], kind)
        sums = (rows @ weights.T).astype(np.float64)
        figures = score(np.moveaxis(sums.reshape(k, cells, seeds, -1), 0, -1))
        found[block] = np.where(panel.used[:, :, None], figures, 0.0).transpose(2, 0, 1)

    each_block(fill, resamples, size)
    return found


def resample_weights(
    resamples: int, items: int, generator: np.random.Generator, kind: type[np.floating] = np.float64
) -> Reals:
    """(B, n): how often each of n items was drawn, n draws with replacement a resample."""
    weights = np.empty((resamples, items), dtype=kind)
    offsets = (np.arange(_ROWS) * items)[:, None]
    for start in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - start)
        drawn = generator.integers(0, items, size=(rows, items))
        drawn += offsets[:rows]
        weights[start : start + rows] = np.bincount(drawn.ravel(), minlength=rows * items).reshape(rows, items)
    return weights


def _corpus_seed_variance(
    panel: CorpusPanel, values: FloatArray, draws: FloatArray, unbiased: float
) -> SeedVariance | None:
    """Seed variance from the seeds' corpus figures; the interaction from how items move the seeds apart."""
    variances: list[float | None] = []
    dfs: list[int] = []
    interaction_ss = 0.0
    for cell, (used, seeded) in enumerate(zip(panel.used, panel.seeded, strict=True)):
        seeds = int(used.sum())
        if not seeded or seeds < 2 or panel.counts.shape[2] < 2:
            variances.append(None)
            dfs.append(0)
            continue
        variances.append(float(values[cell, used].var(ddof=1)))
        dfs.append(seeds - 1)
        own = draws[:, cell][:, used]
        apart = own - own.mean(axis=1, keepdims=True)  # (B, seeds)
        # Per-item scores would give sum(var) = (S - 1) * MS_int / n, which is what this estimates.
        interaction_ss += float(apart.var(axis=0, ddof=1).sum()) * unbiased * panel.items
    return pool_seed_variance(variances, dfs, [1 / max(panel.items, 1)] * len(dfs), interaction_ss, float(sum(dfs)))
