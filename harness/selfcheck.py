"""How often the statistics cry wolf, by simulation: matrices without any true difference go through the real tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.align import Aligned
from harness.contrast import FEW_ITEMS, MANY_ITEMS, Testing, contrast_all, measured
from harness.records.result import MeasureInfo
from harness.stats.components import Replicates
from harness.stats.panel import FloatArray, Panel
from harness.verdict import Sides, judged, record

Shape = Literal["heaped", "skewed"]
ITEM_SD, RUN_SD = 20.0, 17.0
"""Points: what items differ by for all variants alike, and what one run adds to one item."""
LOSS, RARE = -60.0, 15
"""The skewed shape: of the first cell one item in fifteen loses 60 points, the others gain what makes up for it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of matrix. `seed_ratio`: sd between seeds over the standard error that items give one seed's mean."""

    items: int
    cells: int = 6
    seeds: int = 3
    seed_ratio: float = 1.0
    shape: Shape = "heaped"
    repeats: int = 1
    """Judge repeats, each with a noise of 10 points; averaged first, as ever."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of `matrices` matrices without a true difference: shares, by method, for one pair; and for the whole family."""

    setting: Setting
    matrices: int
    alarms: dict[str, float]
    """Share with p <= 0.05, by the name of the test; `headline` is the one that decides."""
    covered: float
    """Share whose headline interval holds the true difference, nil."""
    refused: float
    """Share without a verdict where p alone would have given one: too few items."""
    verdicts: float
    """Share where the pair is called better or worse, uncorrected: what is left of `headline` after refusals."""
    family: float
    """Share with any wrong verdict among all cells against the first, after Holm."""

    @property
    def guarded(self) -> bool:
        """Too few items for a verdict on p alone: the table shows what the guard leaves."""
        return self.setting.items < FEW_ITEMS


def simulate(setting: Setting, matrices: int, seed: int, resamples: int = 1000) -> Rates:
    """Rates for one setting; every matrix passes through `contrast_all`, `record` and `judged`."""
    generator = np.random.default_rng(seed)
    alarms: Counter[str] = Counter()
    covered = refused = single = wrong = intervals = 0
    for panel in _matrices(setting, matrices, generator):
        measure = measured(_INFO, _aligned(panel), None, Testing(permutations=resamples, seed=seed))
        pairs = [(0, cell) for cell in range(1, setting.cells)]
        contrasts = contrast_all(measure, [[pair] for pair in pairs])
        records = [record(measure, Sides("a", "b", setting.seeds, setting.seeds), found) for found in contrasts]
        family = judged(measure, records, contrasts, "{n}")
        (alone,) = judged(measure, records[:1], contrasts[:1], "{n}")
        alarms.update(test.name for test in records[0].tests if test.p is not None and test.p <= 0.05)
        alarms.update(f"{test.name} interval" for test in records[0].tests if test.p is None and _misses(test.interval))
        alarms["headline"] += records[0].p is not None and records[0].p <= 0.05
        intervals += records[0].interval is not None
        covered += records[0].interval is not None and not _misses(records[0].interval)
        refused += alone.verdict == "too few items"
        single += alone.verdict in ("better", "worse")
        wrong += any(comparison.verdict in ("better", "worse") for comparison in family)
    shares = {name: count / matrices for name, count in alarms.items()}
    return Rates(
        setting, matrices, shares, covered / max(intervals, 1), refused / matrices, single / matrices, wrong / matrices
    )


def _misses(interval: object) -> bool:
    low, high = getattr(interval, "low", 0.0), getattr(interval, "high", 0.0)
    return bool(low > 0 or high < 0)


_INFO = MeasureInfo(
    name="score", label="score", kind="judge", unit="0–100", corpus=False, signature="simulated", primary=True
)


def _aligned(panel: Panel) -> Aligned:
    cells, _, items = panel.values.shape
    lost = np.zeros(cells, dtype=np.int64)
    names = tuple(map(str, range(items)))
    return Aligned(names, panel, None, lost, ((),) * cells, Replicates(None, 1.0, None, 1.0))


def _matrices(setting: Setting, matrices: int, generator: np.random.Generator) -> Iterator[Panel]:
    shape = (setting.cells, setting.seeds, setting.items)
    present, seeded = np.ones(shape, dtype=np.bool_), np.ones(setting.cells, dtype=np.bool_)
    for _ in range(matrices):
        yield Panel(_scores(setting, generator), present, seeded)


