"""Seals: what was made, from what, when, at what cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.records.base import Record
from harness.records.data import AuditSummary, SplitName
from harness.records.inputs import StageKey
from harness.records.settings import AuditKind


class SealedFile(Record):
    """A file of a sealed object, by its path inside the object's folder."""

    path: str
    bytes: int
    sha256: str


class TrainFacts(Record):
    """The fairness ledger of one training: what the variant was given and what it cost."""

    kind: Literal["train"] = "train"
    examples: int
    steps: int
    kept_step: int
    """The step whose weights were kept: the last, or that of the lowest validation loss."""
    loss_tokens: int
    tokens_seen: int
    truncated: int = 0
    """Rows of the training part that were cut to fit, and of these those that lost text of an answer that carries loss;
    rows that were left out. Seals from before this was settled count the validation part's too."""
    responses_cut: int = 0
    dropped: int = 0
    parameters: int
    trained_parameters: int
    precision: Literal["fp32", "bf16", "bf16-pure"]
    device: str = ""
    """The GPU's name, or `cpu`; empty in seals from before it was noted, whose own `device` says it."""
    micro_batch_size: int
    first_loss: float
    last_loss: float
    validation_loss: float | None
    train_seconds: float
    flops: float
    """Floating-point operations, counted from weights and tokens (trainers.ledger)."""
    peak_memory_bytes: int
    energy_joules: float | None
    """Of the whole machine meanwhile; None where no counter can be read."""


class ScoreFacts(Record):
    """The corpus figure of one metric, on the metric's own scale; None where no item could be scored.

    `empty`: responses without text, which have the scale's worst value; `unscored`: items that it cannot score.
    """

    kind: Literal["score"] = "score"
    corpus: float | None
    signature: str
    empty: int = 0
    unscored: int = 0


class ImportFacts(Record):
    """How a file of responses fitted the test items.

    `unmatched`: responses to prompts that are no test items; `missing`: test items that were left out for want of one.
    """

    kind: Literal["import"] = "import"
    unmatched: int
    missing: tuple[str, ...]


class AskFacts(Record):
    """The bill of one round of judging, over all runs that it took. `cost`: US dollars; None: no price is known.

    `seconds`: of the calls that were answered, added up. `failed`: questions without an answer after all retries.
    `spared`: questions that were not asked because it was decided without them.
    """

    kind: Literal["ask"] = "ask"
    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    failed: int = 0
    spared: int = 0
    seconds: float = 0.0
    cost: float | None = None


class DataFacts(Record):
    """What became of the rows of the sources."""

    kind: Literal["data"] = "data"
    parts: dict[SplitName, int]
    folds: dict[int, int] = {}
    """Rows of each fold, which `parts` counts under `test`."""
    bad_rows: tuple[str, ...]
    """The broken rows left out: `file:line: what is wrong`; the first hundred, and how many more."""
    dropped: dict[AuditKind, int]


class AuditFacts(Record):
    """The audit in short; its findings are the object's rows."""

    kind: Literal["audit"] = "audit"
    summary: AuditSummary


Facts = Annotated[
    DataFacts | AuditFacts | TrainFacts | ImportFacts | ScoreFacts | AskFacts, Field(discriminator="kind")
]


class Seal(Record):
    """Written last: without it an object is not done. Times are UTC, ISO 8601."""

    store_version: int
    key: StageKey
    rows: int | None
    files: tuple[SealedFile, ...]
    versions: dict[str, str]
    device: str
    started: str
    ended: str
    seconds: float
    facts: Facts | None = None
