"""Corrections for many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.stats.panel import FloatArray


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
