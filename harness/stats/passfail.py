"""Pass or fail: McNemar's exact test of paired outcomes, and intervals of a share that hold at 0 % and 100 %."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtr, ndtri

from harness.stats.panel import FloatArray, IntArray


def mcnemar(gains: IntArray, losses: IntArray) -> FloatArray:
    """Two-sided exact p-values (K,) from how many items only one side passed (McNemar 1947); 1 where none differ.

    Items that both sides pass, or both fail, say nothing: under the hypothesis each of the others is a fair coin.
    """
    fewer, both = np.minimum(gains, losses), gains + losses
    return np.asarray(np.minimum(1.0, 2 * bdtr(fewer.astype(np.float64), both, 0.5)), dtype=np.float64)


def wilson(passed: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share, in [0, 1] (Wilson 1927); an item with several verdicts may have passed in part.

    Raises ValueError for n < 1 or a count outside 0 … n.
    """
    if not 0 <= passed <= n or n < 1:
        raise ValueError(f"{passed} of {n} is no share")
    z2 = float(ndtri((1 + level) / 2)) ** 2
    centre = (passed + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (passed * (n - passed) / n + z2 / 4)) / (n + z2)
    return (0.0 if passed == 0 else centre - half), (1.0 if passed == n else centre + half)
