"""Paired sign-flip permutation test by item (Fisher 1935): exact for few non-zero differences, Monte-Carlo above."""

from __future__ import annotations

import numpy as np

from harness.stats.blocks import each_block
from harness.stats.panel import RELATIVE_TOLERANCE, FloatArray

EXACT_UP_TO = 20
"""Non-zero differences up to which all 2^m sign patterns are counted."""
_CHUNK = 1000
"""Sign patterns at a time."""
_ROWS = 256
"""Contrasts at a time, so that sums are counted while they are in the processor's cache."""


def sign_flip(
    differences: FloatArray,
    resamples: int,
    generator: np.random.Generator,
    factors: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Two-sided p-values (K,) of the hypothesis that each row's differences are symmetric about nil.

    `differences`: (K, n), 0 for an item left out (a zero has no sign and changes nothing). Exact with up to 20 non-zero
    items; above that (c + 1) / (resamples + 1), where c counts the resamples at least as extreme (Phipson and Smyth
    2010). "At least" has a tolerance of 1e-9 of the row's scale, so that ties are not lost to rounding. A row of zeros
    has p = 1 by rule. All rows share their sign patterns. `factors`: (K, C) and (C, n) whose product the differences
    are, where there is one: the signs are then summed over C cells instead of K contrasts.
    """
    p = np.ones(len(differences))
    nonzero = (differences != 0).sum(axis=1)
    for row in np.flatnonzero((nonzero > 0) & (nonzero <= EXACT_UP_TO)):
        values = differences[row]
        p[row] = exact_sign_flip(values[values != 0])
    many = np.flatnonzero(nonzero > EXACT_UP_TO)
    if many.size:
        left, right = (None, differences[many]) if factors is None else (factors[0][many], factors[1])
        size = np.abs(differences[many]).sum(axis=1)
        observed = np.abs(differences[many].sum(axis=1)) - RELATIVE_TOLERANCE * size
        p[many] = _monte_carlo(left, right, observed, resamples, generator)
    return p


def exact_sign_flip(differences: FloatArray) -> float:
    """Two-sided p of m differences by counting all 2^m sign patterns.

    The sums of one half's patterns are sorted; each pattern of the other half looks up how many of them lift it to the
    observed sum (meet in the middle: some 2^(m/2) steps).
    """
    threshold = abs(float(differences.sum())) - RELATIVE_TOLERANCE * float(np.abs(differences).sum())
    if threshold <= 0:
        return 1.0
    half = len(differences) // 2
    left, right = np.sort(_all_sums(differences[:half])), _all_sums(differences[half:])
    reached = left.size - np.searchsorted(left, threshold - right, side="left")
    # Each pattern at or above the threshold has its mirror image at or below minus the threshold.
    return min(1.0, 2.0 * float(reached.sum()) / 2.0 ** len(differences))


def _all_sums(values: FloatArray) -> FloatArray:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _monte_carlo(
    left: FloatArray | None, right: FloatArray, observed: FloatArray, resamples: int, generator: np.random.Generator
) -> FloatArray:
    """(K,): share of sign patterns whose sums of `left @ right` (of `right` for None) reach `observed`."""
    reached = np.zeros(len(observed), dtype=np.int64)
    for start in range(0, resamples, _CHUNK):
        size = (right.shape[1], min(_CHUNK, resamples - start))
        signs = generator.integers(0, 2, size=size, dtype=np.int8) * 2.0 - 1.0
        sums = right @ signs  # (C, B)

        def count(_: int, block: slice, sums: FloatArray = sums) -> None:
            found = sums[block] if left is None else left[block] @ sums
            reached[block] += np.count_nonzero(np.abs(found) >= observed[block, None], axis=1)

        each_block(count, len(observed), _ROWS)
    return np.asarray((reached + 1) / (resamples + 1), dtype=np.float64)
