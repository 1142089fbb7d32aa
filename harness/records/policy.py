"""policy.yaml: what a candidate must keep, and what happens where that cannot be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records.base import Settings

Tier = Literal["critical", "supporting", "advisory"]
"""critical: a regression fails, and what is inconclusive does what the policy says; supporting: a regression fails, and
what is inconclusive only warns, unless the check itself says more; advisory: shown, and fails nothing."""
Inconclusive = Literal["pass", "warn", "fail"]


class MeasureCheck(Settings):
    """One measure that must not fall."""

    measure: str = Field(description="A metric, judge or panel of the matrix.")
    tier: Tier = Field("critical", description="critical, supporting or advisory.")
    direction: Literal["auto", "higher", "lower"] = Field(
        "auto", description="Which way is better; auto: as the measure itself says."
    )
    tolerance: float | None = Field(
        None, ge=0, description="Points that it may fall (the non-inferiority margin); default: the policy's."
    )
    strict: bool = Field(
        False, description="Call it a regression only where the fall is shown to exceed the tolerance."
    )
    alpha: float | None = Field(None, gt=0, lt=0.5, description="Of this check; default: the policy's.")
    inconclusive: Inconclusive | None = Field(None, description="Of this check; default: the policy's.")
    seed_sd: float | None = Field(None, ge=0, description="Of this measure; default: the policy's.")
    floor: float | None = Field(
        None, description="The candidate's mean must be at least this (at most, if lower wins)."
    )


class Budget(Settings):
    """A limit on what a candidate takes, or on how it stops."""

    what: Literal["train_seconds", "tokens_per_second", "stop_rate"] = Field(
        description="train_seconds and tokens_per_second: ratio to the baseline's; stop_rate: share of the answers, 0"
        " to 1, that end by themselves."
    )
    at_most: float | None = Field(None, gt=0, description="Upper limit.")
    at_least: float | None = Field(None, gt=0, description="Lower limit.")
    tier: Tier = Field("advisory", description="Times depend on the machine, hence the default.")


class GoldenItem(Settings):
    """An item that must stay right."""

    item: str = Field(description="Its id, or its instruction word for word.")
    measure: str = Field(description="What tells whether it is right.")
    at_least: float | None = Field(
        None, description="Points from which on it is right (up to which, if lower wins); default: full marks."
    )
    tier: Tier = Field("critical", description="critical, supporting or advisory.")


class Policy(Settings):
    """How a candidate is checked. Every check is made for every pair of cells."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="One-sided chance of an error, for each kind of error.")
    correction: Literal["holm", "none"] = Field(
        "holm", description="Over the checks that can fail the gate, for regressions and improvements."
    )
    inconclusive: Inconclusive = Field("warn", description="What an inconclusive critical check does.")
    tolerance: float | None = Field(
        None, ge=0, description="Points that a measure may fall; default: a fiftieth of its scale."
    )
    scope: Literal["recipe", "checkpoint"] = Field(
        "recipe", description="recipe: other training seeds might have been drawn; checkpoint: these weights only."
    )
    seed_sd: float | None = Field(
        None, ge=0, description="Standard deviation between training seeds (points), where no cell has two seeds."
    )
    cells: dict[str, str] = Field(
        default_factory=dict,
        description="Candidate's cell: baseline's cell, by name or a part of it that fits no other. The other trained"
        " cells go by their names; where no two are alike, by being the only one of each side.",
    )
    missing_cells: Literal["fail", "warn"] = Field(
        "fail", description="What a trained cell of the baseline does that nothing of the matrix is held against."
    )
    max_unpaired: float = Field(
        0.1, ge=0, lt=1, description="Share of the items that may lack a score on one side before a check is an error."
    )
    checks: tuple[MeasureCheck, ...] = Field(
        (), description="Measures; default: the primary one is critical, the others that have a scale are advisory."
    )
    budgets: tuple[Budget, ...] = Field((), description="Limits on time and stopping.")
    golden: tuple[GoldenItem, ...] = Field((), description="Items that must stay right.")
