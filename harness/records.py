"""Every type that reaches disk: frozen, no unknown keys. Memory-only types live beside the code that makes them."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base of all records: immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(record: Record) -> str:
    """The one JSON text of a record: sorted keys, no spaces, UTF-8; two equal records have equal texts."""
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(record: Record) -> str:
    """sha256 (64 hex digits) of the record's canonical JSON: the identity of whatever the record resolves to."""
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()


# ---------------------------------------------------------------- data


class Example(Record):
    """One instruction with its reference answer."""

    id: str
    """Content hash (12 hex digits); a repeated entry gets the suffix `-2`, `-3`, …"""
    instruction: str
    input: str = ""
    output: str
    meta: dict[str, str] = {}
    """Any further text fields of the source row (family, language, …), for slices."""


SplitName = Literal["train", "validation", "test"]


class SplitExample(Record):
    """An example and the part of the split that it fell into. `index` is its 0-based row in the source."""

    split: SplitName
    index: int
    example: Example


# ---------------------------------------------------------------- variants

Masking = Literal["none", "instruction", "prompt"]
Method = Literal["none", "full", "lora"]


class Variant(Record):
    """One trained (or untuned) model of the matrix. For `method: none`, masking and seed mean nothing and are None."""

    model: str
    prompt_style: str
    method: Method
    masking: Masking | None
    seed: int | None

    @property
    def cell(self) -> Cell:
        """The variant without its seed; seeds are replicates of a cell, never conditions."""
        return Cell(model=self.model, prompt_style=self.prompt_style, method=self.method, masking=self.masking)

    @property
    def name(self) -> str:
        """Unique within a matrix, fit for a file name: the cell's name and the seed."""
        return self.cell.name if self.seed is None else f"{self.cell.name}#{self.seed}"


class Cell(Record):
    """A condition of the experiment: everything about a variant but its seed."""

    model: str
    prompt_style: str
    method: Method
    masking: Masking | None

    @property
    def name(self) -> str:
        """e.g. `smollm2-135m/alpaca/lora/mask-prompt`; `smollm2-135m/alpaca/untuned`."""
        head = f"{self.model}/{self.prompt_style}"
        return f"{head}/untuned" if self.method == "none" else f"{head}/{self.method}/mask-{self.masking}"

    def level(self, axis: str) -> str | None:
        """The cell's value on an axis; None where the axis means nothing for it (masking of an untuned model)."""
        return {"model": self.model, "prompt_style": self.prompt_style, "method": self.method, "masking": self.masking}[
            axis
        ]


# ---------------------------------------------------------------- settings that decide results (parts of digests)


class LoraSettings(Record):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, ge=1, description="Rank r of the update matrices.")
    alpha: float = Field(16, gt=0, description="Scale: the update is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    targets: Literal["all-linear", "attention"] | tuple[str, ...] = Field(
        "all-linear", description="Which linear layers get an adapter: all-linear, attention, or module names."
    )
    lr: float | None = Field(None, gt=0, description="Learning rate for LoRA variants; default: train.lr.")


class TrainSettings(Record):
    """How a variant is trained. One optimizer step sees `batch_size` examples."""

    epochs: float = Field(2, gt=0, description="Passes over the training part.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimizer steps.")
    batch_size: int = Field(8, ge=1, description="Examples an optimizer step.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Examples a forward pass; default: the whole batch. Changes memory, not the mathematics.",
    )
    lr: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW weight decay, on matrices only.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Learning rate after warm-up.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    clip_norm: float | None = Field(1.0, gt=0, description="Clip the gradient's norm at this value; null: no clipping.")
    max_length: int | None = Field(
        None,
        ge=8,
        description="Longest training row in tokens; a longer one is an error. Default: the model's context.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the hardware has it, else fp32; bf16: autocast regardless."
    )
    lora: LoraSettings = Field(
        default_factory=lambda: LoraSettings(), description="Settings of `method: lora` variants."
    )


