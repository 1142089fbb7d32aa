"""Bradley-Terry strengths from per-item outcomes (Bradley and Terry 1952), intervals over items."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.stats.corpus import resample_weights
from harness.stats.panel import RELATIVE_TOLERANCE, FloatArray, IntArray

STEPS, SHARE = 100, 1e-9
HALF_A_DRAW = 0.25
"""Added to either side of each pair that has met: keeps strengths finite where one side wins every game."""


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


def pair_strengths(
    first: IntArray,
    second: IntArray,
    won: FloatArray,
    items: IntArray,
    cells: int,
    resamples: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> Strengths:
    """The same from any games: cell `first[k]` won the share `won[k]` of game k, on item `items[k]`; all (K,).

    Games of one item are drawn together. Cells that never met, not even by others, have nothing but the middle.
    """
    place = first * cells + second
    counts = np.zeros((2, cells * cells))
    np.add.at(counts[0], place, won)
    np.add.at(counts[1], place, 1 - won)
    names, which = np.unique(items, return_inverse=True)
    by_item = np.zeros((2, len(names), cells * cells))
    np.add.at(by_item[0], (which, place), won)
    np.add.at(by_item[1], (which, place), 1 - won)
    fitted = typical(fit(counts.reshape(2, cells, cells))[0])
    drawn = resample_weights(resamples, len(names), generator)
    draws = [typical(fit((weights @ by_item).reshape(2, cells, cells))[0]) for weights in drawn]
    tails = [(1 - level) / 2, (1 + level) / 2]
    return Strengths(fitted, np.quantile(np.array(draws), tails, axis=0).T)


def fit(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(log-strengths (C,) of mean 0, their covariance (C, C)), by Newton.

    `counts`: (2, C, C), games that the row's cell won and lost against the column's.
    """
    met = counts.sum(axis=0) > 0
    won = counts[0] + counts[1].T + HALF_A_DRAW * (met | met.T)
    games = won + won.T
    cells = len(won)
    strength = np.zeros(cells)
    middle = np.full((cells, cells), 1 / cells)  # fixes the sum, which games tell nothing of
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        weight = games * chance * (1 - chance)
        information = np.diag(weight.sum(axis=1)) - weight + middle + 1e-6 * np.eye(cells)
        step = np.linalg.solve(information, (won - games * chance).sum(axis=1))
        strength = strength + np.clip(step, -2, 2)
        if float(np.abs(step).max()) < SHARE:
            break
    return strength - strength.mean(), np.linalg.inv(information) - middle


def typical(strength: FloatArray) -> FloatArray:
    """(C,): chance to beat a cell of average log-strength."""
    return np.asarray(1 / (1 + np.exp(-strength)), dtype=np.float64)
