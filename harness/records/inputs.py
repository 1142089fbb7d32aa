"""What each stage reads, resolved: the digest of an input names the output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.records.base import Record
from harness.records.data import SplitName
from harness.records.settings import (
    AuditKind,
    AuditSettings,
    FieldMap,
    GenerateSettings,
    NewTokens,
    SplitSettings,
    TrainSettings,
)
from harness.records.variant import Masking, TrainedMethod

Design = Literal["all", "swiss", "uncertain"]
"""Which pairs a contest judges: all; of like strength, round by round; or those that the most is to be learned from."""

DataFormat = Literal["json", "jsonl", "csv", "tsv", "parquet", "arrow", "hub"]


def _unset(value: object) -> bool:
    """A field younger than its record is written only where it is set: what was made without it keeps its digest."""
    return value is None


class SourceInput(Record):
    """Content of one file, folder or Hub data set. `part`: the part that it is, where the user gave a source a part."""

    part: SplitName | None = None
    format: DataFormat
    identity: str
    """sha256 of the file's bytes, or over a folder's Arrow files; `org/name@commit/subset/part` on the Hub."""


class RowLimits(Record):
    """What a row's tokens are counted with: digests of base models, prompt styles, and `train.max_length`."""

    bases: tuple[str, ...]
    styles_sha256: tuple[str, ...]
    max_length: int | None


class Answering(Record):
    """What test prompts have to leave room for: who answers them (base and prompt style), and in how many tokens."""

    by: tuple[tuple[str, str], ...]
    """Digests: of the base model, of the style's bytes."""
    new_tokens: NewTokens


class Dropping(Record):
    """Which findings of the audit lose their entries, and from which similarity prompts count as near-duplicates.

    `limits`: beyond which a row is too long; None where rows are not dropped for their length. `answering`: the same of
    test prompts without room for the answer.
    """

    kinds: tuple[AuditKind, ...]
    similarity: float | None
    limits: RowLimits | None = Field(None, exclude_if=_unset)
    answering: Answering | None = Field(None, exclude_if=_unset)


class DataInput(Record):
    """Resolved input of the data stage: which bytes, read how, cut how, and what was dropped.

    `bad_rows`: how many broken rows `on_bad_rows: drop` left out. `split` is None where the sources are the parts.
    `folds`: those that are test sets, where not all are. `version` 2: leaks from folds that are always trained on are
    dropped too, numbers among a row's fields are kept as text, and fractions that sum to 1 leave no row over; 3: what
    is dropped from conversations goes by their questions, fractions are rounded in decimals, and what two that sum to 1
    leave over is train's; 4: `system` and `history` beside an exchange are read, and the weights of answers. A split
    that none of this changes keeps its version.
    """

    stage: Literal["data"] = "data"
    version: int = 1
    sources: tuple[SourceInput, ...]
    fields: FieldMap = FieldMap()
    bad_rows: int = 0
    split: SplitSettings | None
    folds: tuple[int, ...] = ()
    dropping: Dropping | None = None


class AuditInput(RowLimits):
    """The audit of a sealed split."""

    stage: Literal["audit"] = "audit"
    version: int = 2
    data: str
    settings: AuditSettings
    answering: Answering | None = None


class BaseInput(Record):
    """Resolved identity of a base model."""

    stage: Literal["base"] = "base"
    version: int = 1
    kind: Literal["gguf", "folder", "hub"]
    identity: str
    """sha256 of the GGUF file or of the folder's files; `org/name@commit` for a Hub model."""
    trust_remote_code: bool = False


class TokensInput(Record):
    """The training rows of a split in one tokenizer and prompt style, before any masking: all variants share them.

    `version` 2: no text of an answer merges with what stands before it.
    """

    stage: Literal["tokens"] = "tokens"
    version: int = 2
    base: str
    data: str
    style_sha256: str


class TrainInput(Record):
    """Everything that decides the weights of a variant. `fold`: the one that it does not see.

    `version` 2: `truncate: left` cuts a conversation whose earlier answers carry loss where an exchange begins.
    """

    stage: Literal["train"] = "train"
    version: int = 1
    base: str
    data: str
    style_sha256: str
    masking: Masking
    prompt_loss_weight: float = 0.0
    method: TrainedMethod
    settings: TrainSettings
    seed: int
    fold: int | None = None


