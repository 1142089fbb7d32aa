"""Variants of the matrix and their cells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from harness.records.base import Record

Masking = Literal["none", "instruction", "prompt"]
Method = Literal["none", "full", "lora", "qlora"]
TrainedMethod = Literal["full", "lora", "qlora"]
TrainOn = Literal["all_assistant_turns", "last_turn"]
Truncate = Literal["error", "left", "right", "drop"]
Origin = Literal["local", "served", "imported"]
"""Who answers: a checkpoint here, a model behind an endpoint, or a file of responses made elsewhere.

The latter two stand as untuned variants; in the place of their prompt style stands where they come from.
"""


class Variant(Record):
    """One trained (or untuned) model of the matrix. For `method: none`, masking and seed mean nothing and are None.

    `prompt_loss_weight`: of the tokens that the masking leaves out; 0 where it leaves none out.
    """

    model: str
    prompt_style: str
    method: Method
    masking: Masking | None
    prompt_loss_weight: float = 0.0
    seed: int | None

    @property
    def origin(self) -> Origin:
        """Who answers."""
        return self.prompt_style if self.prompt_style in ("served", "imported") else "local"  # type: ignore[return-value]

    @property
    def cell(self) -> Cell:
        """The variant without its seed; seeds are replicates of a cell, never conditions."""
        return Cell(**self.model_dump(exclude={"seed"}))

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
    prompt_loss_weight: float = 0.0

    @property
    def name(self) -> str:
        """e.g. `smollm2-135m/alpaca/lora/mask-prompt`, `…/mask-prompt-w0.1`; `smollm2-135m/alpaca/untuned`."""
        head = f"{self.model}/{self.prompt_style}"
        if self.prompt_style in ("served", "imported"):
            return head
        if self.method == "none":
            return f"{head}/untuned"
        weight = f"-w{written(self.prompt_loss_weight)}" if self.prompt_loss_weight else ""
        return f"{head}/{self.method}/mask-{self.masking}{weight}"

    def level(self, axis: str) -> str | None:
        """The cell's value on an axis; None where the axis means nothing for it (masking of an untuned model)."""
        if axis == "prompt_loss_weight":
            return None if self.masking in (None, "none") else written(self.prompt_loss_weight)
        value: str | None = getattr(self, axis)
        return value

    def rest(self, axes: Collection[str]) -> tuple[object, ...]:
        """The cell's values on all axes but these: equal for cells that differ in nothing else."""
        return tuple(getattr(self, field) for field in type(self).model_fields if field not in axes)


def written(weight: float) -> str:
    """The shortest text that means this number and no other: `0`, `0.1`, `1`."""
    return str(float(weight)).removesuffix(".0")
