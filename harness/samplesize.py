"""How many items and seeds a matrix needs, before a single step is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from harness.errors import HarnessError
from harness.records.result import Result
from harness.resolved import Resolved
from harness.spec.matrix import MatrixSpec
from harness.stats.components import Components, Design
from harness.stats.power import power, smallest_detectable_difference
from harness.variants import variants

ASSUMED_ITEM_SD, ASSUMED_SEED_SD = 20.0, 1.0
"""Points: of an item's difference between two variants on a 0–100 scale, and of a variant's score between seeds."""
MOST_ITEMS, MOST_SEEDS = 100_000, 100


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations in points. `item`: of an item's difference between two cells; `seed`: between training seeds.

    `run`: what one training run adds to one item. `source`: where they are from, in words.
    """

    item: float
    seed: float
    run: float
    source: str


@dataclass(frozen=True, slots=True)
class Line:
    """One possible design. `seen`: smallest difference found with 80 % power; `power`: of the difference asked for."""

    items: int
    seeds: int
    seen: float
    power: float
    planned: bool


@dataclass(frozen=True, slots=True)
class SampleSize:
    """What designs could find. `items_needed`, `seeds_needed`: for 80 % power, all else as planned; None: none do."""

    difference: float
    alpha: float
    spread: Spread
    cells: int
    lines: tuple[Line, ...]
    items_needed: int | None
    seeds_needed: int | None


def pilot_spread(result: Result) -> Spread:
    """Standard deviations as a finished matrix has them. Raises HarnessError where it has no pair of trained cells."""
    table = next((each for each in result.variances if each.measure == result.primary), None)
    if table is None:
        raise HarnessError(f"{result.matrix} has no two trained cells to learn from", where="--pilot")
    seed = ASSUMED_SEED_SD if table.seed_sd is None else table.seed_sd
    words = f"measured in {result.matrix} on {result.primary}"
    if table.seed_sd is None:
        words += f"; it has one seed a cell, so {seed:g} points between seeds are assumed"
    return Spread(table.item_sd, seed, table.run_sd, words)


def spread_of(item_sd: float | None, seed_sd: float | None, pilot: Spread | None) -> Spread:
    """What was given, what a pilot says, or what is assumed, in this order.

    Raises HarnessError for one below 0 or endless.
    """
    for flag, value in (("--item-sd", item_sd), ("--seed-sd", seed_sd)):
        if value is not None and not 0 <= value < inf:
            raise HarnessError(f"a standard deviation of {value:g}", where=flag, hint="give points, 0 or more")
    known = pilot or Spread(ASSUMED_ITEM_SD, ASSUMED_SEED_SD, 0.0, "assumed, not measured")
    if item_sd is None and seed_sd is None:
        return known
    words = "as given" if item_sd is not None and seed_sd is not None else f"as given; the rest {known.source}"
    return Spread(
        known.item if item_sd is None else item_sd,
        known.seed if seed_sd is None else seed_sd,
        known.run if item_sd is None else 0.0,
        words,
    )


def sample_size(spec: MatrixSpec, resolved: Resolved, difference: float, spread: Spread) -> SampleSize:
    """Power of one pair of trained cells, two-sided at the matrix's alpha, for designs around the planned one.

    Raises HarnessError for a difference that is no finite number above 0, and where nothing varies.
    """
    if not 0 < difference < inf:
        raise HarnessError(f"a difference of {difference:g}", where="--difference", hint="give points, above 0")
    if spread.item == spread.seed == spread.run == 0:
        raise HarnessError(
            "nothing varies, so any difference is found", where="--item-sd, --seed-sd", hint="give points, one above 0"
        )
    cells = len({each.cell for each in variants(spec) if each.method != "none"})
    items = resolved.data.count("test")
    planned = Design(items=items, seeds=len(spec.axes.seed), repeats=1, samples=1, cells=max(cells, 2))
    parts = Components(spread.item**2, spread.seed**2, spread.run**2, None, None, planned)
    alpha = spec.compare.alpha
    designs = [
        replace(planned, items=n, seeds=s)
        for s in sorted({planned.seeds, planned.seeds + 1, planned.seeds + 2, 5})
        for n in sorted({items, 2 * items, 4 * items})
    ]
    return SampleSize(
        difference=difference,
        alpha=alpha,
        spread=spread,
        cells=cells,
        lines=tuple(_line(parts, design, difference, alpha, planned) for design in designs),
        items_needed=_needed(parts, planned, "items", difference, alpha),
        seeds_needed=_needed(parts, planned, "seeds", difference, alpha),
    )


def _line(parts: Components, design: Design, difference: float, alpha: float, planned: Design) -> Line:
    variance, df = parts.variance_and_df(design)
    seen = smallest_detectable_difference(variance, df, alpha)
    chance = power(difference, variance, df, alpha)
    return Line(int(design.items), int(design.seeds), seen, chance, design == planned)


def _needed(parts: Components, planned: Design, what: str, difference: float, alpha: float) -> int | None:
    """Fewest items (or seeds) with 80 % power, all else as planned; by bisection, since power only grows with them."""

    def enough(count: int) -> bool:
        design = replace(planned, items=count) if what == "items" else replace(planned, seeds=count)
        return power(difference, *parts.variance_and_df(design), alpha) >= 0.8

    low, high = (1, MOST_ITEMS) if what == "items" else (0, MOST_SEEDS)
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
