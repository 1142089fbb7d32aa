"""How often the statistics cry wolf, by simulation: matrices without any true difference go through the real tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.align import Aligned
from harness.contrast import FEW_ITEMS, MANY_ITEMS, Measured, Testing, contrast_all, measured
from harness.metrics import load_metric
from harness.records.result import Interval, MeasureInfo
from harness.stats.components import Replicates
from harness.stats.corpus import CorpusPanel
from harness.stats.panel import FloatArray, Panel
from harness.verdict import Sides, judged, record

Shape = Literal["heaped", "skewed", "BLEU"]
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
    cluster: int = 1
    """Items of one source, which stand or fall together: half of what a run adds to them is common to all."""
    margin: float | None = None
    """Points. The first cell is better by just so much: whoever claims that it is not errs."""


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
    believed: dict[str, tuple[int, int]]
    """By test: (alarms, matrices) of those in which it was shown without a word of doubt."""
    equivalent: float
    """Share that claims equivalence within `margin`, uncorrected; 0 without one."""
    not_better: float
    """Share that claims the first cell not to be better by `margin` or more; 0 without one."""

    @property
    def guarded(self) -> bool:
        """Too few items for a verdict on p alone: the table shows what the guard leaves."""
        return self.setting.items < FEW_ITEMS


def simulate(setting: Setting, matrices: int, seed: int, resamples: int = 1000) -> Rates:
    """Rates for one setting; every matrix passes through `contrast_all`, `record` and `judged`."""
    generator = np.random.default_rng(seed)
    alarms: Counter[str] = Counter()
    believed: Counter[str] = Counter()
    believed_alarms: Counter[str] = Counter()
    covered = refused = single = wrong = intervals = equivalent = not_better = 0
    testing = Testing(permutations=resamples, seed=seed, margin=setting.margin)
    for _ in range(matrices):
        measure = _measure(setting, generator, testing)
        pairs = [(0, cell) for cell in range(1, setting.cells)]
        contrasts = contrast_all(measure, [[pair] for pair in pairs])
        records = [record(measure, Sides("a", "b", setting.seeds, setting.seeds), found) for found in contrasts]
        family = judged(measure, records, contrasts, "{n}")
        (alone,) = judged(measure, records[:1], contrasts[:1], "{n}")
        for test in records[0].tests:
            name = test.name if test.p is not None else f"{test.name} interval"
            alarm = test.p <= 0.05 if test.p is not None else _misses(test.interval, 0.0)
            alarms[name] += alarm  # also where it is nil: the test was made
            believed[name] += test.holds
            believed_alarms[name] += test.holds and alarm
        alarms["headline"] += records[0].p is not None and records[0].p <= 0.05
        intervals += records[0].interval is not None
        covered += records[0].interval is not None and not _misses(records[0].interval, setting.margin or 0.0)
        equivalent += _claimed(records[0].p_equivalent)
        not_better += _claimed(records[0].p_not_better)
        refused += alone.verdict == "too few items"
        single += alone.verdict in ("better", "worse")
        wrong += any(comparison.verdict in ("better", "worse") for comparison in family)
    shares = {name: count / matrices for name, count in alarms.items()}
    return Rates(
        setting,
        matrices,
        shares,
        covered / max(intervals, 1),
        refused / matrices,
        single / matrices,
        wrong / matrices,
        {name: (believed_alarms[name], count) for name, count in believed.items()},
        equivalent / matrices,
        not_better / matrices,
    )


def _misses(interval: Interval | None, truth: float) -> bool:
    return interval is not None and not interval.low <= truth <= interval.high


def _claimed(p: float | None) -> bool:
    return p is not None and p <= 0.05


_INFO = MeasureInfo(
    name="score", label="score", kind="judge", unit="0–100", corpus=False, signature="simulated", primary=True
)


def _measure(setting: Setting, generator: np.random.Generator, testing: Testing) -> Measured:
    """One simulated matrix on one measure."""
    shape = (setting.cells, setting.seeds, setting.items)
    present, seeded = np.ones(shape, dtype=np.bool_), np.ones(setting.cells, dtype=np.bool_)
    lost = np.zeros(setting.cells, dtype=np.int64)
    names, nothing = tuple(map(str, range(setting.items))), Replicates(None, 1.0, None, 1.0)
    if setting.shape == "BLEU":
        counts = _counts(setting, generator)
        values = 100 * counts[..., 2] / counts[..., 6]  # an item's own figure: its share of right words
        panel, corpus = Panel(values, present, seeded), CorpusPanel(counts, present[:, :, 0], seeded, setting.items)
        info = _INFO.model_copy(update={"corpus": True})
        score = load_metric("bleu").corpus_score
        return measured(info, Aligned(names, panel, corpus, lost, ((),) * setting.cells, nothing), score, testing)
    clusters = np.arange(setting.items) // setting.cluster if setting.cluster > 1 else None
    panel = Panel(_scores(setting, generator), present, seeded, clusters)
    return measured(_INFO, Aligned(names, panel, None, lost, ((),) * setting.cells, nothing), None, testing)


def _counts(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n, 10) n-gram counts of BLEU; a seed moves the share of right words by about as much as items do."""
    cells, seeds, items = setting.cells, setting.seeds, setting.items
    reference = generator.integers(6, 25, items)
    length = np.maximum(reference + generator.integers(-3, 4, (cells, seeds, items)), 4)
    totals = np.stack([length - order for order in range(4)], axis=-1)
    hard = generator.normal(0, 0.12, items) + generator.normal(0, 0.10, (cells, seeds, items))
    shift = generator.normal(0, setting.seed_ratio * 0.10 * np.sqrt(2 / items), (cells, seeds, 1))
    right = np.clip(0.7 + hard + shift, 0.05, 0.98)
    matches = generator.binomial(totals, np.stack([right**order for order in (1, 1.6, 2.2, 2.8)], axis=-1))
    both = np.stack([length, np.broadcast_to(reference, length.shape)], axis=-1)
    return np.concatenate([both, matches, totals], axis=-1).astype(np.float64)


