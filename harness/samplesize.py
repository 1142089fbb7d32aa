"""How many items and seeds a matrix needs, before a single step is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf

from harness.errors import HarnessError
from harness.evidence import cluster_of
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

    `run`: what one training run adds to one item. `source`: where they are from, in words. `items_per_cluster`: of the
    clusters that `item` and `run` already count as standing or falling together.
    """

    item: float
    seed: float
    run: float
    source: str
    items_per_cluster: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """One possible design. `seen`: smallest difference found with 80 % power; `power`: of the difference asked for.

    `recipe`: whether it can speak of the recipe; one seed a cell speaks of the checkpoints only.
    """

    items: int
    seeds: int
    seen: float
    power: float
    planned: bool
    recipe: bool


@dataclass(frozen=True, slots=True)
class SampleSize:
    """What designs could find. `items_needed`, `seeds_needed`: for 80 % power, all else as planned; None: none do.

    `clusters`: of the planned items, where the matrix names some.
    """

    difference: float
    alpha: float
    spread: Spread
    cells: int
    lines: tuple[Line, ...]
    items_needed: int | None
    seeds_needed: int | None
    clusters: int | None = None


def pilot_spread(result: Result) -> Spread:
    """Standard deviations as a finished matrix has them. Raises HarnessError where it has no pair of trained cells."""
    table = next((each for each in result.variances if each.measure == result.primary), None)
    if table is None:
        raise HarnessError(f"{result.matrix} has no two trained cells to learn from", where="--pilot")
    seed = ASSUMED_SEED_SD if table.seed_sd is None else table.seed_sd
    words = f"measured in {result.matrix} on {result.primary}"
    if table.seed_sd is None:
        words += f"; it has one seed a cell, so {seed:g} points between seeds are assumed"
    return Spread(table.item_sd, seed, table.run_sd, words, table.items_per_cluster)


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
        known.items_per_cluster if item_sd is None else 1.0,
    )


def sample_size(spec: MatrixSpec, resolved: Resolved, difference: float, spread: Spread) -> SampleSize:
    """Power of one pair of trained cells, two-sided at the matrix's alpha, for designs around the planned one.

    Items of a cluster are taken to stand or fall together wholly, but for what the spread already counts of that.
    Raises HarnessError for a difference that is no finite number above 0, and where nothing varies.
    """
    if not 0 < difference < inf:
        raise HarnessError(f"a difference of {difference:g}", where="--difference", hint="give points, above 0")
    if spread.item == spread.seed == spread.run == 0:
        raise HarnessError(
            "nothing varies, so any difference is found", where="--item-sd, --seed-sd", hint="give points, one above 0"
        )
    cells = len({each.cell for each in variants(spec) if each.method != "none"})
    items, clusters = resolved.data.count("test"), _clusters(spec, resolved)
    together = items / clusters if clusters else 1.0
    planned = Design(
        items=items,
        seeds=len(spec.axes.seed),
        repeats=1,
        samples=1,
        cells=max(cells, 2),
        items_per_unit=together,
    )
    uncounted = max(together / spread.items_per_cluster, 1.0)
    parts = Components(uncounted * spread.item**2, spread.seed**2, uncounted * spread.run**2, None, None, planned)
    least_seeds = 2 if spec.compare.seed_sd is None else 1
    asked = _Question(parts, spec.compare.seed_sd, difference, spec.compare.alpha)
    designs = [
        replace(planned, items=n, seeds=s)
        for s in sorted({planned.seeds, planned.seeds + 1, planned.seeds + 2, 5})
        for n in sorted({items, 2 * items, 4 * items})
    ]
    return SampleSize(
        difference=difference,
        alpha=asked.alpha,
        spread=spread,
        cells=cells,
        lines=tuple(asked.line(design, planned) for design in designs),
        items_needed=_fewest(lambda n: asked.enough(replace(planned, items=n)), ceil(2 * together), MOST_ITEMS),
        seeds_needed=_fewest(lambda n: asked.enough(replace(planned, seeds=n)), least_seeds, MOST_SEEDS),
        clusters=clusters,
    )


def _clusters(spec: MatrixSpec, resolved: Resolved) -> int | None:
    """How many the test items come in; None where the matrix names none, and each stands for itself."""
    field = spec.compare.clusters
    if field is None:
        return None
    tests = [row.example for row in resolved.data if row.split == "test"]
    groups = cluster_of(tests, field)
    return len(set(groups.values())) + len(tests) - len(groups)


@dataclass(frozen=True, slots=True)
class _Question:
    """Which difference is to be found, at which level. `declared`: seed sd that one seed a cell is tested with."""

    parts: Components
    declared: float | None
    difference: float
    alpha: float

    def variance_and_df(self, design: Design) -> tuple[float, float]:
        """As the comparison will have them: of one seed a cell no seed variance is known but a declared one."""
        if design.seeds > 1:
            return self.parts.variance_and_df(design)
        seeds = None if self.declared is None else self.declared**2
        return replace(self.parts, seeds=seeds).variance_and_df(design)

    def line(self, design: Design, planned: Design) -> Line:
        """That design, described."""
        variance, df = self.variance_and_df(design)
        return Line(
            items=int(design.items),
            seeds=int(design.seeds),
            seen=smallest_detectable_difference(variance, df, self.alpha),
            power=self.power(variance, df),
            planned=design == planned,
            recipe=design.seeds > 1 or self.declared is not None,
        )

    def enough(self, design: Design) -> bool:
        """Whether that design has 80 % power."""
        return self.power(*self.variance_and_df(design)) >= 0.8

    def power(self, variance: float, df: float) -> float:
        """Chance to find the difference; certain where nothing varies."""
        return power(self.difference, variance, df, self.alpha) if variance > 0 else 1.0


def _fewest(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Counted upwards, in steps of a hundredth: with few seeds, more items can cost more degrees of freedom than they
    bring, so that power does not only grow.
    """
    count = least
    while count <= most:
        if enough(count):
            return count
        count += max(1, count // 100)
    return None
