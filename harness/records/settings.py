"""Settings that decide results: the parts of stage inputs that a user writes."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Settings
from harness.records.variant import TrainOn, Truncate


class LoraSettings(Settings):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, ge=1, description="Rank r of the update matrices.")
    alpha: float = Field(16, gt=0, description="Scale: the update is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    targets: Literal["all-linear", "attention", "auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all-linear",
        description="Which linear layers get an adapter: all-linear, attention, auto (peft's choice for the"
        " architecture), or module names.",
    )
    rslora: bool = Field(False, description="Scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732).")
    dora: bool = Field(False, description="Learn magnitude and direction apart (Liu et al. 2024, arXiv 2402.09353).")
    lr: float | None = Field(None, gt=0, description="Learning rate of lora and qlora variants; default: train.lr.")


OptimizerName = Literal["adamw", "adamw-8bit"]


class TrainSettings(Settings):
    """How a variant is trained. One optimizer step sees `batch_size` examples."""

    epochs: float = Field(2, gt=0, description="Passes over the training part.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimizer steps.")
    max_tokens: int | None = Field(
        None, ge=1, description="Stop after the step in which this many tokens of training rows have been seen."
    )
    batch_size: int = Field(8, ge=1, description="Examples an optimizer step.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Examples a forward pass; default: the whole batch. Changes memory, not the mathematics.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations again in the backward pass: a third slower, and far less memory. Changes"
        " nothing else.",
    )
    compile: bool = Field(
        False,
        description="Compile the layers (torch.compile): minutes at the start, then faster on a GPU. Changes rounding"
        " only; needs a C++ compiler.",
    )
    lr: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    optimizer: OptimizerName = Field(
        "adamw",
        description="adamw: PyTorch's, fused; adamw-8bit: bitsandbytes' with a state of 8 bits a number.",
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW weight decay, on matrices only.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Learning rate after warm-up.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps in which the rate rises; overrides warmup_ratio.")
    clip_norm: float | None = Field(
        1.0,
        gt=0,
        description="Clip the gradient's norm at this value; null: no clipping (and less memory, mostly).",
    )
    neftune_alpha: float | None = Field(
        None, gt=0, description="Noise on the embeddings while training (Jain et al. 2023, arXiv 2310.05914); e.g. 5."
    )
    evaluate_every: int | None = Field(
        None, ge=1, description="Steps between validations; default: after each epoch. Needs a validation part."
    )
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after this many validations in a row without a lower loss than before."
    )
    keep: Literal["last", "best"] = Field(
        "last", description="Which weights are kept: the last, or those of the lowest validation loss."
    )
    max_length: int | None = Field(
        None,
        ge=8,
        description="Longest training row in tokens. Default: the model's context.",
    )
    truncate: Truncate = Field(
        "error",
        description="A row longer than max_length: error names it; left cuts the beginning of its prompt; right cuts"
        " the end of its answer, which then is not taught to stop; drop leaves the row out. Counted in the ledger.",
    )
    train_on: TrainOn = Field(
        "all_assistant_turns",
        description="Which answers of a conversation carry loss; last_turn: the earlier ones are part of the prompt.",
    )
    eos_in_loss: bool = Field(True, description="Whether ending an answer is learnt; without it, models ramble on.")
    precision: Literal["auto", "fp32", "bf16", "bf16-pure"] = Field(
        "auto",
        description="auto: bf16 autocast where the hardware has it, else fp32; bf16: autocast regardless; bf16-pure:"
        " weights and optimizer in bf16 with Kahan summation (needs torch-optimi), half the memory.",
    )
    lora: LoraSettings = Field(
        default_factory=lambda: LoraSettings(), description="Settings of `method: lora` and `qlora` variants."
    )

    @model_validator(mode="after")
    def _one_optimizer(self) -> TrainSettings:
        if self.precision == "bf16-pure" and self.optimizer != "adamw":
            raise PydanticCustomError(
                "optimizer", "precision bf16-pure brings an optimizer of its own; leave `optimizer` out, or use bf16"
            )
        return self


class ReferenceLength(Settings):
    """A limit that follows the reference answer's length in the model's own tokens."""

    times_reference: float = Field(gt=0, description="Multiple of the reference answer's tokens.")
    at_least: int = Field(16, ge=1, description="Lowest limit in tokens.")
    at_most: int = Field(512, ge=1, description="Highest limit in tokens.")

    @model_validator(mode="after")
    def _ordered(self) -> ReferenceLength:
        if self.at_least > self.at_most:
            raise PydanticCustomError("limits", "at_least is above at_most")
        return self

    def of(self, tokens: int) -> int:
        """The limit beside a reference of so many tokens."""
        return max(self.at_least, min(self.at_most, round(self.times_reference * tokens)))


NewTokens = Annotated[int, Field(ge=1)] | ReferenceLength


class GenerateSettings(Settings):
    """How responses are decoded: greedily, unless a temperature is given."""

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="What answers; vllm: for big generation on a GPU, an extra to install."
    )
    max_new_tokens: NewTokens = Field(
        64, description="Longest response in tokens; or {times_reference: 2}, a multiple of the reference's length."
    )
    batch_size: int = Field(32, ge=1, description="Responses decoded together.")
    temperature: float = Field(0.0, ge=0, le=10, description="0: the likeliest token; above: drawn.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the likeliest tokens that make up this probability.")
    top_k: int | None = Field(None, ge=1, description="Draw from this many of the likeliest tokens.")
    repetition_penalty: float = Field(
        1.0, gt=0, description="Divides the scores of tokens that were there (Keskar et al. 2019, arXiv 1909.05858)."
    )
    samples: int = Field(1, ge=1, le=1000, description="Responses to each prompt.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the draws.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="As in train.")
    force_style: bool = Field(
        False, description="Generate from a checkpoint even with another prompt style than it was trained with."
    )

    @model_validator(mode="after")
    def _drawn(self) -> GenerateSettings:
        fields = type(self).model_fields
        drawn = [name for name in ("samples", "top_p", "top_k", "seed") if getattr(self, name) != fields[name].default]
        if self.temperature == 0 and drawn:
            what = ", ".join(drawn)
            raise PydanticCustomError(
                "greedy",
                "{what}: without a temperature above 0 nothing is drawn; add `temperature: 0.7`",
                {"what": what},
            )
        return self

    @property
    def most_new_tokens(self) -> int:
        """The most tokens that any response may have."""
        limit = self.max_new_tokens
        return limit.at_most if isinstance(limit, ReferenceLength) else limit


class StabilitySettings(Settings):
    """Every test prompt is answered several times besides, and the answers are compared with one another."""

    samples: int = Field(5, ge=2, le=100, description="Responses to each prompt.")
    temperature: float = Field(0.7, gt=0, le=10, description="They are drawn at.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the draws.")


class AskLimits(Settings):
    """How hard a judge's endpoint may be asked. Decides no reply."""

    concurrency: int | None = Field(
        None, ge=1, le=512, description="Most requests at once; default, and at most: the backend's."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="Never more requests a minute than this.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Never more tokens a minute than this.")
    retries: int = Field(4, ge=0, le=20, description="Further attempts after 429, 5xx, time-outs, broken connections.")


