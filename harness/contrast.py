"""One measure over all cells, contrasted: what the statistics say about differences between cells, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from harness.align import Aligned
from harness.records.result import MeasureInfo
from harness.stats.crossed import CrossedTest, Scope, SeedVariance, crossed_t, seed_variance
from harness.stats.panel import (
    CellPairs,
    FloatArray,
    ItemContrasts,
    Moments,
    contrast_weights,
    item_contrasts,
    item_means,
)
from harness.stats.signflip import sign_flip
from harness.stats.corpus import CorpusMoments, CorpusPanel, CorpusScore, corpus_moments, corpus_values
from harness.stats.swap import swap_test


@dataclass(frozen=True, slots=True)
class CorpusPart:
    """What a corpus measure has beyond its items' values."""

    panel: CorpusPanel
    score: CorpusScore
    moments: CorpusMoments


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure over all cells, ready to be contrasted. `seeds` is None where no cell has two seeds."""

    info: MeasureInfo
    aligned: Aligned
    seeds: SeedVariance | None
    corpus: CorpusPart | None
    permutations: int
    entropy: tuple[int, int]

    def generator(self) -> np.random.Generator:
        """A fresh generator that depends on the seed and the measure's name, and on nothing computed before."""
        return np.random.default_rng(self.entropy)


def measured(info: MeasureInfo, aligned: Aligned, score: CorpusScore | None, permutations: int, seed: int) -> Measured:
    """Estimate what all contrasts of a measure share. `score` is needed for a corpus measure."""
    entropy = (seed, crc32(info.name.encode()))
    if aligned.counts is None or score is None:
        return Measured(info, aligned, seed_variance(aligned.panel), None, permutations, entropy)
    moments = corpus_moments(aligned.counts, score, permutations, np.random.default_rng(entropy))
    part = CorpusPart(aligned.counts, score, moments)
    return Measured(info, aligned, moments.seeds, part, permutations, entropy)


@dataclass(frozen=True, slots=True)
class Contrast:
    """First side minus second side of one contrast, tested in every way on offer."""

    items: int
    mean_a: float
    mean_b: float
    delta: float
    item_variance: float
    seed_load: float
    checkpoint: CrossedTest | None
    recipe: CrossedTest | None
    permutation_p: float
    wins: int
    ties: int
    losses: int
    identical: bool

    @property
    def headline(self) -> CrossedTest | None:
        """The widest claim that the data allow: the recipe where seeds are known, else these checkpoints."""
        return self.recipe or self.checkpoint

    @property
    def effect_size(self) -> float | None:
        """Cohen's d_z; None without spread. For a corpus measure the spread is the bootstrap's, brought to one item."""
        spread = float(np.sqrt(self.item_variance * self.items))
        return self.delta / spread if spread > 0 else None


def contrast_all(measure: Measured, contrasts: Sequence[CellPairs]) -> tuple[Contrast, ...]:
    """Test every contrast of cells on one measure."""
    if not contrasts:
        return ()
    weights = contrast_weights(contrasts, len(measure.aligned.panel.seeded))
    by_item = item_contrasts(measure.aligned.panel, weights)
    moments = _moments(measure, weights, by_item)
    p = _permutation(measure, contrasts, by_item)
    tests = {scope: crossed_t(moments, measure.seeds, scope) for scope in _SCOPES}
    first, second = _side_means(measure, weights, by_item)
    signs = np.sign(by_item.differences) * (1 if measure.info.higher_is_better else -1)
    return tuple(
        Contrast(
            items=int(moments.items[k]),
            mean_a=float(first[k]),
            mean_b=float(second[k]),
            delta=float(moments.estimate[k]),
            item_variance=float(moments.item_variance[k]),
            seed_load=float(moments.seed_load[k].sum()),
            checkpoint=tests["checkpoint"][k],
            recipe=tests["recipe"][k],
            permutation_p=float(p[k]),
            wins=int((signs[k] > 0).sum()),
            ties=int(by_item.included[k].sum() - (signs[k] != 0).sum()),
            losses=int((signs[k] < 0).sum()),
            identical=not signs[k].any() and abs(float(moments.estimate[k])) < 1e-9,
        )
        for k in range(len(contrasts))
    )


_SCOPES: tuple[Scope, Scope] = ("checkpoint", "recipe")


def _moments(measure: Measured, weights: FloatArray, by_item: ItemContrasts) -> Moments:
    return measure.corpus.moments.contrasts(weights) if measure.corpus else by_item.moments


def _permutation(measure: Measured, contrasts: Sequence[CellPairs], by_item: ItemContrasts) -> FloatArray:
    if measure.corpus is None:
        return sign_flip(by_item.differences, measure.permutations, measure.generator())
    part = measure.corpus
    return swap_test(part.panel, contrasts, part.score, measure.permutations, measure.generator())


def _side_means(measure: Measured, weights: FloatArray, by_item: ItemContrasts) -> tuple[FloatArray, FloatArray]:
    """(K,) each: the means of the first and of the second side, over the items of the contrast."""
    sides = np.maximum(weights, 0), np.maximum(-weights, 0)
    if measure.corpus is not None:
        first, second = (side @ measure.corpus.moments.means for side in sides)
        return first, second
    means = item_means(measure.aligned.panel).means
    items = np.maximum(by_item.moments.items, 1)
    first, second = (np.where(by_item.included, side @ means, 0.0).sum(axis=1) / items for side in sides)
    return first, second


@dataclass(frozen=True, slots=True)
class CellSummary:
    """One cell on one measure, by itself. `mean` is None where nothing was scored."""

    mean: float | None
    test: CrossedTest | None
    per_seed: tuple[float, ...]
    items: int


def summarise_cells(measure: Measured) -> tuple[CellSummary, ...]:
    """Mean over items and seeds of each cell, with the interval of the widest scope that the data allow."""
    panel = measure.aligned.panel
    weights = np.eye(len(panel.seeded))
    by_item = item_contrasts(panel, weights)
    moments = _moments(measure, weights, by_item)
    checkpoint, recipe = (crossed_t(moments, measure.seeds, scope) for scope in _SCOPES)
    has_score = np.asarray(panel.present.any(axis=(1, 2)))
    return tuple(
        CellSummary(
            mean=float(moments.estimate[c]) if has_score[c] and moments.items[c] else None,
            test=recipe[c] or checkpoint[c],
            per_seed=_per_seed(measure, c),
            items=int(moments.items[c]) if has_score[c] else 0,
        )
        for c in range(len(has_score))
    )


def _per_seed(measure: Measured, cell: int) -> tuple[float, ...]:
    panel = measure.aligned.panel
    used = panel.present[cell].any(axis=1)
    if measure.corpus is not None:
        return tuple(float(v) for v in corpus_values(measure.corpus.panel, measure.corpus.score)[cell][used])
    sums, counts = panel.values[cell].sum(axis=1), panel.present[cell].sum(axis=1)
    return tuple(float(v) for v in sums[used] / counts[used])
