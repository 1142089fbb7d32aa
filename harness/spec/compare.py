"""`compare:` of a matrix."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records.base import Settings
from harness.spec.axes import Assignment
from harness.spec.names import MetricName


class CompareSettings(Settings):
    """What is compared, and how strictly."""

    primary: MetricName | str = Field(
        "rougeL",
        description="The measure that ranks and answers: a metric or a judge. Default: rougeL, else the first.",
    )
    baseline: Assignment | None = Field(None, description="The cell to compare with; default: the untuned model.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Significance level of the whole family.")
    permutations: int = Field(10_000, ge=1_000, le=1_000_000, description="Draws of the permutation tests.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")
    rank_untrusted: bool = Field(False, description="Let judges rank that have failed their probes; they stay marked.")
    leaked_items: Literal["count", "leave out"] = Field(
        "count", description="Whether test items that the audit found in train count in the measures."
    )
    margin: float | None = Field(
        None, gt=0, description="Points of the primary measure that do not matter; needed to call two cells equivalent."
    )
    family: Literal["pairs", "baseline"] = Field(
        "pairs", description="Which pairs are corrected together: all of them, or those with the baseline."
    )
    correction: Literal["holm", "max-t"] = Field(
        "holm", description="How pairs on the primary measure are corrected; max-t uses how they hang together."
    )
    clusters: str | None = Field(
        None, description="A field of the data that groups items which stand or fall together, e.g. source_id."
    )
    stop_when_decided: bool = Field(
        False,
        description="Judge items in random order, and a variant only until it is decided how it compares with the "
        "baseline. For one seed a cell and no panels; never in a regression check.",
    )
    seed_sd: float | None = Field(
        None,
        ge=0,
        description="Standard deviation of the primary measure between training seeds that you vouch for, in points; "
        "used where no cell has two seeds.",
    )
