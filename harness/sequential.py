"""A measure whose judge stopped when it was decided: its pairs and cells, by bounds that hold whenever one stops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.stats.betting import Betting, betting
from harness.stats.crossed import CrossedTest
from harness.stats.equivalence import WithinMargin
from harness.stats.panel import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Sequential:
    """How judging went. `order`: item ids as they were asked about; `alpha`: of one pair, as the judge's rule had it.

    `asked`, `spared`: questions put, and not put because it was decided without them.
    """

    order: tuple[str, ...]
    alpha: float
    asked: int
    spared: int

    def places(self, items: tuple[str, ...]) -> IntArray:
        """(n,): the items' numbers, first asked first."""
        return _places(self.order, items)


@lru_cache(maxsize=8)
def _places(order: tuple[str, ...], items: tuple[str, ...]) -> IntArray:
    place = {item: number for number, item in enumerate(order)}
    return np.array(sorted(range(len(items)), key=lambda i: place[items[i]]), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Course:
    """Scores of one contrast or cell as they came in, and the ends between which each must lie."""

    scores: FloatArray
    low: float
    high: float

    @classmethod
    def of(cls, values: FloatArray, there: BoolArray, places: IntArray, low: float, high: float) -> Course:
        """`values`, `there`: (n,), by item; `places` (n,): items in the order in which they were asked about."""
        return cls(values[places][there[places]], low, high)

    def found(self, level: float, alpha: float, margin: float | None) -> Betting:
        """What these scores show."""
        return betting(self.scores, self.low, self.high, level=level, alpha=alpha, margin=margin or 0.0)

    def test(self, level: float, alpha: float, margin: float | None) -> tuple[CrossedTest, WithinMargin | None]:
        """The same as a test of the mean against nil, and of the margin; for these checkpoints."""
        found, n = self.found(level, alpha, margin), len(self.scores)
        variance = float(self.scores.var(ddof=1)) / n if n > 1 else 0.0
        mean = float(self.scores.mean()) if n else 0.0
        t = mean / variance**0.5 if variance > 0 else 0.0
        test = CrossedTest("checkpoint", mean, variance, float(max(n - 1, 1)), t, found.p, found.interval, "betting")
        return test, None if margin is None else WithinMargin(found.above, found.below)
