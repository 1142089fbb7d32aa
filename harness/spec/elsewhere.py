"""Variants that are answered elsewhere: `include: [{served: …}, {imported: …}]`."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Settings
from harness.records.settings import AskLimits, Price
from harness.records.variant import Variant
from harness.spec.axes import AXES, Assignment
from harness.spec.names import Option


class ServedSpec(Settings):
    """A model behind an endpoint; it gets instruction and input as one message, in its own chat template."""

    backend: str = Field(description="ollama, openai (any server that speaks its protocol), or module:Class.")
    model: str = Field(min_length=1, description="The model's name there.")
    name: str | None = Field(None, min_length=1, description="How reports call it; default: the model's name.")
    system: str = Field("", description="System message; empty: none.")
    options: dict[str, Option] = Field(
        default_factory=dict, description="Backend options, e.g. base_url, host, num_ctx."
    )
    limits: AskLimits = Field(default_factory=AskLimits, description="How hard the endpoint may be asked.")
    price: Price | None = Field(None, description="Your price, in US dollars a million tokens; default: the list's.")

    @property
    def variant(self) -> Variant:
        """Its place in the matrix."""
        return Variant(model=self.name or self.model, prompt_style="served", method="none", masking=None, seed=None)


class ImportedSpec(Settings):
    """A file of responses made elsewhere; they are matched to the test items by their prompts, not by order."""

    file: str = Field(
        min_length=1,
        description="JSON or JSONL with a response beside each prompt, AlpacaEval outputs, lm-evaluation-harness"
        " samples_*.jsonl, or an Inspect log (.json, .eval).",
    )
    field: str | None = Field(None, description="Field with the response; default: recognised by the file's shape.")
    name: str | None = Field(None, min_length=1, description="How reports call it; default: the file's name.")
    missing: Literal["fail", "leave out"] = Field(
        "fail", description="fail: a test item without a response stops the run; leave out: it is compared by none."
    )

    @property
    def variant(self) -> Variant:
        """Its place in the matrix."""
        name = self.name or PurePath(self.file).stem
        return Variant(model=name, prompt_style="imported", method="none", masking=None, seed=None)


class Inclusion(Assignment):
    """Variants beyond the product: values for axes, or someone else who answers."""

    served: ServedSpec | None = Field(None, description="A model behind an endpoint.")
    imported: ImportedSpec | None = Field(None, description="A file of responses made elsewhere.")

    @model_validator(mode="after")
    def _one_kind(self) -> Inclusion:
        kinds = [
            self.served is not None,
            self.imported is not None,
            any(getattr(self, axis) is not None for axis in AXES),
        ]
        if sum(kinds) > 1:
            raise PydanticCustomError("include", "give axes, `served` or `imported`: each is a variant of its own")
        return self

    @property
    def variant(self) -> Variant | None:
        """The one variant that is answered elsewhere; None for values of axes."""
        answered = self.served or self.imported
        return None if answered is None else answered.variant
