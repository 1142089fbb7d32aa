"""Cells ranked by whom they beat, item by item: Bradley-Terry strengths on the primary measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.align import align, lay_out
from harness.compare import CompareInputs, marked_measures
from harness.records.result import Interval
from harness.stats.bradley_terry import strengths as fit
from harness.stats.panel import item_means

RESAMPLES = 200
"""Fits take a millisecond each; two digits of an interval need no more."""


@dataclass(frozen=True, slots=True)
class Strength:
    """Chance (0 … 1) of a cell to beat a cell of average strength on an item."""

    cell: str
    chance: float
    interval: Interval
    items: int


def strengths(inputs: CompareInputs) -> tuple[Strength, ...]:
    """Strongest first, over the items that every cell has a score for; empty where there are none, or one cell.

    By the measure that decides, as in `compare`. Raises HarnessError for a primary measure that is not there.
    """
    info = next(info for info in marked_measures(inputs)[0] if info.primary)
    layout = lay_out(inputs.variants)
    folded = item_means(align(layout, info).panel)
    known = np.flatnonzero(folded.scored.any(axis=1))
    common = folded.scored[known].all(axis=0)
    scores = folded.means[known][:, common] * (1 if info.higher_is_better else -1)
    found = fit(scores, RESAMPLES, np.random.default_rng(inputs.settings.seed))
    if found is None:
        return ()
    each = [
        Strength(layout.cells[cell].name, float(chance), Interval(low=float(low), high=float(high)), int(common.sum()))
        for cell, chance, (low, high) in zip(known.tolist(), found.chance, found.interval, strict=True)
    ]
    return tuple(sorted(each, key=lambda strength: (-strength.chance, strength.cell)))
