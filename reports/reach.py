"""How far a plot of intervals reaches: one with no end in sight would press all others into a dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

LONG = 5
"""An interval this many times as long as the middle one is drawn up to the plot's edge, with an arrow."""
MARGIN = 0.04
"""Of the plot's width, beyond the last thing in it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The part of an interval that is drawn; `cut_low` and `cut_high`: it goes on beyond."""

    low: float | None
    high: float | None
    cut_low: bool = False
    cut_high: bool = False


def drawn(rows: Sequence[tuple[float | None, float | None, float | None]], also: Sequence[float] = ()) -> list[Drawn]:
    """The intervals of (value, low, high) a row, where the plot shows all values and whatever is in `also`."""
    spans = [(low, high) for _, low, high in rows if low is not None and high is not None]
    lengths = [high - low for low, high in spans if high > low]
    longest = LONG * median_low(lengths) if lengths else 0.0
    seen = [value for value, _, _ in rows if value is not None]
    seen += [end for low, high in spans if high - low <= longest for end in (low, high)]
    first, last = min([*seen, *also], default=0.0), max([*seen, *also], default=0.0)
    first, last = first - MARGIN * (last - first), last + MARGIN * (last - first)

    def part(low: float | None, high: float | None) -> Drawn:
        if low is None or high is None or high - low <= longest:
            return Drawn(low, high)
        return Drawn(max(low, first), min(high, last), low < first, high > last)

    return [part(low, high) for _, low, high in rows]
