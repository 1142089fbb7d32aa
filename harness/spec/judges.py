"""`judges:` and `panels:` of a matrix."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Settings
from harness.records.settings import (
    AskLimits,
    Price,
)
from harness.spec.names import Option

SERVED = ("anthropic", "litellm", "openai", "ollama")
"""Backends whose servers have no model that would be everyone's."""


class JudgeSpec(Settings):
    """One judge: a backend, a model and a rubric."""

    backend: str = Field(
        description="llamacpp (a GGUF model, embedded), transformers (a local model, by likelihood), ollama, openai "
        "(any server that speaks its protocol), anthropic, litellm, scripted (no model: for tests and demos), or "
        "module:Class."
    )
    name: str | None = Field(None, description="Column name; default: the backend's. It decides no result.")
    model: str = Field(
        "smollm2-135m",
        description="llamacpp: smollm2-135m, gemma3-270m, or the path of a .gguf file; transformers: as in axes.model; "
        "the others: its name there.",
    )
    rubric: str = Field(
        "correctness-5",
        description="A built-in rubric (book-100, correctness-100, correctness-10, correctness-5, helpfulness-5, "
        "grades-3, checklist, pairwise, instruction-following, content-quality) or a YAML file.",
    )
    items: int | None = Field(None, ge=2, description="Judge only this many test items, the same for every variant.")
    pairs: Literal["opponent", "all", "swiss", "uncertain"] = Field(
        "opponent",
        description="Pairwise rubrics: compare each variant with the opponent only, or rank the cells by more pairs: "
        "all of them, those of like strength (swiss), or those of most uncertain outcome.",
    )
    games: int | None = Field(
        None, ge=1, description="pairs swiss, uncertain: how many (pair, item) are judged; default: 2 a cell and item."
    )
    repeats: int = Field(1, ge=1, description="Ask each question this often.")
    options: dict[str, Option] = Field(
        default_factory=dict, description="Backend options, e.g. temperature, seed, base_url, host, num_ctx."
    )
    expected_score: bool = Field(
        False, description="Score by the mean over the verdict's log-probabilities, where the backend gives them."
    )
    limits: AskLimits = Field(default_factory=AskLimits, description="How hard the endpoint may be asked.")
    price: Price | None = Field(None, description="Your price, in US dollars a million tokens; default: the list's.")

    @model_validator(mode="after")
    def _served_model_is_named(self) -> JudgeSpec:
        if self.backend in SERVED and "model" not in self.model_fields_set:
            raise PydanticCustomError("no_model", "backend {backend} needs a `model`", {"backend": self.backend})
        return self

    @model_validator(mode="after")
    def _games_are_sampled(self) -> JudgeSpec:
        if self.games is not None and self.pairs not in ("swiss", "uncertain"):
            raise PydanticCustomError("games", "`games` needs `pairs: swiss` or `pairs: uncertain`")
        return self

    @property
    def column(self) -> str:
        """The judge's name on the leaderboard."""
        return self.name or self.backend


class PanelSpec(Settings):
    """Several judges as one measure: each item's score is made of theirs. They must share a scale."""

    name: str = Field(description="Column name.")
    judges: tuple[str, ...] = Field(min_length=2, description="Column names of the judges.")
    combine: Literal["mean", "majority"] = Field(
        "mean", description="mean of the scores; majority: the commonest one, the median where there is none."
    )
