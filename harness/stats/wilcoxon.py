"""Wilcoxon signed-rank test (Wilcoxon 1945), zeros dropped, ties given their mean rank.

It asks whether gains outrank losses, not whether the mean moves: with one item in fifteen losing much and a mean of
nil it cries wolf 70 times in 100. It is shown beside the other tests and never decides.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from harness.stats.panel import FloatArray
from harness.stats.signflip import EXACT_UP_TO, exact_sign_flip


def signed_rank(differences: FloatArray) -> FloatArray:
    """Two-sided p-values (K,) for rows of differences (K, n); an item left out is 0, as one without a difference.

    Exact for the ranks at hand, ties included, with up to 20 non-zero items; above that by the normal approximation
    with the variance that the ranks at hand have. A row of zeros has p = 1 by rule.
    """
    size = np.abs(differences)
    zeros = (size == 0).sum(axis=1)
    # Zeros are the smallest: the others' ranks among themselves are lower by their number.
    ranks = np.where(size > 0, np.asarray(rankdata(size, axis=1)) - zeros[:, None], 0.0)
    signed = np.sign(differences) * ranks
    spread = np.sqrt((ranks**2).sum(axis=1))
    z = signed.sum(axis=1) / np.where(spread > 0, spread, 1.0)
    p = np.clip(2 * ndtr(-np.abs(z)), sys.float_info.min, 1.0)
    for row in np.flatnonzero(differences.shape[1] - zeros <= EXACT_UP_TO):
        found = signed[row]
        p[row] = exact_sign_flip(found[found != 0])
    return np.asarray(p, dtype=np.float64)
