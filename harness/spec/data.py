"""`data:` of a matrix."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.records.base import Settings
from harness.records.data import SplitName
from harness.records.inputs import DataFormat
from harness.records.settings import (
    FieldMap,
)

FORMATS: dict[str, DataFormat] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
"""Endings of data files."""


class GivenParts(Settings):
    """Parts that are there already: a file each, or where `data.path` holds several parts, the name of one."""

    train: str = Field(description="File or part to train on.")
    test: str = Field(description="File or part to answer and to score.")
    validation: str | None = Field(None, description="File or part for the validation loss.")

    def given(self) -> dict[SplitName, str]:
        """The parts that there are."""
        parts: dict[SplitName, str | None] = {
            "train": self.train, "test": self.test, "validation": self.validation,
        }  # fmt: skip
        return {part: place for part, place in parts.items() if place is not None}


class DataSpec(Settings):
    """Where the entries come from and how they are read. `data: NAME` is short for `data: {path: NAME}`."""

    path: str | None = Field(
        None,
        min_length=1,
        description="starter-en, starter-zh, llms-from-scratch; a .json, .jsonl, .csv, .tsv or .parquet file; a folder "
        "written by datasets.save_to_disk; or a Hub data set (org/name).",
    )
    parts: GivenParts | None = Field(None, description="Take train and test as they are given, instead of cutting.")
    part: str | None = Field(None, description="Of a folder or Hub data set of several parts: the one to cut.")
    revision: str | None = Field(None, description="Commit of a Hub data set, 40 hexadecimal digits.")
    subset: str | None = Field(None, description="Subset (configuration) of a Hub data set.")
    fields: FieldMap = Field(default_factory=FieldMap, description="Which field is which, where the shape is unknown.")
    on_bad_rows: Literal["fail", "drop"] = Field(
        "fail", description="fail: a broken row stops the run; drop: it is left out, counted and named in the report."
    )

    @model_validator(mode="after")
    def _somewhere(self) -> DataSpec:
        if self.path is None and self.parts is None:
            raise PydanticCustomError("data", "give `path`, or `parts` with a file each")
        if self.part is not None and self.parts is not None:
            raise PydanticCustomError("data", "give `part` (cut one) or `parts` (take them as they are), not both")
        return self

    @property
    def name(self) -> str:
        """How reports call the data set."""
        if self.path is not None:
            return self.path
        return ", ".join(self.parts.given().values()) if self.parts else ""


def short_data(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value
