"""Variants of the matrix and their cells."""

from __future__ import annotations

from typing import Literal

from harness.records.base import Record

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
