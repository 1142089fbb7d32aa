"""How likely a variant finds the reference answers, in bits and bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.metrics.base import ItemScore, NoScore, Outcome
from harness.prompts import PromptStyle, render
from harness.records.data import Example
from harness.records.inputs import GenerateInput
from trainers.checkpoints import load_variant
from trainers.masking import MaskPolicy, encode
from trainers.models import LoadedModel
from trainers.packing import padding_free, weighted_loss
from trainers.precision import autocast, device, resolve

ANSWER_ALONE = MaskPolicy("prompt", eos_in_loss=False, train_on="last_turn")


def reference_bits(
    input: GenerateInput,
    weights_folder: Path | None,
    base_folder: Path,
    examples: Sequence[Example],
    style: PromptStyle,
    *,
    trust_remote_code: bool = False,
) -> list[Outcome]:
    """(bits a byte, (bits, bytes)) of each example's reference; NoScore for one that the context does not hold.

    `weights_folder` None is the untuned base. One item at a time: no figure depends on its company.
    """
    model = load_variant(weights_folder, base_folder, dtype=torch.float32, trust_remote_code=trust_remote_code)
    model.model.to(device())
    with (
        torch.no_grad(),
        autocast(resolve(input.settings.precision), model.model.device),
        padding_free(model.model),
    ):
        return [item_bits(model, example, style) for example in examples]


def item_bits(model: LoadedModel, example: Example, style: PromptStyle) -> Outcome:
    """One example; inside `padding_free(model.model)`."""
    segments = render(style, example, model.tokenizer)
    row = encode(model.tokenizer, segments, ANSWER_ALONE, where=f"example {example.id}")
    if len(row.ids) > model.context_length:
        return NoScore(f"prompt and reference are longer than the model's context of {model.context_length} tokens")
    bits = float(weighted_loss(model.model, [row])) / math.log(2)
    size = len(example.output.encode())  # whatever a style puts around it, so that styles compare
    return ItemScore(bits / size, (bits, float(size)))