class GenerateSettings(Record):
    """How responses are decoded; greedy."""

    max_new_tokens: int = Field(64, ge=1, description="Longest response in tokens.")
    batch_size: int = Field(32, ge=1, description="Prompts decoded together.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="As in train.")


# ---------------------------------------------------------------- stage inputs: their digest names the output


class SplitSettings(Record):
    """Fractions (sum at most 1) or counts of rows, cut in file order: train, then test, then validation."""

    train: float = Field(0.85, gt=0, description="Fraction (at most 1) or number of rows.")
    test: float = Field(0.10, gt=0, description="Fraction (at most 1) or number of rows.")
    validation: float | None = Field(
        None, ge=0, description="Fraction or number of rows; default: the rest for fractions, none for counts."
    )


class DataInput(Record):
    """Resolved input of the data stage: which bytes, cut how."""

    stage: Literal["data"] = "data"
    version: int = 1
    source_sha256: str
    format: Literal["json", "jsonl", "csv"]
    split: SplitSettings


class BaseInput(Record):
    """Resolved identity of a base model."""

    stage: Literal["base"] = "base"
    version: int = 1
    kind: Literal["gguf", "folder", "hub"]
    identity: str
    """sha256 of the GGUF file or of the folder's files; `org/name@commit` for a Hub model."""
    trust_remote_code: bool = False


class TrainInput(Record):
    """Everything that decides the weights of a variant."""

    stage: Literal["train"] = "train"
    version: int = 1
    base: str
    data: str
    style_sha256: str
    masking: Masking
    method: Literal["full", "lora"]
    settings: TrainSettings
    seed: int


class GenerateInput(Record):
    """Everything that decides the responses of a variant. `weights`: digest of a train object, or of a base object."""

    stage: Literal["generate"] = "generate"
    version: int = 1
    weights: str
    base: str
    data: str
    style_sha256: str
    settings: GenerateSettings


class ProbeInput(Record):
    """Answers of known worth, made from the test set itself, in the form of generations (see judges.trust)."""

    stage: Literal["probe"] = "probe"
    version: int = 1
    data: str
    items: int | None


class ScoreInput(Record):
    """One metric over one variant's responses. `metric` carries the metric's own version in its signature."""

    stage: Literal["score"] = "score"
    version: int = 1
    generations: str
    data: str
    metric: str
    signature: str


class AskInput(Record):
    """Everything that decides a judge's replies."""

    stage: Literal["ask"] = "ask"
    version: int = 1
    generations: str
    data: str
    backend: str
    model_identity: str
    prompt_sha256: str
    options: dict[str, str | int | float | bool] = {}
    items: int | None = None
    repeats: int = 1


class JudgeInput(Record):
    """Replies and the parser that reads them: a new parser reads old replies for free."""

    stage: Literal["judge"] = "judge"
    version: int = 1
    replies: str
    parser_sha256: str


StageInput = Annotated[
    DataInput | BaseInput | TrainInput | GenerateInput | ProbeInput | ScoreInput | AskInput | JudgeInput,
    Field(discriminator="stage"),
]
StageName = Literal["data", "base", "train", "generate", "probe", "score", "ask", "judge"]


class StageKey(Record):
    """Address of one object in the store."""

    stage: StageName
    digest: str


# ---------------------------------------------------------------- rows that stages write


class LossRow(Record):
    """One optimizer step. `loss`: mean over loss-bearing tokens, nats a token."""

    step: int
    loss: float
    loss_tokens: int
    lr: float
    grad_norm: float
    validation_loss: float | None = None


FinishReason = Literal["eos", "length"]


class Generation(Record):
    """One response. `seconds` is the time of its batch divided by the batch's responses."""

    example_id: str
    sample: int
    text: str
    finish_reason: FinishReason
    tokens: int
    seconds: float


class MetricRow(Record):
    """One item's value, and its sufficient statistics where a corpus figure is formed from sums (BLEU, chrF)."""

    example_id: str
    sample: int
    value: float
    counts: tuple[float, ...] = ()


class TokenLogprob(Record):
    """Natural-log probability of one candidate for the first verdict token."""

    token: str
    logprob: float


class Reply(Record):
    """What a judge said to one request, unread."""

    kind: Literal["reply"] = "reply"
    request_digest: str
    example_id: str
    sample: int
    repeat: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    seconds: float


class NoReply(Record):
    """A request that got no answer after all retries."""

    kind: Literal["no_reply"] = "no_reply"
    request_digest: str
    example_id: str
    sample: int
    repeat: int
    reason: str
    attempts: int


ReplyRow = Annotated[Reply | NoReply, Field(discriminator="kind")]


class Scored(Record):
    """A verdict with a value on the rubric's scale."""

    kind: Literal["scored"] = "scored"
    example_id: str
    sample: int
    repeat: int
    value: float


class Unparsed(Record):
    """The judge answered, but not with a verdict that its rubric allows."""

    kind: Literal["unparsed"] = "unparsed"
    example_id: str
    sample: int
    repeat: int
    reason: str


class Refused(Record):
    """The judge declined to judge."""

    kind: Literal["refused"] = "refused"
    example_id: str
    sample: int
    repeat: int
    reason: str


class Failed(Record):
    """No reply after all retries."""

    kind: Literal["failed"] = "failed"
    example_id: str
    sample: int
    repeat: int
    reason: str


Judgment = Annotated[Scored | Unparsed | Refused | Failed, Field(discriminator="kind")]


# ---------------------------------------------------------------- seals


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
    loss_tokens: int
    tokens_seen: int
    parameters: int
    trained_parameters: int
    precision: Literal["fp32", "bf16"]
    first_loss: float
    last_loss: float
    validation_loss: float | None
    train_seconds: float
    peak_memory_bytes: int


class ScoreFacts(Record):
    """The corpus figure of one metric, on the metric's own scale."""

    kind: Literal["score"] = "score"
    corpus: float
    signature: str


class AskFacts(Record):
    """The bill of one round of judging."""

    kind: Literal["ask"] = "ask"
    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int


Facts = Annotated[TrainFacts | ScoreFacts | AskFacts, Field(discriminator="kind")]


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


# ---------------------------------------------------------------- plan


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
    probe: StageKey
    probe_ask: StageKey
    probe_judge: StageKey


class VariantPlan(Record):
    """The stages of one variant. `scores` by metric name, `asks` and `judgments` by judge name."""

    variant: Variant
    base: StageKey
    train: StageKey | None
    generate: StageKey
    scores: dict[str, StageKey]
    asks: dict[str, StageKey]
    judgments: dict[str, StageKey]


class Plan(Record):
    """A matrix expanded: what will be made, in an order in which every stage comes after its inputs."""

    matrix: str
    matrix_digest: str
    data: StageKey
    stages: tuple[PlannedStage, ...]
    variants: tuple[VariantPlan, ...]
    judges: tuple[JudgePlan, ...]


class FailedVariant(Record):
    """A variant that could not be finished; it stands on the leaderboard as failed."""

    variant: str
    stage: StageName
    reason: str


# ---------------------------------------------------------------- comparison.json


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
