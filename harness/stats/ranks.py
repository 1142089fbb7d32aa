"""Ranks that the data cannot exclude."""

from __future__ import annotations

from dataclasses import dataclass

from harness.stats.panel import BoolArray


@dataclass(frozen=True, slots=True)
class RankInterval:
    """From the best (1 = first) to the worst rank that the data allow."""

    low: int
    high: int


def rank_intervals(beats: BoolArray) -> tuple[RankInterval, ...]:
    """`beats[i, j]`: cell i is significantly better than cell j, after a family-wise correction over all pairs.

    A cell cannot rank above those that beat it, nor below those that it beats; with a family-wise error rate alpha for
    the pairs, all intervals hold together with probability 1 - alpha (Mogstad, Romano, Shaikh and Wilhelm 2024,
    "Inference for ranks with applications to mobility across neighbourhoods and academic achievement across
    countries").
    """
    cells = len(beats)
    return tuple(RankInterval(1 + int(beats[:, c].sum()), cells - int(beats[c].sum())) for c in range(cells))
