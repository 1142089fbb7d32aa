"""The axes of a matrix."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from harness.prompts import STYLES
from harness.records.base import Settings
from harness.records.variant import Masking, Method, TrainOn, Truncate
from harness.spec.names import Fold, Rank, Rate, Seed, Style, Weight, listed, listed_flags


class Axes(Settings):
    """The axes of the matrix; every combination becomes a variant. An untrained model ignores what training decides."""

    model: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        min_length=1, description="Base models: smollm2-135m, gemma3-270m, a Hub id (org/name), or a local folder."
    )
    prompt_style: Annotated[tuple[Style, ...], BeforeValidator(listed)] = Field(
        ("alpaca",),
        min_length=1,
        description="How an instruction is put to the model: " + ", ".join(STYLES) + ", or the path of a style file.",
    )
    masking: Annotated[tuple[Masking, ...], BeforeValidator(listed)] = Field(
        ("prompt",),
        min_length=1,
        description="Where the loss starts. none: every token; instruction: from the response header on; "
        "prompt: from the first response token on.",
    )
    prompt_loss_weight: Annotated[tuple[Weight, ...], BeforeValidator(listed)] = Field(
        (0.0,),
        min_length=1,
        description="Weight of the loss on the tokens that the masking leaves out, 0 to 1. With masking `prompt`, 0 is"
        " `prompt` itself and 1 is `none`.",
    )
    method: Annotated[tuple[Method, ...], BeforeValidator(listed)] = Field(
        ("none", "full"),
        min_length=1,
        description="none: the untuned base; full: all weights; lora: adapters;"
        " qlora: adapters over a base in 4 bits (needs bitsandbytes).",
    )
    eos_in_loss: Annotated[tuple[bool, ...], BeforeValidator(listed_flags)] = Field(
        (), min_length=1, description="Whether ending an answer is learnt; default: train.eos_in_loss for all."
    )
    train_on: Annotated[tuple[TrainOn, ...], BeforeValidator(listed)] = Field(
        (), min_length=1, description="Which answers of a conversation carry loss; default: train.train_on for all."
    )
    truncate: Annotated[tuple[Truncate, ...], BeforeValidator(listed)] = Field(
        (), min_length=1, description="What happens to rows that are too long; default: train.truncate for all."
    )
    lr: Annotated[tuple[Rate, ...], BeforeValidator(listed)] = Field(
        (), min_length=1, description="Peak learning rate, of adapters too; default: train.lr (and train.lora.lr)."
    )
    rank: Annotated[tuple[Rank, ...], BeforeValidator(listed)] = Field(
        (),
        min_length=1,
        description="Rank of lora and qlora variants; default: train.lora.rank. The update is still multiplied by"
        " train.lora.alpha / rank.",
    )
    seed: Annotated[tuple[Seed, ...], BeforeValidator(listed)] = Field(
        (1,), min_length=1, description="Training seeds: replicates of a cell. Two or more let you speak of the recipe."
    )
    fold: Annotated[tuple[Fold, ...], BeforeValidator(listed)] = Field(
        (), min_length=1, description="With split.folds: which folds are test sets, from 1; default: all of them."
    )

    @field_validator("*")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        repeated = sorted({str(v) for v in values if values.count(v) > 1})
        if repeated:
            raise PydanticCustomError("repeated", "listed twice: {values}", {"values": ", ".join(repeated)})
        return values


TRAIN_AXES = ("eos_in_loss", "train_on", "truncate", "lr", "rank")
"""Axes that are training settings where a matrix does not vary them."""
AXES = tuple(name for name in Axes.model_fields if name != "fold")
"""What a combination assigns; a fold is a part of one."""


class Assignment(Settings):
    """Values for some of the axes."""

    model: str | None = Field(None, description="A model of axes.model, or another one (include).")
    prompt_style: Style | None = Field(None, description="A prompt style.")
    masking: Masking | None = Field(None, description="A masking policy.")
    prompt_loss_weight: Weight | None = Field(None, description="A weight of the tokens that the masking leaves out.")
    method: Method | None = Field(None, description="A training method.")
    eos_in_loss: bool | None = Field(None, description="Whether ending an answer is learnt.")
    train_on: TrainOn | None = Field(None, description="Which answers of a conversation carry loss.")
    truncate: Truncate | None = Field(None, description="What happens to rows that are too long.")
    lr: Rate | None = Field(None, description="A peak learning rate.")
    rank: Rank | None = Field(None, description="A rank of adapters.")
    seed: Seed | None = Field(None, description="A training seed.")
