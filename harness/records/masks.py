"""What carried loss: the first rows of a training, token by token."""

from __future__ import annotations

from harness.records.base import Record
from harness.records.variant import Masking, TrainOn, written

MASKS_FILE = "masks.json"
"""Holds a training's MaskPreview, beside its weights."""


class MaskedToken(Record):
    """A token, or several that only together make whole characters. `weight`: factor of its loss, 0 for none."""

    text: str
    ids: tuple[int, ...]
    weight: float


class MaskedRow(Record):
    """One training row. `tokens` holds all of it, in order."""

    example_id: str
    tokens: tuple[MaskedToken, ...]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return sum(len(token.ids) for token in self.tokens)

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return sum(len(token.ids) for token in self.tokens if token.weight > 0)


class MaskPreview(Record):
    """Which tokens of a training carry loss. The numbers of tokens count one pass over `examples` rows."""

    prompt_style: str
    masking: Masking
    prompt_loss_weight: float
    eos_in_loss: bool
    train_on: TrainOn
    examples: int
    tokens: int
    loss_tokens: int
    partial_tokens: int
    """Of the loss-bearing ones, those whose loss has a weight below 1."""
    rows: tuple[MaskedRow, ...]
    """The first few of the rows."""

    @property
    def policy(self) -> str:
        """e.g. `prompt`, `prompt, the rest at weight 0.1`, `instruction, last turn only, without end token`."""
        parts: list[str] = [self.masking]
        if self.prompt_loss_weight:
            parts.append(f"the rest at weight {written(self.prompt_loss_weight)}")
        if self.train_on == "last_turn":
            parts.append("last turn only")
        if not self.eos_in_loss:
            parts.append("end token masked")
        return ", ".join(parts)
