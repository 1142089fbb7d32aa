"""Which pairs of cells to compare next, where all pairs are too many. Pure: counts of games in, counts of games out."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np

from harness.stats.bradley_terry import fit
from harness.stats.panel import FloatArray, IntArray

Design = Literal["all", "swiss", "uncertain"]

ROUNDS = 8
"""Rounds of a sampled contest: after each, strengths are estimated anew."""


def next_games(design: Design, counts: FloatArray, games: int, items: int) -> IntArray:
    """(C, C), above the diagonal: how many more games each pair plays in the next round; all 0 when it is over.

    Args:
        design: all pairs; neighbours in strength; the most uncertain ones. Of a sampled one the
            first round plays a ring, so that all hang together.
        counts: (2, C, C), games so far that the row's cell won and lost against the column's, row below column.
        games: to be played in all.
        items: there are; no pair plays an item twice.
    """
    cells = counts.shape[1]
    played = np.rint(counts.sum(axis=0)).astype(np.int64)
    more = np.zeros((cells, cells), dtype=np.int64)
    left = games - int(played.sum())
    if left <= 0:
        return more
    pairs = list(combinations(range(cells), 2))
    if design == "all":
        for a, b in pairs:
            more[a, b] = items - played[a, b]
        return more
    size = min(left, max(cells, games // ROUNDS))
    if not played.any():
        ring = sorted({(min(a, b), max(a, b)) for a, b in ((a, (a + 1) % cells) for a in range(cells))})
        return _dealt(ring, size, played, items)
    strength, covariance = fit(counts)
    if design == "swiss":
        order = np.argsort(-strength, kind="stable")
        start = int(played.sum()) // size % 2
        near = [(int(order[k]), int(order[k + 1])) for k in range(start, cells - 1, 2)]
        dealt = _dealt([(min(pair), max(pair)) for pair in near], size, played, items)
        rest = size - int(dealt.sum())
        return dealt if rest == 0 else dealt + _dealt(pairs, rest, played + dealt, items)
    return _most_told(strength, covariance, size, played, items)


def _dealt(pairs: list[tuple[int, int]], size: int, played: IntArray, items: int) -> IntArray:
    """The games dealt out in turn to the pairs, as far as these have items left."""
    more = np.zeros_like(played)
    while size > 0:
        open_ones = [(a, b) for a, b in pairs if played[a, b] + more[a, b] < items][:size]
        if not open_ones:
            break
        for a, b in open_ones:
            more[a, b] += 1
        size -= len(open_ones)
    return more


def _most_told(strength: FloatArray, covariance: FloatArray, size: int, played: IntArray, items: int) -> IntArray:
    """Each game to the pair whose outcome is the most uncertain: by chance, and because strengths are not well known.

    The variance of the pair's difference times that of one outcome is how much one game narrows the whole (the
    D-optimal choice of Federov 1972, a game at a time).
    """
    more = np.zeros_like(played)
    chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    told = np.triu(chance * (1 - chance), 1)
    known = covariance.copy()
    for _ in range(size):
        variance = np.diag(known)
        apart = variance[:, None] + variance[None, :] - 2 * known
        gain = np.where(played + more < items, told * apart, -1.0)
        a, b = divmod(int(np.argmax(gain)), len(strength))
        if gain[a, b] <= 0:
            break
        more[a, b] += 1
        move = known[:, a] - known[:, b]
        known = known - np.outer(move, move) * told[a, b] / (1 + told[a, b] * apart[a, b])
    return more
