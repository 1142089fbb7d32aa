"""comparison.json: everything that reports and leaderboard show."""

from __future__ import annotations

from typing import Literal

from harness.records.base import Record
from harness.records.data import AuditSummary
from harness.records.plan import FailedVariant
from harness.records.variant import Cell


class Interval(Record):
    """A two-sided confidence interval at `level` (0.95)."""

    low: float
    high: float
    level: float = 0.95


class MeasureInfo(Record):
    """A column of the leaderboard. `unit` is the scale a reader sees, e.g. `0–100`."""

    name: str
    label: str
    kind: Literal["metric", "judge"]
    unit: str
    corpus: bool
    """True: the figure is formed from summed counts (BLEU, chrF); False: the mean of per-item values."""
    higher_is_better: bool = True
    signature: str
    trusted: bool = True
    untrusted_reason: str = ""
    primary: bool = False


class CellScore(Record):
    """One cell on one measure: mean over seeds, 95 % interval, and the ranks that the data cannot exclude."""

    measure: str
    mean: float | None
    """None where no item could be scored."""
    interval: Interval | None
    interval_scope: Literal["checkpoint", "recipe"]
    per_seed: tuple[float, ...]
    rank_low: int | None
    """Best rank that the data allow (1 = best); None for an untrusted measure."""
    rank_high: int | None
    n_items: int
    unscored: int
    """Items × seeds left out of the mean (unparsed, refused, failed)."""


class BoardRow(Record):
    """One row of the leaderboard: a cell, its seeds folded. Rows come best first on the primary measure."""

    cell: Cell
    seeds: tuple[int, ...]
    scores: tuple[CellScore, ...]


class TestResult(Record):
    """One significance test. `assumes` says in a few words what it takes as random."""

    name: str
    p: float
    statistic: float | None
    df: float | None
    assumes: str


Verdict = Literal["better", "worse", "not shown", "identical", "too few items"]


class Comparison(Record):
    """Cell `a` minus cell `b` on one measure, paired by item. All differences in the measure's points."""

    a: str
    b: str
    measure: str
    scope: Literal["checkpoint", "recipe"]
    n_items: int
    seeds_a: int
    seeds_b: int
    mean_a: float
    mean_b: float
    delta: float
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    family: str
    """Which family of tests p_adjusted was corrected over, and its size."""
    effect_size: float | None
    """Cohen's d_z: mean difference over the standard deviation of the items' differences."""
    wins: int
    ties: int
    losses: int
    mde: float | None
    """Smallest difference that this design finds with 80 % power at alpha, two-sided, in points."""
    tipping_point: float | None
    """One seed everywhere: the claim about the recipe holds unless seeds vary by more than this (points)."""
    verdict: Verdict
    tests: tuple[TestResult, ...]
    note: str = ""


class FactorEffect(Record):
    """Level `a` minus level `b` of one axis, averaged over the cells that differ in nothing else."""

    axis: str
    a: str
    b: str
    measure: str
    pairs: int
    """Number of matched cell pairs averaged over."""
    comparison: Comparison


class ProbeResult(Record):
    """How a judge scored one kind of probe answer."""

    probe: Literal["reference", "other_reference", "empty"]
    n: int
    mean: float | None
    unscored: int


class TrustReport(Record):
    """What the probes say about a judge. `auc_*`: probability that the reference outscores the bad answer."""

    judge: str
    trusted: bool
    reason: str
    probes: tuple[ProbeResult, ...]
    auc_other_reference: float | None
    auc_empty: float | None
    interval_other_reference: Interval | None
    interval_empty: Interval | None
    threshold: float


class Result(Record):
    """comparison.json: everything that reports and leaderboard show, free of clock times, so that reruns are equal."""

    matrix: str
    matrix_digest: str
    data_name: str
    n_test: int
    audit: AuditSummary | None = None
    alpha: float
    primary: str
    baseline: str | None
    measures: tuple[MeasureInfo, ...]
    rows: tuple[BoardRow, ...]
    comparisons: tuple[Comparison, ...]
    """All pairs of cells × measures."""
    effects: tuple[FactorEffect, ...]
    trust: tuple[TrustReport, ...]
    failed: tuple[FailedVariant, ...]
    answer: tuple[str, ...]
    """The answer in words, a sentence each, most important first."""
    warnings: tuple[str, ...]