class Price(Settings):
    """What a judge's tokens cost: US dollars a million."""

    input: float = Field(ge=0, description="Prompt tokens.")
    output: float = Field(ge=0, description="Reply tokens.")


MOST_FOLDS = 100


class SplitSettings(Settings):
    """Fractions (sum at most 1) or counts of rows, cut in file order unless told otherwise: train, test, validation."""

    train: float = Field(0.85, gt=0, description="Fraction (at most 1) or number of rows.")
    test: float = Field(0.10, gt=0, description="Fraction (at most 1) or number of rows.")
    validation: float | None = Field(
        None, ge=0, description="Fraction or number of rows; default: the rest for fractions, none for counts."
    )
    shuffle: int | None = Field(None, ge=0, description="Shuffle with this seed before cutting; default: file order.")
    stratify_by: str | None = Field(
        None, min_length=1, description="A field of the rows: every part gets its values in the same proportions."
    )
    group_by: str | None = Field(
        None, min_length=1, description="A field of the rows: rows that agree in it never stand in two parts."
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=MOST_FOLDS,
        description="Cross-validation: cut into so many equal folds; each is the test set of a training on the others.",
    )

    @model_validator(mode="after")
    def _one_field(self) -> SplitSettings:
        if self.stratify_by is not None and self.group_by is not None:
            raise PydanticCustomError("split", "give stratify_by or group_by, not both")
        return self

    @model_validator(mode="after")
    def _whole_rows(self) -> SplitSettings:
        for part in (self.train, self.test, self.validation or 0.0):
            if part > 1 and not part.is_integer():
                raise PydanticCustomError("split", "{part} is no number of rows; a share is at most 1", {"part": part})
        return self

    @property
    def field(self) -> str | None:
        """The field of the source's rows that the cut looks at."""
        return self.stratify_by or self.group_by


