"""comparison.json: everything that reports and leaderboard show."""

from __future__ import annotations

import math
import re
from typing import Literal

from harness.records.base import Record
from harness.records.data import AuditSummary
from harness.records.people import PeopleReport
from harness.records.plan import FailedVariant
from harness.records.variant import Cell


class Interval(Record):
    """A two-sided confidence interval at `level` (0.95)."""

    low: float
    high: float
    level: float = 0.95


class PanelInfo(Record):
    """What a panel's scores are made of: the scores of the judges with these columns."""

    judges: tuple[str, ...]
    combine: Literal["mean", "majority"]


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
    panel: PanelInfo | None = None
    trusted: bool = True
    untrusted_reason: str = ""
    primary: bool = False
    ranks: bool = True
    """It may rank and answer: it is trusted, or the matrix says `rank_untrusted`; never where it is descriptive."""
    descriptive: bool = False
    """Neither more nor less is better (a length): shown, never ranked or tested."""

    @property
    def bounds(self) -> tuple[float, float]:
        """(0, 100) from `0–100`; no bounds (minus and plus infinity) from a unit that names none."""
        found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*[–-]\s*(-?\d+(?:\.\d+)?)\s*", self.unit)
        return (float(found[1]), float(found[2])) if found else (-math.inf, math.inf)


class LeftOut(Record):
    """How many responses (items × seeds) have no score, for one reason.

    `unscorable`: the metric cannot score the item; `missing`: there is no row at all; `decided`: nobody was
    asked about it any more, because it was decided without.
    """

    reason: Literal["unscorable", "unparsed", "refused", "failed", "missing", "decided"]
    responses: int


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
    """Items × seeds left out of the mean (unscorable, unparsed, refused, failed)."""
    left_out: tuple[LeftOut, ...] = ()
    """The same by reason."""
    worst: float | None = None
    """The mean, had every unscored item the lowest score of the scale; None where nothing is unscored, or no scale."""
    best: float | None = None
    """The same with the highest score."""


class BoardRow(Record):
    """One row of the leaderboard: a cell, its seeds folded. Rows come best first on the primary measure."""

    cell: Cell
    seeds: tuple[int, ...]
    scores: tuple[CellScore, ...]


class TestResult(Record):
    """One test or interval beside the headline. `assumes` says in a few words what it takes as random.

    `p` is None for a method that only gives an interval, `interval` for one that only gives a p. `holds`: False where
    its error rates are known to be off for scores like these; `assumes` then says so.
    """

    name: str
    p: float | None
    statistic: float | None
    df: float | None
    assumes: str
    interval: Interval | None = None
    holds: bool = True


class UntilDecided(Record):
    """What judging only until it is decided spared and cost, for one pair. Half widths of 95 % intervals, points."""

    items: int
    out_of: int
    half_width: float
    fixed_half_width: float | None
    """Of the t interval, had so many items been fixed beforehand; None where they do not vary."""


Verdict = Literal["better", "worse", "equivalent", "not shown", "identical", "too few items"]
"""`equivalent`: within ±margin, shown by two one-sided tests. `too few items`: no verdict, whatever p says."""


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
    """Smallest difference that this design finds with 80 % power at alpha over the family's size, two-sided, points.

    None where none can be shown, and where a judge stopped when it was decided.
    """
    tipping_point: float | None
    """One seed everywhere: the claim about the recipe holds unless seeds vary by more than this (points).

    None where another test than the t decides, or of few items a wider interval.
    """
    verdict: Verdict
    tests: tuple[TestResult, ...]
    note: str = ""
    method: str = "crossed t"
    """The test that decided: crossed t, bootstrap-t, betting, permutation, or rule (identical scores)."""
    margin: float | None = None
    """Points that were said not to matter; None where nobody said."""
    p_equivalent: float | None = None
    """Two one-sided tests that the difference lies within ±margin, corrected over the same family."""
    p_not_worse: float | None = None
    """One-sided test that `a` is not worse than `b` by the margin or more; not corrected."""
    p_not_better: float | None = None
    """The same of `b` against `a`."""
    left_out_a: tuple[LeftOut, ...] = ()
    left_out_b: tuple[LeftOut, ...] = ()
    until_decided: UntilDecided | None = None


class FactorEffect(Record):
    """Level `a` minus level `b` of one axis, averaged over the cells that differ in nothing else."""

    axis: str
    a: str
    b: str
    measure: str
    pairs: int
    """Number of matched cell pairs averaged over."""
    comparison: Comparison


