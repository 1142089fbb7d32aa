"""check.json: what a candidate was held to, and what was found."""

from __future__ import annotations

from typing import Literal

from harness.records.base import Record
from harness.records.policy import Inconclusive, Policy, Tier

Outcome = Literal["pass", "improved", "inconclusive", "regression", "error"]
"""improved: a pass, and shown to be better. error: there is nothing to decide from."""
Cause = Literal["input", "usage", "infrastructure", "training"]
"""What an error comes from: the two sides are not comparable; a file cannot be used; a server or a disk; the
candidate's own training."""


class CheckResult(Record):
    """One check of one pair of cells. `name` is unique in a report.

    Differences are candidate minus baseline, in points.
    """

    name: str
    kind: Literal["measure", "floor", "budget", "golden"]
    tier: Tier
    measure: str
    label: str
    outcome: Outcome
    reason: str
    """Why, in a sentence."""
    cell: str
    baseline_cell: str
    on_inconclusive: Inconclusive = "warn"
    cause: Cause | None = None
    decimals: int = 1
    """That suit its scale."""
    limit: float | None = None
    """Tolerance of a measure, floor, limit of a budget, or the points from which an item is right."""
    baseline: float | None = None
    candidate: float | None = None
    delta: float | None = None
    lower: float | None = None
    """One-sided bounds on the difference, each at level 1 - alpha."""
    upper: float | None = None
    alpha: float | None = None
    p_regression: float | None = None
    """One-sided, corrected over the checks of the family."""
    p_pass: float | None = None
    """One-sided: of "the fall reaches the tolerance"; not corrected, since passing needs every check."""
    method: str = ""
    scope: Literal["checkpoint", "recipe"] | None = None
    n_items: int | None = None
    unpaired: int | None = None
    seeds: tuple[int, int] | None = None
    """Of candidate and baseline."""
    smallest_fall: float | None = None
    """True fall (points) that such a check calls a regression four times in five, were it the only one; by t alone."""
    items_needed: int | None = None
    """So many items (or candidate's seeds) would let an equal candidate pass four times in five; None: none would."""
    seeds_needed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether it fails the gate."""
        if self.tier == "advisory":
            return False
        if self.outcome == "inconclusive":
            return self.on_inconclusive == "fail"
        return self.outcome in ("regression", "error")

    @property
    def warns(self) -> bool:
        """Whether it is worth a warning though it fails nothing."""
        if self.fails or self.outcome in ("pass", "improved"):
            return False
        return self.outcome != "inconclusive" or self.on_inconclusive != "pass"


class WorstItem(Record):
    """An item on which the candidate lost much. Texts are None where the baseline kept none."""

    example_id: str
    measure: str
    cell: str
    baseline: float
    candidate: float
    instruction: str
    reference: str
    baseline_answer: str | None
    candidate_answer: str


class CheckReport(Record):
    """The whole verdict. `harness`: version of the program that found it."""

    version: Literal[1] = 1
    harness: str
    matrix: str
    matrix_file: str
    baseline: str
    baseline_file: str
    outcome: Outcome
    exit_status: int
    answer: str
    """The verdict in a sentence."""
    changed: tuple[str, ...]
    """What differs between the baseline's recipe and the candidate's."""
    checks: tuple[CheckResult, ...]
    worst: tuple[WorstItem, ...]
    warnings: tuple[str, ...] = ()
    policy: Policy
