"""What each stage reads, resolved: the digest of an input names the output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.records.base import Record
from harness.records.settings import GenerateSettings, SplitSettings, TrainSettings
from harness.records.variant import Masking


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
    """Answers of known worth, made from the test set itself, in the form of generations (see judges.probes)."""

    stage: Literal["probe"] = "probe"
    version: int = 2
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
    """Everything that decides a judge's replies.

    `against`: what a pairwise rubric compares with: digest of a generate object, or `reference`.
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


class JudgeInput(Record):
    """Replies and the parser that reads them: a new parser reads old replies for free."""

    stage: Literal["judge"] = "judge"
    version: int = 1
    replies: str
    parser_sha256: str
    expected_score: bool = False


StageInput = Annotated[
    DataInput | BaseInput | TrainInput | GenerateInput | ProbeInput | ScoreInput | AskInput | JudgeInput,
    Field(discriminator="stage"),
]
StageName = Literal["data", "base", "train", "generate", "probe", "score", "ask", "judge"]


class StageKey(Record):
    """Address of one object in the store."""

    stage: StageName
    digest: str