class FieldMap(Settings):
    """Which field of a row is which; what is not named is recognised by the data set's shape."""

    instruction: str | None = Field(None, description="Field with the task.")
    input: str | None = Field(
        None, description="Field with the material that the task is about; may be missing in a row."
    )
    output: str | None = Field(
        None, description="Field with the reference answer, or a list of them: the first is trained on."
    )
    references: str | None = Field(
        None, description="Field with further reference answers, a text or a list; may be missing in a row."
    )
    system: str | None = Field(None, description="Field with a system message; may be missing in a row.")
    messages: str | None = Field(
        None, description="Field with a list of messages (role and content, or from and value)."
    )

    @model_validator(mode="after")
    def _whole(self) -> FieldMap:
        if self.messages is not None and (self.instruction or self.input or self.output):
            raise PydanticCustomError("fields", "`messages` holds the whole conversation: name it alone")
        return self


AuditAction = Literal["report", "drop", "fail"]


class AuditSettings(Settings):
    """What is done about each finding of the data audit: report it, drop the entries, or fail before any training."""

    repeats: AuditAction = Field("report", description="An entry whose prompt stands earlier in its part.")
    near_repeats: AuditAction = Field("report", description="The same, but for a few characters.")
    leaks: AuditAction = Field(
        "report", description="A test or validation prompt that stands in train; drops from train."
    )
    near_leaks: AuditAction = Field("report", description="The same, but for a few characters; drops from train.")
    echoes: AuditAction = Field("report", description="An output that only repeats its instruction or input.")
    identical_outputs: AuditAction = Field(
        "report",
        description="An output that at least 1 % of the entries share (and 3 of them); drops all but the first.",
    )
    length_outliers: AuditAction = Field(
        "report",
        description="A prompt or output over 4 times longer or shorter than the median, and 5 robust standard "
        "deviations of the log-length off it.",
    )
    languages: AuditAction = Field("report", description="An entry clearly in another language than most.")
    truncated: AuditAction = Field(
        "report",
        description="A training or validation entry of more tokens than training takes in any of the models and prompt "
        "styles; drops it for all variants, `train: {truncate: drop}` for those that it is too long for.",
    )
    no_room: AuditAction = Field(
        "fail",
        description="A test entry whose prompt leaves no room for the longest response in the context of a model that "
        "is to answer it; under `report` that model has no result.",
    )
    similarity: float = Field(
        0.95, gt=0.5, le=1, description="Cosine of character 5-gram counts from which two prompts are near-duplicates."
    )

    def actions(self) -> dict[AuditKind, AuditAction]:
        """What to do, by kind of finding."""
        return {kind: getattr(self, kind) for kind in AUDIT_KINDS}

    @property
    def demanding(self) -> bool:
        """Whether the matrix itself asks for more than a report."""
        return any(action != "report" for kind, action in self.actions().items() if kind in self.model_fields_set)


AuditKind = Literal[
    "repeats",
    "near_repeats",
    "leaks",
    "near_leaks",
    "echoes",
    "identical_outputs",
    "length_outliers",
    "languages",
    "truncated",
    "no_room",
]
AUDIT_KINDS: tuple[AuditKind, ...] = get_args(AuditKind)
