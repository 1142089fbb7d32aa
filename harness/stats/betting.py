"""Deciding while scores still come in: the hedged betting confidence sequence for means of bounded scores.

Waudby-Smith and Ramdas 2024 ("Estimating means of bounded random variables by betting", JRSS B 86): one bets on every
next score against a supposed mean; under it, the capital is expected not to grow, so that it reaches 1/alpha at any
time whatever with probability alpha at most (Ville 1939). The bounds hold whenever one looks and stops, for any shape
of scores. That is paid for in width.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np

from harness.stats.panel import FloatArray

_MOST = 0.75
"""Share of the capital that one score may cost at most (the paper's c; it finds 1/2 and 3/4 reasonable)."""
_STEPS = 40
"""Halvings of the scale when an end of the interval is looked for: far below a digit that is shown."""


@dataclass(frozen=True, slots=True)
class Betting:
    """What scores on [low, high] say of their mean, at whatever time one stopped, in the scores' own points.

    `p`: two-sided, of a mean of nil; `above`, `below`: one-sided, of "not above -margin" and "not below margin".
    """

    interval: tuple[float, float]
    p: float
    above: float
    below: float


def betting(
    scores: FloatArray,
    low: float,
    high: float,
    *,
    margin: float = 0.0,
    level: float = 0.95,
    alpha: float = 0.05,
) -> Betting:
    """`scores` (n,), in the order in which they came in; that order must be random. No scores say nothing.

    `alpha`: the level at which p and the one-sided p-values are meant to be read; it only tunes the size of the bets.
    All hold the running best of what was known, so that one look too many takes nothing back.
    """
    unit = (np.asarray(scores, dtype=np.float64) - low) / (high - low)  # (n,) in [0, 1]
    wide, narrow = _bets(unit, 1 - level), _bets(unit, alpha)
    limit = math.log(2 / (1 - level))  # half of the capital bets on either side
    ends = (_lowest(unit, wide, limit), 1 - _lowest(1 - unit, wide, limit))

    def p(*capitals: float) -> float:
        return max(min(1.0, math.exp(-max(capitals))), sys.float_info.min)

    nil, lower, upper = ((value - low) / (high - low) for value in (0.0, -margin, margin))
    half = math.log(2)
    return Betting(
        interval=(low + ends[0] * (high - low), low + ends[1] * (high - low)),
        p=p(_log_capital(unit, narrow, nil) - half, _log_capital(1 - unit, narrow, 1 - nil) - half),
        above=p(_log_capital(unit, narrow, lower)),
        below=p(_log_capital(1 - unit, narrow, 1 - upper)),
    )


def _bets(unit: FloatArray, alpha: float) -> FloatArray:
    """(n,): the size of each bet, from the scores before it alone (the paper's predictable plug-in)."""
    t = np.arange(1, len(unit) + 1)
    mean = (0.5 + np.cumsum(unit)) / (t + 1)
    variance = (0.25 + np.cumsum((unit - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])[: len(unit)]
    return np.asarray(np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log1p(t))))


def _log_capital(unit: FloatArray, bets: FloatArray, mean: float) -> float:
    """Largest logarithm that the capital of betting on scores above `mean` ever had; 0 before the first bet."""
    if mean <= 0:
        return math.inf if mean < 0 else 0.0  # no mean is below the scale; none can be shown to be above its end
    steps = np.log1p(np.minimum(bets, _MOST / mean) * (unit - mean))
    return max(0.0, float(np.cumsum(steps).max(initial=0.0)))


def _lowest(unit: FloatArray, bets: FloatArray, limit: float) -> float:
    """The smallest mean that the capital has not ruled out, by bisection: the larger the mean, the less is won."""
    low, high = 0.0, 1.0
    if _log_capital(unit, bets, high) >= limit:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _log_capital(unit, bets, middle) >= limit else (low, middle)
    return low