class Interaction(Record):
    """How much more level `a` gains over `b` on one axis at level `c` of another axis than at level `d`."""

    axis: str
    a: str
    b: str
    other_axis: str
    c: str
    d: str
    measure: str
    at_c: float
    """`a` minus `b` at level `c`, averaged over everything else, points."""
    at_d: float
    delta: float
    """at_c - at_d."""
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    family: str
    scope: Literal["checkpoint", "recipe"]
    shown: bool
    """Significant after correction, on enough items for a verdict."""


class CurvePoint(Record):
    """At `x`, against the axis's lowest value: points of the measure. No interval at the lowest value itself."""

    x: float
    difference: float
    interval: Interval | None


class Curve(Record):
    """How an axis of numbers acts on a measure: a polynomial over all cells, other axes held still.

    `fitted`: the curve, with a band that holds for all of it at once (Working and Hotelling 1929, Scheffé 1953);
    `levels`: each value that was tried, by itself. `p_slope`: that a straight line rises or falls; `p_bend`: that the
    curve is none; both uncorrected. `log`: line and polynomial are in the logarithm of the axis.
    """

    axis: str
    measure: str
    degree: int
    log: bool = False
    scope: Literal["checkpoint", "recipe"]
    levels: tuple[CurvePoint, ...]
    fitted: tuple[CurvePoint, ...]
    p_slope: float | None
    p_bend: float | None


class Purchase(Record):
    """What more of one thing would do to the interval of a typical pair: half the width, in points, and its change."""

    what: str
    """e.g. `3 more seeds`."""
    half_width: float
    shrinks_by: float
    """Share of today's half width: 0.22 for an interval 22 % narrower."""


class VarianceTable(Record):
    """Where the uncertainty of a typical difference between two trained cells comes from, on one measure."""

    measure: str
    pairs: int
    half_width: float
    """Today's, of the 95 % interval of a typical pair, points."""
    items: float
    """Share (0 … 1) that comes from which items were asked; the shares add up to 1."""
    seeds: float | None
    """Which training seeds; None with one seed everywhere: not known, and not in the interval."""
    seeds_by_items: float | None
    """What a seed changes item by item, beyond the sampling and judging that is known apart."""
    samples: float | None
    """Which sample of a response was drawn; None with one sample an item."""
    judge: float | None
    """What the judge says when asked again; None without repeats."""
    items_per_cluster: float = 1.0
    """With `compare.clusters`, on average."""
    item_sd: float
    """Standard deviation of what an item adds to a pair's difference whatever the seed, points.

    Of items in clusters, this and `run_sd` are what lone items would need to have to give the same interval.
    """
    run_sd: float
    """Of what one training run adds to one item, sampling and judging included, points; 0 where not known."""
    seed_sd: float | None
    """Of a cell's score between training seeds, item noise taken out, points."""
    judge_sd: float | None
    """Standard deviation of a judge's repeats on one response, points."""
    purchases: tuple[Purchase, ...]


class Winner(Record):
    """The best of many cells looks better than it is: picking it picks its luck too."""

    cell: str
    measure: str
    out_of: int
    mean: float
    optimism: float
    """By how much the best cell's mean is expected to overstate it, points."""


Probe = Literal[
    "reference", "other_reference", "empty", "truncated", "padded", "fact_changed", "injection", "delimiter"
]
"""Kinds of answers of known worth (see judges.probes)."""


class Rate(Record):
    """`count` of `n`, with a Wilson interval."""

    count: int
    n: int
    value: float
    interval: Interval


class ProbeResult(Record):
    """How a judge scored one kind of probe answer.

    `auc`: probability that the reference outscores it; `accepted`: how often it got three quarters of the scale or
    more (for a bad answer that is a false accept). None: no verdicts to tell by, or it does not apply.
    """

    probe: Probe
    n: int
    mean: float | None
    unscored: int
    auc: float | None = None
    auc_interval: Interval | None = None
    accepted: Rate | None = None


class ScoreCount(Record):
    """How often a judge gave one score."""

    score: float
    count: int


class ScaleUse(Record):
    """Which scores a judge gives. `heaping`: share of the commonest one; `distinct`: how many different ones."""

    histogram: tuple[ScoreCount, ...]
    heaping: float
    distinct: int


class RepeatAgreement(Record):
    """The same question asked several times. `sd`: within an answer, points; `noise_share`: of the whole variance."""

    answers: int
    identical: Rate
    sd: float
    noise_share: float | None


