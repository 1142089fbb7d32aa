"""Bradley-Terry strengths from per-item outcomes (Bradley and Terry 1952), fitted by evalica; intervals over items."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.stats.corpus import resample_weights
from harness.stats.panel import RELATIVE_TOLERANCE, FloatArray


@dataclass(frozen=True, slots=True)
class Strengths:
    """Chance (0 … 1) of each cell to beat a cell of average strength on an item, with intervals over items."""

    chance: FloatArray  # (C,)
    interval: FloatArray  # (C, 2)


def strengths(
    scores: FloatArray, resamples: int, generator: np.random.Generator, level: float = 0.95
) -> Strengths | None:
    """Every pair of cells plays every item; the higher of `scores` (C, n) wins, equal ones draw.

    None with fewer than two cells or no item. The intervals are percentiles of fits to resampled items.
    """
    cells, items = scores.shape
    if cells < 2 or items < 1:
        return None
    pairs = list(combinations(range(cells), 2))
    first, second = np.array(pairs).T
    gap = scores[first] - scores[second]
    gap[np.abs(gap) <= RELATIVE_TOLERANCE * max(float(np.abs(scores).max()), 1.0)] = 0.0
    outcomes = np.concatenate([gap > 0, gap < 0, gap == 0]).astype(np.float64)  # (3 * pairs, n)
    fitted = _chances(pairs, outcomes.sum(axis=1), cells)
    drawn = resample_weights(resamples, items, generator) @ outcomes.T
    draws = np.array([_chances(pairs, counts, cells) for counts in drawn])
    tails = [(1 - level) / 2, (1 + level) / 2]
    return Strengths(fitted, np.quantile(draws, tails, axis=0).T)


def _chances(pairs: list[tuple[int, int]], counts: FloatArray, cells: int) -> FloatArray:
    """(C,): strength over strength plus the geometric mean of all. `counts`: wins, losses and draws of each pair."""
    from evalica import Winner, bradley_terry

    # Half a draw more a pair keeps strengths finite where one side wins every item.
    weights = counts + np.repeat([0.0, 0.0, 0.5], len(pairs))
    first, second = zip(*pairs * 3, strict=True)
    winners = [winner for winner in (Winner.X, Winner.Y, Winner.Draw) for _ in pairs]
    scores = bradley_terry(first, second, winners, weights=weights.tolist()).scores
    strength = np.array([scores[cell] for cell in range(cells)], dtype=np.float64)
    typical = float(np.exp(np.log(strength).mean()))
    return np.asarray(strength / (strength + typical), dtype=np.float64)
