"""A training that processes of their own do, as one file; what they say of it on the way; how it ended."""

from __future__ import annotations

from pathlib import Path

from harness.records.base import Record
from harness.records.inputs import TrainInput
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from harness.records.style import PromptStyle


class TrainJob(Record):
    """Everything that a training needs. `tokens`: folder of the tokenised split.

    `outcome`: where rank 0 writes how it ended.
    """

    input: TrainInput
    base: Path
    tokens: Path
    style: PromptStyle
    weights: Path
    checkpoints: Path
    progress: Path
    """A line of `StepDone` for each optimizer step."""
    outcome: Path
    trust_remote_code: bool = False


class StepDone(Record):
    """One optimizer step, of `total`."""

    row: LossRow
    total: int


class JobOutcome(Record):
    """How a training ended: with its facts, or with an error that the user can mend."""

    facts: TrainFacts | None = None
    error: str = ""
    """Name of its class in harness.errors."""
    what: str = ""
    hint: str | None = None
