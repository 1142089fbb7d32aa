"""What people's ratings say of the judges, and of the variants."""

from __future__ import annotations

from harness.records.base import Record


class Estimate(Record):
    """A figure with its 95 % interval over test items; no interval where resampling cannot tell one."""

    value: float
    low: float | None
    high: float | None


class RaterAgreement(Record):
    """Two raters, or a rater and a judge, about the same answers. None where one gave a single score to all of them.

    `kappa`: Cohen's, over `levels` grades (fifths of a scale of more than eleven points); `weighted`: the same with
    quadratic weights; `alpha`: Krippendorff's, interval level, on scores brought to 0–1.
    """

    a: str
    b: str
    judge: bool
    """`b` is a judge."""
    n: int
    items: int
    levels: int
    kappa: Estimate | None
    weighted: Estimate | None
    spearman: Estimate | None
    alpha: float | None


class CorrectedMean(Record):
    """A cell's mean as people would give it: a judge's, corrected by the items that people rated.

    `judge_mean`: the judge's own, over all items; `people_mean`: people's, over those that they rated; `weight`: what
    the judge counts for, 0 (people alone) to 1. `decides`: there are labels enough for the interval to hold.
    """

    judge: str
    cell: str
    items: int
    labels: int
    raters: int
    judge_mean: float
    people_mean: float
    corrected: Estimate
    weight: float
    decides: bool


class PeopleReport(Record):
    """All that ratings tell."""

    agreement: tuple[RaterAgreement, ...]
    corrected: tuple[CorrectedMean, ...]
