"""Area under the ROC curve: the probability that a good answer outscores a bad one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from harness.errors import HarnessError


@dataclass(frozen=True, slots=True)
class Auc:
    """`value`: 0.5 is chance, 1 separates perfectly; ties count one half. `low`, `high`: two-sided, at `level`."""

    value: float
    low: float
    high: float
    level: float


def auc(positive: Sequence[float], negative: Sequence[float], level: float = 0.95) -> Auc:
    """AUC of the scores of known-good against those of known-bad answers, by the Mann-Whitney statistic.

    Interval: Newcombe 2006 (Statistics in Medicine 25, part 2, method 5): the values that lie within z of the estimate
    by the Hanley-McNeil variance *at that value*. It never has zero width: 20 right answers of 20 are no certainty.
    Raises HarnessError where one of the two is empty.
    """
    if not positive or not negative:
        raise HarnessError("an AUC needs scores on both sides", hint="see how many answers were left unscored, and why")
    m, n = len(positive), len(negative)
    bad = np.sort(np.asarray(negative, dtype=np.float64))
    below, up_to = (np.searchsorted(bad, positive, side=side).sum() for side in ("left", "right"))
    value = float((below + up_to) / (2 * m * n))
    z = float(ndtri((1 + level) / 2))
    return Auc(value, _bound(value, m, n, z, 0.0), _bound(value, m, n, z, 1.0), level)


def _bound(value: float, m: int, n: int, z: float, end: float) -> float:
    """The point between `value` and `end` (0 or 1) that is z standard errors, as of there, away from `value`."""
    if abs(value - end) < 1e-12:
        return end
    size = (m + n) / 2  # Newcombe's method 5 gives both group sizes their mean

    def excess(candidate: float) -> float:
        spread = candidate * (1 - candidate) * (1 + (size - 1) * ((1 - candidate) / (2 - candidate)))
        spread += candidate * (1 - candidate) * (size - 1) * candidate / (1 + candidate)
        return (candidate - value) ** 2 - z**2 * spread / (m * n)

    near = value + math.copysign(1e-12, end - value)
    return float(brentq(excess, near, end)) if excess(near) < 0 else value
