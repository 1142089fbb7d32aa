"""Swap test of corpus measures (approximate randomisation: Noreen 1989, Riezler and Maxwell 2005)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.blocks import each_block, processors
from harness.stats.corpus import WHOLE_IN_FLOAT32, CorpusPanel, CorpusScore
from harness.stats.panel import RELATIVE_TOLERANCE, CellPairs, FloatArray, Reals

_CHUNK = 1000
"""Resamples at a time."""
_PAIRS = 16
"""Pairs at a time: with a chunk of resamples few enough numbers to stay in the processor's cache."""
_FLOAT32_TOLERANCE = 1e-6
"""Share of the figures' scale within which two figures of single precision are equal."""


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
    resamples at least as extreme, within a tolerance. Sides with equal counts have p = 1 by rule.

    Whole counts whose sums single precision holds exactly (nearly always) are summed and scored in it: the sums are
    exact, so that ties stay ties; the figures' tolerance is then 1e-6 of their scale instead of 1e-9.
    """
    whole, divisor = _seed_sums(panel)  # (C, n, k)
    cells, items, k = whole.shape
    narrow = bool(np.abs(whole).sum(axis=1).max(initial=0.0) < WHOLE_IN_FLOAT32 / 2 and (whole == whole.round()).all())
    kind = np.float32 if narrow else np.float64
    rows = whole.transpose(2, 0, 1).reshape(k * cells, items).astype(kind)
    statistic = _Statistic(whole.sum(axis=1).T[:, :, None].astype(kind), kind(divisor), score)
    figures = score(whole.sum(axis=1) / divisor)
    tolerance = (_FLOAT32_TOLERANCE if narrow else RELATIVE_TOLERANCE) * max(1.0, float(np.abs(figures).max(initial=0)))
    plain = [contrast for contrast in contrasts if len(contrast) == 1]
    order = [index for index, contrast in enumerate(contrasts) if len(contrast) == 1]
    joint = [index for index, contrast in enumerate(contrasts) if len(contrast) > 1]
    first, second = (np.array([contrast[0][side] for contrast in plain], dtype=np.intp) for side in (0, 1))
    nothing = np.zeros((k, cells, 1), dtype=kind)
    observed = np.empty(len(contrasts))
    observed[order] = np.abs(statistic.differences(nothing, first, second))[:, 0]
    observed[joint] = [abs(float(statistic.mean_difference(nothing, contrasts[j])[0])) for j in joint]
    reached = np.zeros(len(contrasts), dtype=np.int64)
    limits = observed - tolerance
    for start in range(0, resamples, _CHUNK):
        chosen = generator.integers(0, 2, size=(items, min(_CHUNK, resamples - start)), dtype=np.int8)
        moved = (rows @ chosen.astype(kind)).reshape(k, cells, -1)

        def count(_: int, block: slice, moved: Reals = moved) -> None:
            for at in range(*block.indices(len(order))[:2], _PAIRS):
                inner = slice(at, min(at + _PAIRS, block.stop))
                part = order[inner]
                found = statistic.differences(moved, first[inner], second[inner])
                reached[part] += np.count_nonzero(np.abs(found) >= limits[part, None], axis=1)

        each_block(count, len(order), max(_PAIRS, -(-len(order) // processors())))
        for index in joint:
            found = statistic.mean_difference(moved, contrasts[index])
            reached[index] += np.count_nonzero(np.abs(found) >= limits[index])
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

    Counts come first and resamples last in all shapes, so that a metric's formula runs over whole stretches of memory.
    """

    totals: Reals  # (k, C, 1)
    divisor: np.floating
    score: CorpusScore

    def differences(self, moved: Reals, first: np.ndarray, second: np.ndarray) -> Reals:
        """(J, B): one for each pair of cells, from the chosen items' counts `moved` (k, C, B)."""
        change = moved[:, second] - moved[:, first]
        return self._figure(self.totals[:, first] + change) - self._figure(self.totals[:, second] - change)

    def mean_difference(self, moved: Reals, pairs: CellPairs) -> Reals:
        """(B,): the mean over several pairs of cells."""
        first, second = np.array(pairs, dtype=np.intp).T
        return np.asarray(self.differences(moved, first, second).mean(axis=0))

    def _figure(self, counts: Reals) -> Reals:
        if self.divisor != 1:
            counts = counts / self.divisor
        return self.score(np.moveaxis(counts, 0, -1))