class OrderBias(Record):
    """Pairwise judges: `consistent`: both orders say the same; `first_wins`: of the decided ones, won by the first."""

    consistent: Rate
    first_wins: Rate | None


class Slope(Record):
    """Points a judge's score changes by, per 100 characters, with its interval over items."""

    value: float
    interval: Interval | None
    n: int


class JudgeAgreement(Record):
    """Two judges about the same answers. None where a judge gave one score to all of them.

    `alpha`: Krippendorff's, interval level, on scores brought to 0–1; `spearman`, `kendall`: rank correlations.
    """

    a: str
    b: str
    n: int
    alpha: float | None
    spearman: float | None
    kendall: float | None


class WinRate(Record):
    """A cell against the opponent of a pairwise judge, in percent; ties are half.

    `length_controlled`: what it would be were the answers of equal length.
    """

    judge: str
    cell: str
    n: int
    raw: float
    raw_interval: Interval
    length_controlled: float | None
    length_controlled_interval: Interval | None
    length_effect: float | None
    """Change of the log-odds of winning when the answer is longer by one standard deviation of the differences."""


class Strength(Record):
    """A cell in a contest: `chance` (0 to 1) of being preferred to a cell of average strength on an item."""

    cell: str
    games: int
    chance: float
    interval: Interval

    @property
    def elo(self) -> tuple[float, float, float]:
        """(rating, low, high) in points above an average cell: 400 for odds of ten to one."""
        shares = (min(max(each, 1e-4), 1 - 1e-4) for each in (self.chance, self.interval.low, self.interval.high))
        rating, low, high = (400 * math.log10(share / (1 - share)) for share in shares)
        return rating, low, high


class Meeting(Record):
    """Two cells in a contest: `share` of the games that `a` won, ties half."""

    a: str
    b: str
    games: int
    share: float


class Contest(Record):
    """A pairwise judge over many pairs of cells: Bradley-Terry strengths, strongest first.

    `possible`: (pair, item) that there are; `games`: those that were judged; `unscored`: of them, without a verdict.
    """

    judge: str
    design: str
    games: int
    possible: int
    unscored: int
    strengths: tuple[Strength, ...]
    meetings: tuple[Meeting, ...]


class TrustReport(Record):
    """What the probes say about a judge. `auc_*`: probability that the reference outscores the bad answer.

    `injection`: wrong answers that the judge accepts once they carry an order to do so, of those it rejects without;
    `delimiter`: the same with markup that pretends to be the prompt's. `verbosity`: what empty politeness earns;
    `length`: how scores of the variants' answers go with their length, within items. `fallback`: of the verdicts of a
    judge with expected scores, those that are what it said, since the log-probabilities tell none.
    """

    judge: str
    trusted: bool
    reason: str
    probes: tuple[ProbeResult, ...]
    auc_other_reference: float | None
    auc_empty: float | None
    interval_other_reference: Interval | None
    interval_empty: Interval | None
    threshold: float
    injection: Rate | None = None
    delimiter: Rate | None = None
    verbosity: Slope | None = None
    length: Slope | None = None
    repeats: RepeatAgreement | None = None
    order: OrderBias | None = None
    scale_use: ScaleUse | None = None
    fallback: Rate | None = None


class Result(Record):
    """comparison.json: everything that reports and leaderboard show, free of clock times, so that reruns are equal."""

    matrix: str
    matrix_digest: str
    data_name: str
    n_test: int
    audit: AuditSummary | None = None
    left_out: tuple[str, ...] = ()
    """Ids of the leaked test items that no figure counts."""
    alpha: float
    primary: str
    baseline: str | None
    measures: tuple[MeasureInfo, ...]
    rows: tuple[BoardRow, ...]
    comparisons: tuple[Comparison, ...]
    """All pairs of cells × measures."""
    effects: tuple[FactorEffect, ...]
    interactions: tuple[Interaction, ...] = ()
    """Two-way interactions of the axes on the primary measure."""
    curves: tuple[Curve, ...] = ()
    """Axes of numbers with three values or more, on the primary measure."""
    variances: tuple[VarianceTable, ...] = ()
    winner: Winner | None = None
    trust: tuple[TrustReport, ...]
    agreement: tuple[JudgeAgreement, ...] = ()
    win_rates: tuple[WinRate, ...] = ()
    contests: tuple[Contest, ...] = ()
    people: PeopleReport | None = None
    """None: nobody has rated."""
    failed: tuple[FailedVariant, ...]
    answer: tuple[str, ...]
    """The answer in words, a sentence each, most important first."""
    warnings: tuple[str, ...]
