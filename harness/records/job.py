"""A training that processes of their own do, as one file; what they say of it on the way; how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.records.base import Record
from harness.records.inputs import TrainInput
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from harness.records.style import PromptStyle


class Launch(Record):
    """By how many processes a variant is trained, and how they are started. Decides results up to rounding only."""

    devices: int = 1
    sharding: Literal["none", "fsdp"] = "none"
    launcher: str | None = None
    """What starts the processes instead of torchrun on this machine."""

    @property
    def alone(self) -> bool:
        """Whether the harness's own process trains."""
        return self.devices == 1 and self.launcher is None


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
    sharded: bool = False


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
