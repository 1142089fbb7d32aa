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


class Condition(Record):
    """What cell and variant have in common. For `method: none`, all that speaks of training means nothing and is None.

    `prompt_loss_weight`: of the tokens that the masking leaves out; 0 where it leaves none out.
    """

    model: str
    prompt_style: str
    method: Method
    masking: Masking | None
    prompt_loss_weight: float = 0.0
    eos_in_loss: bool | None = None
    train_on: TrainOn | None = None
    truncate: Truncate | None = None
    lr: float | None = None
    rank: int | None = None
    """The last five are None, too, where the matrix does not vary them: then its training settings hold. `rank` is that
    of adapters: None for a full training.
    """


class Variant(Condition):
    """One trained (or untuned) model of the matrix. An untuned one has neither seed nor fold.

    `fold`: its test set, and what its training does not see; None without cross-validation.
    """

    seed: int | None
    fold: int | None = None

    @property
    def origin(self) -> Origin:
        """Who answers."""
        return self.prompt_style if self.prompt_style in ("served", "imported") else "local"  # type: ignore[return-value]

    @property
    def cell(self) -> Cell:
        """The variant without seed and fold; seeds are replicates of a cell, and folds are parts of one."""
        return Cell(**self.model_dump(exclude={"seed", "fold"}))

    @property
    def name(self) -> str:
        """Unique within a matrix, fit for a file name: the cell's name, the seed and the fold (`…#1.fold2`)."""
        if self.seed is None:
            return self.cell.name
        return f"{self.cell.name}#{self.seed}" + (f".fold{self.fold}" if self.fold else "")


class Cell(Condition):
    """A condition of the experiment: everything about a variant but its seed and fold."""

    @property
    def name(self) -> str:
        """e.g. `smollm2-135m/alpaca/lora/mask-prompt`, `…/mask-prompt-w0.1-no-eos`; `smollm2-135m/alpaca/untuned`."""
        head = f"{self.model}/{self.prompt_style}"
        if self.prompt_style in ("served", "imported"):
            return head
        if self.method == "none":
            return f"{head}/untuned"
        weight = f"-w{written(self.prompt_loss_weight)}" if self.prompt_loss_weight else ""
        varied = {
            "-eos" if self.eos_in_loss else "-no-eos": self.eos_in_loss,
            "-last-turn" if self.train_on == "last_turn" else "-all-turns": self.train_on,
            f"-truncate-{self.truncate}": self.truncate,
            f"-lr{self.lr and written(self.lr)}": self.lr,
            f"-r{self.rank}": self.rank,
        }
        more = "".join(text for text, value in varied.items() if value is not None)
        return f"{head}/{self.method}/mask-{self.masking}{weight}{more}"

    def level(self, axis: str) -> str | None:
        """The cell's value on an axis; None where the axis means nothing for it (masking of an untuned model)."""
        if axis in ("prompt_loss_weight", "train_on") and self.masking in (None, "none"):
            return None
        value: str | float | bool | None = getattr(self, axis)
        if isinstance(value, bool):
            return str(value).lower()
        return written(value) if isinstance(value, int | float) else value

    def rest(self, axes: Collection[str]) -> tuple[object, ...]:
        """The cell's values on all axes but these: equal for cells that differ in nothing else."""
        return tuple(getattr(self, field) for field in type(self).model_fields if field not in axes)


def written(number: float) -> str:
    """The shortest text that means this number and no other: `0`, `0.1`, `1`, `2e-05`."""
    return str(float(number)).removesuffix(".0")
