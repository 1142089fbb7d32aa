"""Each cell on one measure, by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.contrast import SCOPES, Measured
from harness.stats.corpus import corpus_values
from harness.stats.crossed import CrossedTest, crossed_t
from harness.stats.panel import item_contrasts, item_means


@dataclass(frozen=True, slots=True)
class CellSummary:
    """One cell on one measure, by itself. `mean` is None where nothing was scored."""

    mean: float | None
    test: CrossedTest | None
    per_seed: tuple[float, ...]
    items: int
    units: int


def summarise_cells(measure: Measured) -> tuple[CellSummary, ...]:
    """Mean over items and seeds of each cell, with the interval of the widest scope that the data allow."""
    panel = measure.aligned.panel
    weights = np.eye(len(panel.seeded))
    moments = measure.corpus.moments.contrasts(weights) if measure.corpus else item_contrasts(panel, weights).moments
    recipe, checkpoint = (crossed_t(moments, measure.seeds, scope) for scope in SCOPES)
    has_score = np.asarray(panel.present.any(axis=(1, 2)))
    tests = [_whenever_stopped(measure, c, recipe[c] or checkpoint[c]) for c in range(len(has_score))]
    return tuple(
        CellSummary(
            mean=float(moments.estimate[c]) if has_score[c] and moments.items[c] else None,
            test=tests[c],
            per_seed=_per_seed(measure, c),
            items=int(moments.items[c]) if has_score[c] else 0,
            units=int(moments.units[c]),
        )
        for c in range(len(has_score))
    )


def _whenever_stopped(measure: Measured, cell: int, test: CrossedTest | None) -> CrossedTest | None:
    """The same with an interval that holds however a judge stopped, where one stopped when it was decided."""
    low, high = measure.info.bounds
    if test is None or measure.sequential is None or not np.isfinite([low, high]).all():
        return test
    folded = item_means(measure.aligned.panel)
    course = measure.course(folded.means[cell], folded.scored[cell], low, high)
    found = course.found(measure.testing.level, measure.sequential.alpha, None)
    return replace(test, interval=found.interval, method="betting")


def _per_seed(measure: Measured, cell: int) -> tuple[float, ...]:
    panel = measure.aligned.panel
    used = panel.present[cell].any(axis=1)
    if measure.corpus is not None:
        return tuple(float(v) for v in corpus_values(measure.corpus.panel, measure.corpus.score)[cell][used])
    sums, counts = panel.values[cell].sum(axis=1), panel.present[cell].sum(axis=1)
    return tuple(float(v) for v in sums[used] / counts[used])
