"""Axes whose values are numbers: how a measure changes along them, as a curve with a band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import fdtri

from harness.contrast import Contrast, Measured, contrast_weighted
from harness.factors import AXES, Axis
from harness.records.result import Curve, CurvePoint, Interval
from harness.records.variant import Cell
from harness.stats.additive import curve_weights, level_contrast
from harness.stats.panel import FloatArray

NUMBERS: dict[Axis, bool] = {"prompt_loss_weight": False, "lr": True, "rank": True}
"""Axes whose levels are amounts of something, and whether it is the factor between two of them that counts."""
MOST_DEGREE = 2
GRID = 21
"""Points of a fitted curve."""


def curves(cells: Sequence[Cell], measure: Measured, means: Sequence[float | None]) -> tuple[Curve, ...]:
    """One a numeric axis with three values or more among cells with a score, where they tell it from other axes."""
    if measure.info.descriptive:
        return ()
    found = (_curve(axis, _on(axis, cells), measure, means) for axis in NUMBERS)
    return tuple(each for each in found if each is not None)


def _on(axis: Axis, cells: Sequence[Cell]) -> list[Cell]:
    """The cells as they lie along an axis: masking none is weight 1 of the one other masking."""
    maskings = {cell.masking for cell in cells} - {None, "none"}
    if axis != "prompt_loss_weight" or len(maskings) != 1:
        return list(cells)
    as_weight = {"masking": maskings.pop(), "prompt_loss_weight": 1.0}
    return [cell.model_copy(update=as_weight) if cell.masking == "none" else cell for cell in cells]


def _curve(axis: Axis, cells: Sequence[Cell], measure: Measured, means: Sequence[float | None]) -> Curve | None:
    known = [(c, level) for c, cell in enumerate(cells) if means[c] is not None and (level := cell.level(axis))]
    to, back = (np.log, np.exp) if NUMBERS[axis] else (float, float)
    x = [float(to(float(level))) for _, level in known]
    tried = sorted(set(x))
    if len(tried) < 3:
        return None
    degree = min(MOST_DEGREE, len(tried) - 1)
    others = [[cells[c].level(other) or "" for other in AXES if other != axis] for c, _ in known]
    grid = np.linspace(tried[0], tried[-1], GRID)[1:].tolist()
    line, bent = (curve_weights(others, x, grid, power) for power in (1, degree))
    text = dict(zip(x, (level for _, level in known), strict=True))
    own = [level_contrast([[*o, level] for o, (_, level) in zip(others, known, strict=True)], len(others[0]),
                          text[value], text[tried[0]]) for value in tried[1:]]  # fmt: skip
    if line is None or bent is None or any(weights is None for weights in own):
        return None
    rows = [*bent[0], *(weights for weights in own if weights is not None), line[1], bent[1]]
    tested = contrast_weighted(measure, _spread_out(np.array(rows), [c for c, _ in known], len(cells)))
    fitted, levels, (slope, bend) = tested[: len(grid)], tested[len(grid) : -2], tested[-2:]
    start = CurvePoint(x=float(text[tried[0]]), difference=0.0, interval=None)
    return Curve(
        axis=axis,
        measure=measure.info.name,
        degree=degree,
        scope="checkpoint" if slope.headline is None else slope.headline.scope,
        log=NUMBERS[axis],
        levels=(start, *(_point(float(text[u]), each, 1) for u, each in zip(tried[1:], levels, strict=True))),
        fitted=(start, *(_point(float(back(u)), each, degree) for u, each in zip(grid, fitted, strict=True))),
        p_slope=slope.headline.p if slope.headline else None,
        p_bend=bend.headline.p if bend.headline else None,
    )


def _spread_out(weights: FloatArray, places: Sequence[int], cells: int) -> FloatArray:
    """Weights (K, c) of some cells as weights (K, C) of all."""
    found = np.zeros((len(weights), cells))
    found[:, places] = weights
    return found


def _point(x: float, found: Contrast, degree: int) -> CurvePoint:
    """`degree`: of the curve whose points shall lie in their intervals all at once; 1 for a point by itself."""
    test, interval = found.headline, None
    if test is not None and (degree == 1 or test.method == "betting"):
        interval = Interval(low=test.interval[0], high=test.interval[1])
    elif test is not None:
        half = float(np.sqrt(degree * fdtri(degree, test.df, 0.95) * test.variance))
        interval = Interval(low=found.delta - half, high=found.delta + half)
    return CurvePoint(x=x, difference=found.delta, interval=interval)
