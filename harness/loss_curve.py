"""A training's loss so far in one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from harness.records.rows import LossRow

LEVELS = "▁▂▃▄▅▆▇█"
WIDTH = 12
"""Characters of a curve."""


def loss_curve(rows: Sequence[LossRow], width: int = WIDTH) -> str:
    """`loss ▇▅▃▂▁ 0.87, validation 1.02`: means of equal stretches of the training so far, between its ends."""
    if not rows:
        return ""
    cuts = [len(rows) * i // min(width, len(rows)) for i in range(min(width, len(rows)) + 1)]
    means = [fmean(row.loss for row in rows[start:stop]) for start, stop in pairwise(cuts)]
    low, span = min(means), max(means) - min(means)
    curve = "".join(LEVELS[round((mean - low) / span * (len(LEVELS) - 1)) if span else 0] for mean in means)
    validated = next((row.validation_loss for row in reversed(rows) if row.validation_loss is not None), None)
    return f"loss {curve} {means[-1]:.2f}" + ("" if validated is None else f", validation {validated:.2f}")
