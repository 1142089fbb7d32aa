"""Win rates of a pairwise judge, raw and as they would be at equal length.

The idea of length control is AlpacaEval's (Dubois et al. 2024, arXiv 2404.04475): a logistic model of who wins with the
difference of lengths as a covariate, read off at a difference of nil. Theirs needs the difficulty of 805 fixed
instructions; this one has an intercept and a slope, so that it works for two variants and a hundred items of anyone's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
from scipy.special import expit, ndtri, stdtrit

from harness.records.result import Interval, WinRate
from harness.records.rows import Generation, Judgment, Scored
from harness.stats.panel import FloatArray
from judges.rubric import Scale

LEVEL = 0.95
RIDGE = 1.0
"""Weight of a standard normal prior on the slope: keeps it finite where length and winning go together without fail."""

FEWEST = 10
"""Items below which nothing is said about length."""

SHARE, STEPS = 1e-10, 100


@dataclass(frozen=True, slots=True)
class Rates:
    """In percent. `controlled` and `slope` (see WinRate.length_effect) are None where they cannot be told."""

    raw: float
    low: float
    high: float
    controlled: float | None = None
    controlled_low: float | None = None
    controlled_high: float | None = None
    slope: float | None = None


@dataclass(slots=True)
class Pairings:
    """Pairwise judgments of one cell, filled variant by variant. By item: shares won, differences of length."""

    scale: Scale
    won: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    longer: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: Iterable[Judgment], ours: Iterable[Generation], theirs: Iterable[Generation]) -> None:
        """One variant's judgments, its responses, and its opponent's."""
        our_lengths, their_lengths = ({(g.example_id, g.sample): len(g.text) for g in each} for each in (ours, theirs))
        width = self.scale.high - self.scale.low
        for row in rows:
            key = (row.example_id, row.sample)
            if isinstance(row, Scored) and key in our_lengths and key in their_lengths:
                self.won[row.example_id].append((row.value - self.scale.low) / width)
                self.longer[row.example_id].append(our_lengths[key] - their_lengths[key])


def win_rate(judge: str, cell: str, pairings: Pairings) -> WinRate:
    """The record of one cell's pairings."""
    items = sorted(pairings.won)
    rates = win_rates([fmean(pairings.won[i]) for i in items], [fmean(pairings.longer[i]) for i in items])
    controlled = None
    if rates.controlled_low is not None and rates.controlled_high is not None:
        controlled = Interval(low=rates.controlled_low, high=rates.controlled_high)
    return WinRate(
        judge=judge,
        cell=cell,
        n=len(items),
        raw=rates.raw,
        raw_interval=Interval(low=rates.low, high=rates.high),
        length_controlled=rates.controlled,
        length_controlled_interval=controlled,
        length_effect=rates.slope,
    )


def win_rates(wins: Sequence[float], differences: Sequence[float]) -> Rates:
    """Raw rate with its t interval over items, and the length-controlled one with a sandwich interval.

    Args:
        wins: by item, 0 to 1; ties and inconsistent orders lie between.
        differences: by item, length of the answer minus that of its opponent.

    The covariate is tanh of the difference over its standard deviation (about nil), as AlpacaEval's: few very long
    answers shall not decide.
    """
    won = np.asarray(wins, dtype=np.float64)
    raw, n = float(won.mean()), len(won)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * float(won.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.5
    if half == 0:  # all alike: the rule of three's exact form, as for a share of nil or of one
        half = 1 - ((1 - LEVEL) / 2) ** (1 / n)
    plain = Rates(100 * raw, 100 * max(0.0, raw - half), 100 * min(1.0, raw + half))
    lengths = np.asarray(differences, dtype=np.float64)
    spread = float(np.sqrt((lengths**2).mean())) if n else 0.0
    if n < FEWEST or spread == 0 or won.min() == won.max():
        return plain
    design = np.stack([np.ones(n), np.tanh(lengths / spread)], axis=1)  # (n, 2)
    weights, variance = _fit(won, design)
    reach = float(ndtri((1 + LEVEL) / 2)) * math.sqrt(variance)
    middle, low, high = (100 * float(expit(weights[0] + step)) for step in (0.0, -reach, reach))
    return replace(plain, controlled=middle, controlled_low=low, controlled_high=high, slope=float(weights[1]))


def _fit(won: FloatArray, design: FloatArray) -> tuple[FloatArray, float]:
    """(intercept and slope, variance of the intercept) of a fractional logit (Papke and Wooldridge 1996), by Newton."""
    prior = np.diag([1e-6, RIDGE])
    weights = np.zeros(2)
    for _ in range(STEPS):
        chance = expit(design @ weights)
        gradient = design.T @ (won - chance) - prior @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + prior
        step = np.linalg.solve(curvature, gradient)
        weights = weights + np.clip(step, -2, 2)
        if float(np.abs(step).max()) < SHARE:
            break
    scores = design * (won - expit(design @ weights))[:, None]
    bread = np.linalg.inv(curvature)
    meat = scores.T @ scores * len(won) / (len(won) - 2)
    return weights, float((bread @ meat @ bread)[0, 0])