def _scores(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n) scores on 0–100 in steps of 5 whose cells have equal expectations.

    All cells share the items' difficulty and get noise of the same law, so that cutting at the ends moves none of them.
    """
    cells, seeds, items = setting.cells, setting.seeds, setting.items
    spread = setting.seed_ratio * np.sqrt(2 / items) * RUN_SD
    runs = generator.normal(0, RUN_SD, (cells, seeds, items))
    if setting.cluster > 1:
        common = generator.normal(0, RUN_SD, (cells, seeds, -(-items // setting.cluster)))
        runs = (runs + np.repeat(common, setting.cluster, axis=2)[:, :, :items]) / np.sqrt(2)
    shifts = generator.normal(0, spread, (cells, seeds, 1))
    if setting.shape == "skewed":  # little noise: what is rare decides
        scores = np.round(80 + runs / 10 + shifts, 1)
        scores[0] += np.where(generator.random(items) < 1 / RARE, LOSS, -LOSS / (RARE - 1))
        return scores
    drawn = runs + shifts
    if setting.margin is not None:  # neither heaped nor cut off, which would change by how much it is better
        scores = 60 + generator.normal(0, ITEM_SD, items) + drawn
        scores[0] += setting.margin
        return scores
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
    *(Setting(items=n, seeds=s, seed_ratio=r, cluster=3) for n in (150, 600) for s, r in ((1, 0.0), (3, 1.0))),
    *(Setting(items=n, seeds=s, seed_ratio=r, shape="BLEU") for n in (50, 100, 200) for s, r in ((1, 0.0), (3, 1.0))),
)
"""What `benchmarks/calibration.py` goes through."""

_COLUMNS = {
    "verdict": "verdict",
    "crossed t": "crossed t (recipe)",
    "items only": "crossed t (checkpoint)",
    "bootstrap-t": "bootstrap-t",
    "permutation": "permutation",
    "BCa": "BCa bootstrap interval",
    "percentile": "percentile bootstrap interval",
    "Wilcoxon": "Wilcoxon signed-rank",
}
"""Columns of the table, and the tests that they count."""


EQUIVALENCE: Sequence[Setting] = (
    Setting(items=50, seeds=1, seed_ratio=0.0, margin=8.0),
    Setting(items=200, seeds=1, seed_ratio=0.0, margin=4.0),
    *(Setting(items=n, seeds=3, seed_ratio=r, margin=4.0) for n in (50, 200) for r in (0.0, 1.0, 2.0)),
)
"""One cell better than the others by the margin to a hair: what `benchmarks/calibration.py` goes through besides."""


def equivalence_table(found: Sequence[Rates]) -> str:
    """Markdown: how often equivalence, or not being better, is claimed where neither is true by a hair."""
    header = ["margin", "items", "seeds", "seed sd", "equivalent", "not better by the margin", "interval covers"]
    rows = [
        [f"{rates.setting.margin:g}", str(rates.setting.items), str(rates.setting.seeds),
         f"{rates.setting.seed_ratio:g}",
         *(f"{100 * share:.1f}" for share in (rates.equivalent, rates.not_better, rates.covered))]
        for rates in found
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def table(found: Sequence[Rates]) -> str:
    """Markdown: one row a setting, false alarms in per cent; `verdict` is what the harness says."""
    header = ["scores", "items", "seeds", "seed sd", *_COLUMNS, "family of 5", "interval covers", "refused"]
    rows = [_row(rates) for rates in found]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def _row(rates: Rates) -> list[str]:
    setting = rates.setting
    shape = setting.shape + (f", {setting.repeats} judge repeats" if setting.repeats > 1 else "")
    shape += f", sources of {setting.cluster} items" if setting.cluster > 1 else ""
    head = [shape, str(setting.items), str(setting.seeds), f"{setting.seed_ratio:g}"]
    shares = [rates.verdicts if test == "verdict" else _alarms(rates, test) for test in _COLUMNS.values()]
    tail = (rates.family, rates.covered, rates.refused)
    return [*head, *("–" if share is None else f"{100 * share:.1f}" for share in (*shares, *tail))]


def _alarms(rates: Rates, test: str) -> float | None:
    """Share of alarms of the tests whose name holds this; None for one that was never made."""
    found = [share for name, share in rates.alarms.items() if test in name]
    setting = rates.setting
    skewed = setting.shape == "skewed" and FEW_ITEMS <= setting.items <= MANY_ITEMS
    made = setting.seeds > 1 if "recipe" in test else skewed if test == "bootstrap-t" else bool(found)
    return sum(found) if made else None
