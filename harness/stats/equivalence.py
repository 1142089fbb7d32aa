"""Equivalence and non-inferiority within a stated margin: two one-sided tests (Schuirmann 1987)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from harness.stats.crossed import CrossedTest


@dataclass(frozen=True, slots=True)
class WithinMargin:
    """One-sided p-values for a margin m. `above`: of "the difference is not above -m"; `below`: of "not below m"."""

    above: float
    below: float

    @property
    def equivalent(self) -> float:
        """TOST: both must be rejected, so the larger p decides."""
        return max(self.above, self.below)

    def not_worse(self, higher_is_better: bool = True) -> float:
        """Non-inferiority of the first side."""
        return self.above if higher_is_better else self.below


def within_margin(test: CrossedTest, margin: float) -> WithinMargin:
    """Both one-sided tests by the t distribution of the test's own standard error and degrees of freedom."""
    error = test.variance**0.5
    above, below = (float(stdtr(test.df, -(margin + sign * test.estimate) / error)) for sign in (1, -1))
    return WithinMargin(*(float(np.maximum(p, sys.float_info.min)) for p in (above, below)))
