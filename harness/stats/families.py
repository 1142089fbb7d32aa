"""Corrections for many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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


def max_t(
    t: FloatArray, df: FloatArray, root: FloatArray, resamples: int, generator: np.random.Generator
) -> FloatArray:
    """Adjusted p-values (K,) from the largest of jointly drawn |t| (Hothorn, Bretz and Westfall 2008, single step).

    `root` (K, R): rows of length 1 whose products are the correlations of the estimates. All draws share one chi-square
    with the smallest df, which errs on the safe side. (c + 1) / (resamples + 1), so that no p is nil.
    """
    if not len(t):
        return np.zeros(0)
    least = float(df.min())
    scale = np.sqrt(generator.chisquare(least, resamples) / least)
    normal = generator.standard_normal((resamples, root.shape[1]))
    largest = np.concatenate([np.abs(normal[at : at + 500] @ root.T).max(axis=1) for at in range(0, resamples, 500)])
    reached = resamples - np.searchsorted(np.sort(largest / scale), np.abs(t) * (1 - RELATIVE_TOLERANCE), side="left")
    return np.asarray((reached + 1) / (resamples + 1), dtype=np.float64)
