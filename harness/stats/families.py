"""Corrections for many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from harness.stats.panel import RELATIVE_TOLERANCE, FloatArray


def holm(p: Sequence[float] | FloatArray) -> FloatArray:
    """Adjusted p-values that bound the chance of any false alarm in the family (Holm 1979); same order as given."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    return _unsorted(np.minimum(np.maximum.accumulate(steps), 1.0), order)


def benjamini_hochberg(p: Sequence[float] | FloatArray) -> FloatArray:
    """Adjusted p-values that bound the expected share of false alarms among the findings (Benjamini, Hochberg 1995)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * len(values) / np.arange(1, len(values) + 1)
    return _unsorted(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0), order)


def _unsorted(values: FloatArray, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
    back = np.empty_like(values)
    back[order] = values
    return back


def max_t(p: FloatArray, df: float, root: FloatArray, resamples: int, generator: np.random.Generator) -> FloatArray:
    """Adjusted p-values (K,) from jointly drawn |t|, step by step (Hothorn, Bretz and Westfall 2008; Westfall, Young).

    The largest |t| is held against the largest of all draws, the next against the largest of the rest, and so on.
    `p` (K,): two-sided, each by its own degrees of freedom; the joint draws share one chi-square with `df`, and each p
    is taken for the |t| that it is there. `root` (K, R): rows of length 1 whose products are the correlations of the
    estimates. (c + 1) / (resamples + 1), so that no p is nil.
    """
    if not len(p):
        return np.zeros(0)
    order = np.argsort(p, kind="stable")
    limits = -stdtrit(df, p[order] / 2) * (1 - RELATIVE_TOLERANCE)
    scale = np.sqrt(generator.chisquare(df, resamples) / df)
    normal = generator.standard_normal((resamples, root.shape[1]))
    reached = np.zeros(len(p), dtype=np.int64)
    for at in range(0, resamples, 500):
        drawn = np.abs(normal[at : at + 500] @ root[order].T) / scale[at : at + 500, None]
        rest = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
        reached += np.count_nonzero(rest >= limits, axis=0)
    return _unsorted(np.maximum.accumulate((reached + 1) / (resamples + 1)), order)