def _scores(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n) scores on 0–100 in steps of 5 whose cells have equal expectations.

    All cells share the items' difficulty and get noise of the same law, so that cutting at the ends moves none of them.
    """
    cells, seeds, items = setting.cells, setting.seeds, setting.items
    spread = setting.seed_ratio * np.sqrt(2 / items) * RUN_SD
    runs = generator.normal(0, RUN_SD, (cells, seeds, items))
    shifts = generator.normal(0, spread, (cells, seeds, 1))
    if setting.shape == "skewed":  # little noise: what is rare decides
        scores = np.round(80 + runs / 10 + shifts, 1)
        scores[0] += np.where(generator.random(items) < 1 / RARE, LOSS, -LOSS / (RARE - 1))
        return scores
    drawn = runs + shifts
    truth = 60 + generator.normal(0, ITEM_SD, items) + drawn
    noise = generator.normal(0, 10, (setting.repeats, *truth.shape)) if setting.repeats > 1 else 0.0
    return np.asarray((5 * np.round(np.clip(truth + noise, 0, 100) / 5)).reshape(-1, *truth.shape).mean(axis=0))


QUICK: Sequence[Setting] = (
    Setting(items=200, seeds=3, seed_ratio=0.0),
    Setting(items=200, seeds=3, seed_ratio=1.0),
    Setting(items=200, seeds=3, seed_ratio=2.0),
    Setting(items=200, seeds=1, seed_ratio=0.0),
    Setting(items=60, seeds=3, seed_ratio=1.0),
    Setting(items=100, seeds=1, seed_ratio=0.0, shape="skewed"),
    Setting(items=30, seeds=1, seed_ratio=0.0, shape="skewed"),
)
"""What `harness selfcheck` goes through."""

FULL: Sequence[Setting] = (
    *(Setting(items=n, seeds=3, seed_ratio=r) for n in (20, 50, 100, 200, 1000) for r in (0.0, 1.0, 2.0)),
    *(Setting(items=n, seeds=5, seed_ratio=1.0) for n in (50, 200)),
    *(Setting(items=n, seeds=2, seed_ratio=1.0) for n in (50, 200)),
    *(Setting(items=n, seeds=1, seed_ratio=0.0) for n in (20, 50, 200, 1000)),
    *(Setting(items=n, seeds=s, seed_ratio=r, repeats=3) for n in (50, 200) for s, r in ((1, 0.0), (3, 1.0))),
    *(Setting(items=n, seeds=1, seed_ratio=0.0, shape="skewed") for n in (20, 30, 50, 100, 200, 1000)),
    *(Setting(items=n, seeds=3, seed_ratio=1.0, shape="skewed") for n in (50, 100, 200)),
)
"""What `benchmarks/calibration.py` goes through."""

_COLUMNS = {
    "verdict": "verdict",
    "crossed t": "crossed t (recipe)",
    "items only": "crossed t (checkpoint)",
    "bootstrap-t": "bootstrap-t",
    "sign-flip": "sign-flip permutation",
    "BCa": "BCa bootstrap interval",
    "percentile": "percentile bootstrap interval",
    "Wilcoxon": "Wilcoxon signed-rank",
}
"""Columns of the table, and the tests that they count."""


def table(found: Sequence[Rates]) -> str:
    """Markdown: one row a setting, false alarms in per cent; `verdict` is what the harness says."""
    header = ["scores", "items", "seeds", "seed sd", *_COLUMNS, "family of 5", "interval covers", "refused"]
    rows = [_row(rates) for rates in found]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def _row(rates: Rates) -> list[str]:
    setting = rates.setting
    shape = setting.shape + (f", {setting.repeats} judge repeats" if setting.repeats > 1 else "")
    head = [shape, str(setting.items), str(setting.seeds), f"{setting.seed_ratio:g}"]
    shares = [rates.verdicts if test == "verdict" else _alarms(rates, test) for test in _COLUMNS.values()]
    tail = (rates.family, rates.covered, rates.refused)
    return [*head, *("–" if share is None else f"{100 * share:.1f}" for share in (*shares, *tail))]


def _alarms(rates: Rates, test: str) -> float | None:
    """Share of alarms of the tests whose name begins so; None for one that was never made."""
    found = [share for name, share in rates.alarms.items() if name.startswith(test)]
    setting = rates.setting
    skewed = setting.shape == "skewed" and FEW_ITEMS <= setting.items <= MANY_ITEMS
    made = setting.seeds > 1 if "recipe" in test else skewed if test == "bootstrap-t" else True
    return sum(found) if made else None
