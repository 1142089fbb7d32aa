"""Effect of an axis by least squares on cell means: one effect a level, or a curve over numbers; no interactions.

Every coefficient is a weighted sum of cells. With the items' differences under those weights, OLS with a covariance
clustered by item is the paired t of a contrast (CR1 up to its factor (N - 1)/(N - p)), and seeds add their part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.stats.panel import FloatArray


def level_contrast(levels: Sequence[Sequence[str]], axis: int, a: str, b: str) -> FloatArray | None:
    """(C,): cell weights of "level a minus level b" of one axis, all other axes held still.

    `levels[c]`: the level of cell c on each axis. None where the cells at hand cannot tell: a and b are tied to
    different levels of another axis.
    """
    known = [sorted({cell[place] for cell in levels}) for place in range(len(levels[0]))] if levels else []
    columns = [(place, level) for place, names in enumerate(known) for level in names]
    design = np.array([[1.0, *(float(cell[place] == level) for place, level in columns)] for cell in levels])
    wanted = np.array([0.0, *(float(column == (axis, a)) - float(column == (axis, b)) for column in columns)])
    if not len(design) or np.count_nonzero(wanted) < 2:
        return None
    inverse = np.linalg.pinv(design)
    weights = wanted @ inverse
    if not np.allclose(weights @ design, wanted, atol=1e-9):
        return None
    weights[np.abs(weights) < 1e-12] = 0.0
    return np.asarray(weights, dtype=np.float64)


def curve_weights(
    others: Sequence[Sequence[str]], x: Sequence[float], grid: Sequence[float], degree: int
) -> tuple[FloatArray, FloatArray] | None:
    """((G, C), (C,)): cell weights of "at grid[g] minus at the lowest x", and of the highest power's coefficient.

    A polynomial of `degree` in x, with one effect a level of every other axis (`others[c]`: the levels of cell c).
    None where the cells at hand cannot tell the curve from another axis.
    """
    low, span = min(x), max(x) - min(x)
    places = range(len(others[0]))
    columns = [(place, level) for place in places for level in sorted({cell[place] for cell in others})]
    powers = np.arange(1, degree + 1)
    own = ((np.asarray(x)[:, None] - low) / span) ** powers  # (C, degree)
    dummies = np.array([[1.0, *(float(cell[place] == level) for place, level in columns)] for cell in others])
    design = np.concatenate([dummies, own], axis=1)
    inverse = np.linalg.pinv(design)
    wanted = np.zeros((len(grid) + 1, design.shape[1]))
    wanted[:-1, -degree:] = ((np.asarray(grid)[:, None] - low) / span) ** powers
    wanted[-1, -1] = 1.0
    weights = wanted @ inverse
    if not np.allclose(weights @ design, wanted, atol=1e-9):
        return None
    weights[np.abs(weights) < 1e-12] = 0.0
    return weights[:-1], weights[-1]
