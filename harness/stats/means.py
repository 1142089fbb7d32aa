"""Bounds on a mean where a t interval says nothing: what no item, or hardly any, has shown yet."""

from __future__ import annotations

import math


def interval_at_bound(
    items: int, low: float, high: float, *, at_high: bool, level: float = 0.95
) -> tuple[float, float]:
    """Exact (Clopper-Pearson) interval of a mean of scores on [low, high] when all `items` lie at one end.

    The share of items elsewhere is at most 1 - (alpha/2)^(1/items), and such an item is at most the whole scale away.
    """
    reach = unseen_reach(items, low, high, level)
    return (high - reach, high) if at_high else (low, low + reach)


def unseen_reach(items: int, low: float, high: float, level: float = 0.95) -> float:
    """How far scores on [low, high] that none of `items` has shown may still pull their mean, points.

    The share of a kind of item that was never drawn is at most 1 - (alpha/2)^(1/items).
    """
    share = 1 - math.pow((1 - level) / 2, 1 / items)
    return share * (high - low)
