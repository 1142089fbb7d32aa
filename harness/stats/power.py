"""What a design could have seen."""

from __future__ import annotations

import math

from scipy.special import nctdtr, nctdtrinc, stdtrit


def smallest_detectable_difference(variance: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Difference (points) that a two-sided t test at `alpha` finds with chance `power`; `variance` is the test's V.

    Exact by the noncentral t distribution: the noncentrality at which the test statistic falls below its critical value
    with probability 1 - power. The chance of rejecting on the wrong side (below 1e-5 at usual settings) is left out.
    """
    critical = float(stdtrit(df, 1 - alpha / 2))
    return float(nctdtrinc(df, 1 - power, critical)) * math.sqrt(variance)


def power(difference: float, variance: float, df: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided t test at `alpha` finds a true `difference` (points); `variance` is the test's V.

    By the noncentral t distribution; as above, rejecting on the wrong side does not count.
    """
    critical = float(stdtrit(df, 1 - alpha / 2))
    return 1 - float(nctdtr(df, abs(difference) / math.sqrt(variance), critical))
