"""Losses that a sample may not have shown yet: where t is too sure of itself, the passing bound counts some more items.

A t interval knows a loss only by the items that were drawn. Where hardly an item moved (nearly the same answers, pass
or fail), where losses are rare and deep, or where a fall of the tolerance could be a few lost items, none of them
drawn, it is far too short on their side: 40 items that all kept their score are "no fall of 2 points" to it, though
such a fall spares 40 items in 45 cases of 100. There the bound is the same t with z²/2 items more (1.35 at 5 %) that
lost the whole scale: the weight of Agresti and Coull (1998, "Approximate is better than exact for interval estimation
of binomial proportions"), all of it on the bad side. docs/ci.md has the rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtri, stdtr, stdtrit

from harness.align import Aligned
from harness.contrast import Contrast
from harness.records.result import MeasureInfo

LOPSIDED = 1 / 20
"""Skewness of the gains, over the square root of their number, below minus which t counts too few losses.

By Edgeworth's series for the studentised mean a one-sided 5 % is then off by more than half a per cent.
"""
MOVED = 20
"""Below this many items that moved, their skewness is chance itself."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """What may be missing from a sample, for a fall by `tolerance` at level `alpha`. `loss`: points an item can lose.

    `moved`: share of the items whose score differs; `lopsided`: skewness of the gains, positive where losses are rare.
    """

    tolerance: float
    alpha: float
    loss: float
    moved: float
    lopsided: float

    @property
    def weight(self) -> float:
        """Items that are added."""
        return float(ndtri(1 - self.alpha)) ** 2 / 2

    def counts(self, units: float) -> bool:
        """Whether so many items of this kind are too few for t."""
        if self.loss <= 0:
            return False
        spared = max(0.0, 1 - self.tolerance / self.loss) ** units
        few, uneven = self.moved * units < MOVED, self.lopsided > sqrt(units) * LOPSIDED
        return spared > self.alpha or few or uneven

    def added(self, gain: float, item_variance: float, units: float) -> tuple[float, float]:
        """(mean gain, its variance by items) with the items added."""
        total = units + self.weight
        squares = item_variance * units * (units - 1) + self.weight * (self.loss + gain) ** 2 * units / total
        return (units * gain - self.weight * self.loss) / total, squares / (total * (total - 1))

    def passing(self, gain: float, item_variance: float, rest: float, df: float, units: int) -> tuple[float, float]:
        """(one-sided p of "the fall reaches the tolerance", lower bound of the gain). `rest`: V without T_item."""
        mean, variance = self.added(gain, item_variance, units)
        error = sqrt(variance + rest)
        if error == 0:  # every item lost the whole scale, and so did those added
            return float(mean + self.tolerance <= 0), mean
        return float(stdtr(df, -(mean + self.tolerance) / error)), mean - float(stdtrit(df, 1 - self.alpha)) * error


def unseen(found: Contrast, aligned: Aligned, info: MeasureInfo, tolerance: float, alpha: float) -> Unseen:
    """What may be missing from the items of one pair."""
    low, high = info.bounds
    values = aligned.panel.values[aligned.panel.present]
    whole = high - low if high - low < float("inf") else float(values.max() - values.min())
    return Unseen(
        tolerance=tolerance,
        alpha=alpha,
        loss=whole,
        moved=min(found.wins + found.losses, found.units) / found.units,
        lopsided=-found.skewness if info.higher_is_better else found.skewness,
    )