class GenerateInput(Record):
    """Everything that decides the responses of a variant. `weights`: digest of a train object, or of a base object.

    `fold`: the one that it answers; None: the whole test part.
    """

    stage: Literal["generate"] = "generate"
    source: Literal["local"] = "local"
    version: int = 5
    weights: str
    base: str
    data: str
    style_sha256: str
    settings: GenerateSettings
    fold: int | None = None


class ServedInput(Record):
    """Everything that can be known of what decides a served model's responses. `system`: what it is told beforehand."""

    stage: Literal["generate"] = "generate"
    source: Literal["served"] = "served"
    version: int = 2
    data: str
    backend: str
    model_identity: str
    options: dict[str, str | int | float | bool] = {}
    system: str
    max_new_tokens: NewTokens
    temperature: float
    samples: int
    seed: int


class ImportedInput(Record):
    """Responses made elsewhere. `missing`: what is done about test items that the file has no response to."""

    stage: Literal["generate"] = "generate"
    source: Literal["imported"] = "imported"
    version: int = 3
    data: str
    file_sha256: str
    field: str | None
    missing: Literal["fail", "leave out"]


class ProbeInput(Record):
    """Answers of known worth, made from the test set itself, in the form of generations (see judges.probes)."""

    stage: Literal["probe"] = "probe"
    version: int = 2
    data: str
    items: int | None


class ScoreInput(Record):
    """One metric over one variant's responses. `signature` carries the metric's settings and version.

    `language`: of all references, where the matrix gives it; None: each item's own.
    """

    stage: Literal["score"] = "score"
    version: int = 1
    generations: str
    data: str
    metric: str
    signature: str
    language: str | None = None


class StopRule(Record):
    """When a judge has heard enough about a variant (see harness.stats.betting).

    `judged`: digest of the judgments of the baseline's answers; `alpha`: of one pair; `margin`: points of the rubric's
    scale within which two variants are equivalent, None for no such claim.
    """

    judged: str
    alpha: float
    margin: float | None = None


class AskInput(Record):
    """Everything that decides a judge's replies.

    `against`: what a pairwise rubric compares with: digest of a generate object, or `reference`. `stop`: ask about
    items in random order and only until it is decided; None: about all of them.
    """

    stage: Literal["ask"] = "ask"
    version: int = 2
    generations: str
    data: str
    backend: str
    model_identity: str
    prompt_sha256: str
    options: dict[str, str | int | float | bool] = {}
    items: int | None = None
    repeats: int = 1
    against: str | None = None
    stop: StopRule | None = Field(None, exclude_if=_unset)


class ContestInput(Record):
    """Everything that decides a pairwise judge's replies about many pairs of cells, and which pairs it is asked about.

    `contestants`: each cell's generate objects, in an order that hangs on content only; `games`: how many (pair, item)
    are judged, each in both orders. The parser is part of it: which pairs come next hangs on how replies were read.
    """

    stage: Literal["contest"] = "contest"
    version: int = 1
    contestants: tuple[tuple[str, ...], ...]
    data: str
    backend: str
    model_identity: str
    prompt_sha256: str
    parser_sha256: str
    options: dict[str, str | int | float | bool] = {}
    items: int | None = None
    design: Design
    games: int


class JudgeInput(Record):
    """Replies and the parser that reads them: a new parser reads old replies for free."""

    stage: Literal["judge"] = "judge"
    version: int = 1
    replies: str
    parser_sha256: str
    expected_score: bool = False


AnyGenerateInput = Annotated[GenerateInput | ServedInput | ImportedInput, Field(discriminator="source")]
StageInput = Annotated[
    DataInput
    | AuditInput
    | BaseInput
    | TokensInput
    | TrainInput
    | AnyGenerateInput
    | ProbeInput
    | ScoreInput
    | AskInput
    | ContestInput
    | JudgeInput,
    Field(discriminator="stage"),
]
StageName = Literal["data", "audit", "base", "tokens", "train", "generate", "probe", "score", "ask", "contest", "judge"]


def tokens_of(train: TrainInput) -> TokensInput:
    """The tokenised split that a training reads."""
    return TokensInput(base=train.base, data=train.data, style_sha256=train.style_sha256)


class StageKey(Record):
    """Address of one object in the store."""

    stage: StageName
    digest: str
