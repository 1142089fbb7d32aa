"""What a matrix's names mean, here and now: each by its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.data.dataset import Dataset
from harness.metrics.base import Metric, Recipe
from harness.prompts import PromptStyle
from harness.records.inputs import (
    BaseInput,
)
from harness.records.settings import Price
from harness.spec.elsewhere import ImportedSpec, ServedSpec
from harness.spec.judges import JudgeSpec


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A base model by content. `name` finds its weights on this machine; `parameters` is rough, for estimates only.

    `licence`: where the program knows it (packaged models).
    """

    name: str
    input: BaseInput
    parameters: float
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedJudge:
    """A judge by content: model identity, what it is asked, how its replies are read.

    `options`: those that decide replies. `prompt_tokens`, `reply_tokens`: of one question, roughly; `price` of a
    million of them, None where it is not known.
    """

    spec: JudgeSpec
    model: str
    """What the backend is given: the path of weights beside the matrix, else its name."""
    rubric: str
    """Built-in name, or path of the rubric's file."""
    model_identity: str
    prompt_sha256: str
    parser_sha256: str
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    pairwise: bool = False
    scale: tuple[int, int] = (0, 1)
    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class ResolvedMetric:
    """A metric with its settings, and what makes it anew in another process."""

    metric: Metric
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class ResolvedServed:
    """A model behind an endpoint. `options`: those that decide responses; `price`: None where it is not known."""

    spec: ServedSpec
    model_identity: str
    options: dict[str, str | int | float | bool]
    price: Price | None


@dataclass(frozen=True, slots=True)
class ResolvedImport:
    """A file of responses made elsewhere, by content.

    `gaps`: test items that it does not answer; `samples`: how often it answers each of the others at least.
    """

    spec: ImportedSpec
    path: Path
    sha256: str
    gaps: int = 0
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that a matrix's names mean, here and now."""

    data: Dataset
    language: str | None
    """Of all reference answers, where the matrix gives it; None: each has its own."""
    models: dict[str, ResolvedModel]
    styles: dict[str, PromptStyle]
    metrics: dict[str, ResolvedMetric]
    """By the name of their column."""
    judges: tuple[ResolvedJudge, ...]
    served: dict[str, ResolvedServed] = field(default_factory=dict)
    """By the name of their variant's model, as the imports."""
    imported: dict[str, ResolvedImport] = field(default_factory=dict)
