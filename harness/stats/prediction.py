"""Judge-corrected means: people rated some items, a judge all of them (Angelopoulos et al. 2023; PPI++, 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from harness.errors import HarnessError
from harness.stats.panel import FloatArray

FEW_LABELS = 30
"""Below this many labels the normal interval is too narrow: decide on the raw figures."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """A prediction-powered mean. `trust`: the weight of the judge, 0 (people alone) to 1 (every judgment counted)."""

    mean: float
    low: float
    high: float
    trust: float
    labels: int

    @property
    def decides(self) -> bool:
        """False below 30 labels: shown beside the raw figure, which decides."""
        return self.labels >= FEW_LABELS


def corrected_mean(
    people: FloatArray,
    judge_there: FloatArray,
    judge_elsewhere: FloatArray,
    *,
    trust: float | None = None,
    level: float = 0.95,
) -> Corrected:
    """Mean of what people would say of all items. Items that people rated must be a random subset.

    `people`, `judge_there`: (m,), both on the labelled items; `judge_elsewhere`: (N,), on the others. Of a difference
    between two variants, give differences. `trust` None takes the weight that makes the interval narrowest.
    Raises HarnessError with fewer than two labels, or none elsewhere.
    """
    m, others = len(people), len(judge_elsewhere)
    if m < 2 or others < 2 or len(judge_there) != m:
        raise HarnessError(
            f"{m} labels and {others} items without: too few to correct a judge by",
            hint="label at least 30 items, drawn at random, and judge the others",
        )
    weight = _best_trust(people, judge_there, judge_elsewhere) if trust is None else trust
    mean = weight * judge_elsewhere.mean() + (people - weight * judge_there).mean()
    # As ppi_py: variances of what was observed, divided by n, without Bessel's correction.
    variance = (weight * judge_elsewhere).var() / others + (people - weight * judge_there).var() / m
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance)
    return Corrected(float(mean), float(mean - half), float(mean + half), float(weight), m)


def _best_trust(people: FloatArray, there: FloatArray, elsewhere: FloatArray) -> float:
    """PPI++ (Angelopoulos, Duchi and Zrnic 2024), kept between 0 and 1."""
    every = np.concatenate([there, elsewhere])
    spread = float(every.var())
    if spread <= 0:
        return 0.0
    shared = float(((people - people.mean()) * (there - there.mean())).mean())
    return float(np.clip(shared / ((1 + len(there) / len(elsewhere)) * spread), 0.0, 1.0))
