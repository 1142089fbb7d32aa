"""How many items or seeds would let a candidate that is no worse pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

from scipy.special import stdtrit

from harness.contrast import Measured
from harness.gate.unseen import Unseen
from harness.stats.components import Components, Design, components
from harness.stats.panel import contrast_weights, item_contrasts
from harness.stats.power import power

MOST_ITEMS, MOST_SEEDS = 1_000_000, 100
CHANCE = 0.8


@dataclass(frozen=True, slots=True)
class Enough:
    """So many items, or candidate's seeds, let an equal candidate pass with chance 0.8, all else as it is.

    None: none would (a tolerance of nil; or what is left to vary is too much already).
    """

    items: int | None
    seeds: int | None


def enough(measure: Measured, pair: tuple[int, int], df: float, hidden: Unseen) -> Enough:
    """By the noncentral t with the test's own degrees of freedom, which more data would only raise.

    Where unseen losses count, by two quantiles of t, since what they add to the bound does not vary.
    """
    tolerance, alpha = hidden.tolerance, hidden.alpha
    if tolerance <= 0:
        return Enough(None, None)
    candidate, baseline = (_seeds(measure, cell) for cell in pair)
    found = _components(measure, pair, 1 / candidate + 1 / baseline)
    critical, chance = (float(stdtrit(df, level)) for level in (1 - alpha, CHANCE))

    def passes(design: Design) -> bool:
        terms = found.terms(design)
        variance = sum(terms.values())
        if not hidden.counts(design.units):
            return variance <= 0 or power(tolerance, variance, df, 2 * alpha) >= CHANCE
        mean, items = hidden.added(0.0, variance - terms["seeds"], design.units)
        return mean + tolerance >= critical * sqrt(items + terms["seeds"]) + chance * sqrt(variance)

    more_items = _fewest(lambda n: passes(replace(found.design, items=n)), int(found.design.items), MOST_ITEMS)
    more_seeds = None
    if found.seeds is not None and measure.aligned.panel.seeded[pair[0]]:
        more_seeds = _fewest(
            lambda s: passes(replace(found.design, seeds=2 / (1 / s + 1 / baseline))), candidate, MOST_SEEDS
        )
    return Enough(more_items, more_seeds)


def _seeds(measure: Measured, cell: int) -> int:
    return max(1, int(measure.aligned.panel.present[cell].any(axis=1).sum()))


def _components(measure: Measured, pair: tuple[int, int], load: float) -> Components:
    """`load`: 1/S_a + 1/S_b, which a design of equal seeds has with 2/load of them."""
    by_weight = contrast_weights([[pair]], len(measure.aligned.panel.seeded))
    if measure.corpus is not None:
        moments = measure.corpus.moments.contrasts(by_weight)
    else:
        moments = item_contrasts(measure.aligned.panel, by_weight).moments
    noise, seeds = measure.aligned.noise, measure.seeds
    count, units = float(moments.items[0]), float(moments.units[0])
    design = Design(count, 2 / load, noise.repeats, noise.per_item, 2, items_per_unit=count / units)
    between, interaction = (seeds.between, seeds.interaction) if seeds else (None, 0.0)
    return components(float(moments.item_variance[0]), design, between, interaction, noise)


def _fewest(passes: Callable[[int], bool], low: int, high: int) -> int | None:
    """Fewest of more than `low`, by bisection, since chances only grow with them; None where even `high` fails."""
    if not passes(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
