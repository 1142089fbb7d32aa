"""A matrix expanded into stages."""

from __future__ import annotations

from harness.records.base import Record
from harness.records.inputs import StageInput, StageKey, StageName
from harness.records.variant import Variant


class PlannedStage(Record):
    """One object to make: its key and resolved input. Inputs it needs are named inside by their digests."""

    key: StageKey
    input: StageInput


class JudgePlan(Record):
    """One judge of the matrix, resolved: the stages of its probes, and its column's name."""

    name: str
    backend: str
    model: str
    rubric: str
    expected_score: bool = False
    probe: StageKey
    probe_ask: StageKey
    probe_judge: StageKey
    contest: StageKey | None = None
    """Pairs of cells beyond those with the opponent, where the matrix wants them."""


class VariantPlan(Record):
    """The stages of one variant. `scores` by metric name, `asks` and `judgments` by judge name."""

    variant: Variant
    base: StageKey | None
    """None: it is served, or comes from a file."""
    train: StageKey | None
    generate: StageKey
    scores: dict[str, StageKey]
    asks: dict[str, StageKey]
    judgments: dict[str, StageKey]
    sampled: StageKey | None = None
    """Several responses to each prompt, for stability alone; and their scores, by metric name."""
    sampled_scores: dict[str, StageKey] = {}


class Plan(Record):
    """A matrix expanded: what will be made, in an order in which every stage comes after its inputs."""

    matrix: str
    matrix_digest: str
    data: StageKey
    audit: StageKey | None = None
    """None in plans of versions that did not audit."""
    stages: tuple[PlannedStage, ...]
    variants: tuple[VariantPlan, ...]
    judges: tuple[JudgePlan, ...]


class FailedVariant(Record):
    """A variant that could not be finished; it stands on the leaderboard as failed."""

    variant: str
    stage: StageName
    reason: str
