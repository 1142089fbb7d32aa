"""Where the uncertainty of a difference comes from, by crossed moments, and what more of each thing would buy.

For a pair of cells with S_a and S_b seeds, k = 1/S_a + 1/S_b, n items, M samples, R repeats of the judge:

    V = items + k·seeds + (k/n)·(seeds×items + (samples + judge/R)/M)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtrit


@dataclass(frozen=True, slots=True)
class Replicates:
    """How much values differ within one response and one item. Variances in points², None where nothing is repeated.

    `judge`: between repeats of the judge on one response; `samples`: between samples of one item and seed, the judge's
    part included. `repeats`, `per_item`: how many there are, as a harmonic mean.
    """

    judge: float | None
    repeats: float
    samples: float | None
    per_item: float

    @classmethod
    def of(cls, runs: Iterable[Iterable[Sequence[Sequence[float]]]]) -> Replicates:
        """From the values of every run, item, sample and repeat; pooled by degrees of freedom."""
        responses: list[Sequence[float]] = []
        items: list[list[float]] = []
        for run in runs:
            for samples in run:
                responses += samples
                items.append([math.fsum(values) / len(values) for values in samples])
        return cls(_pooled(responses), _harmonic(responses), _pooled(items), _harmonic(items))


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Variance within groups; None where no group has two values."""
    df = sum(len(values) - 1 for values in groups)
    if df == 0:
        return None
    squares = []
    for values in groups:
        mean = math.fsum(values) / len(values)
        squares += [(value - mean) ** 2 for value in values]
    return math.fsum(squares) / df


def _harmonic(groups: Sequence[Sequence[float]]) -> float:
    return len(groups) / math.fsum(1 / len(values) for values in groups) if groups else 1.0


@dataclass(frozen=True, slots=True)
class Design:
    """How much of everything a pair of cells has. `cells`: cells that the seed variance is pooled over.

    `items_per_unit`: items that stand or fall together, where they come in clusters; more items are more clusters.
    """

    items: float
    seeds: float
    repeats: float
    samples: float
    cells: int
    items_per_unit: float = 1.0

    @property
    def units(self) -> float:
        """What is drawn independently: items, or clusters of them."""
        return self.items / self.items_per_unit


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of one response (points²), by what they come from; None where they are not known apart.

    Of items in clusters they are what lone items would need to have to give the same V.
    """

    items: float
    seeds: float | None
    seeds_by_items: float | None
    samples: float | None
    judge: float | None
    design: Design

    @property
    def run(self) -> float:
        """What one run adds to one item, as this design samples and judges it."""
        judge = (self.judge or 0.0) / self.design.repeats
        return (self.seeds_by_items or 0.0) + ((self.samples or 0.0) + judge) / self.design.samples

    def terms(self, design: Design) -> dict[str, float]:
        """Each source's share of V, points², for a pair with that design."""
        load = 2 / design.seeds
        response = load / design.items
        return {
            "items": self.items / design.items,
            "seeds": load * (self.seeds or 0.0),
            "seeds_by_items": response * (self.seeds_by_items or 0.0),
            "samples": response * (self.samples or 0.0) / design.samples,
            "judge": response * (self.judge or 0.0) / (design.samples * design.repeats),
        }

    def variance_and_df(self, design: Design) -> tuple[float, float]:
        """V of a pair with that design, and Satterthwaite's degrees of freedom as in the crossed t.

        With one seed a cell there are no degrees of freedom for the seeds: V is taken as if it were known.
        """
        terms = self.terms(design)
        variance = sum(terms.values())
        # What the crossed t calls T_seed holds everything but the items.
        seed_df = design.cells * (design.seeds - 1) if self.seeds is not None else math.inf
        spread = (variance - terms["seeds"]) ** 2 / max(design.units - 1, 1)
        spread += (variance - terms["items"]) ** 2 / seed_df if seed_df > 0 else 0.0
        return variance, min(variance**2 / spread if spread > 0 else math.inf, 1e9)

    def half_width(self, design: Design, level: float = 0.95) -> float:
        """Half of the interval of a pair with that design, points."""
        variance, df = self.variance_and_df(design)
        return float(stdtrit(df, (1 + level) / 2)) * math.sqrt(variance)


def components(
    item_variance: float, design: Design, seeds: float | None, interaction: float, noise: Replicates
) -> Components:
    """Take the sources apart. A variance that comes out negative is nil.

    `item_variance`: mean T_item of the pairs; `seeds`: variance between them without what items bring, None with one
    seed everywhere, when what seeds do item by item cannot be told from the items; `interaction`: as in the crossed t.
    """
    judge = noise.judge
    of_judge = (judge or 0.0) / noise.repeats
    samples = None if noise.samples is None else max(noise.samples - of_judge, 0.0)
    response = ((samples or 0.0) + of_judge) / noise.per_item
    load = 2 / design.seeds
    if seeds is None:
        items = max(item_variance * design.items - load * response, 0.0)
        return Components(items, None, None, samples, judge, design)
    return Components(
        items=max(item_variance * design.items - load * interaction, 0.0),
        seeds=seeds,
        seeds_by_items=max(interaction - response, 0.0),
        samples=samples,
        judge=judge,
        design=design,
    )


def purchases(found: Components) -> tuple[tuple[str, Design], ...]:
    """What could be bought next: more seeds, more items, another repeat of a judge that is repeated already."""
    design = found.design
    more = [(f"{extra} more items", replace(design, items=design.items + extra)) for extra in (100, 500)]
    if found.seeds is not None:
        seeds = [(f"{extra} more seed{'s'[: extra > 1]}", extra) for extra in (1, 3)]
        more += [(name, replace(design, seeds=design.seeds + extra)) for name, extra in seeds]
    if found.judge is not None:
        more.append(("1 more judge repeat", replace(design, repeats=design.repeats + 1)))
    return tuple(more)
