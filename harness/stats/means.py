"""Intervals of a mean where a t interval says nothing: every item at the same end of the scale."""

from __future__ import annotations


def interval_at_bound(
    items: int, low: float, high: float, *, at_high: bool, level: float = 0.95
) -> tuple[float, float]:
    """Exact (Clopper-Pearson) interval of a mean of scores on [low, high] when all `items` lie at one end.

    The share of items elsewhere is at most 1 - (alpha/2)^(1/items), and such an item is at most the whole scale away.
    """
    share = 1 - ((1 - level) / 2) ** (1 / items)
    reach = share * (high - low)
    return (high - reach, high) if at_high else (low, low + reach)
