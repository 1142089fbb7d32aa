"""Examples of a split -> the rows that a training sees: rendered, encoded, cut to fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DataError
from harness.prompts import PromptStyle, render
from harness.records.data import SplitExample
from harness.records.inputs import TrainInput
from harness.records.variant import Truncate
from trainers.masking import EncodedRow, MaskPolicy, Truncation, encode, fitted
from trainers.models import LoadedModel


@dataclass(frozen=True, slots=True)
class NamedRow:
    """An encoded row and the id of its example."""

    example_id: str
    row: EncodedRow


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What a training sees, and what it is validated on after each epoch (may be empty)."""

    train: tuple[NamedRow, ...]
    validation: tuple[NamedRow, ...] = ()
    truncation: Truncation = Truncation()


def mask_policy(input: TrainInput) -> MaskPolicy:
    """Which tokens carry loss in this training."""
    settings = input.settings
    return MaskPolicy(input.masking, input.prompt_loss_weight, settings.eos_in_loss, settings.train_on)


def encode_examples(  # noqa: PLR0913 - all that decides a row
    base: LoadedModel,
    examples: Sequence[SplitExample],
    style: PromptStyle,
    policy: MaskPolicy,
    max_length: int | None,
    truncate: Truncate = "error",
) -> TrainingRows:
    """Encode the train and validation parts; `max_length` None means the model's context.

    Raises DataError, with the row, for one that does not fit and may not be cut, or that carries no loss.
    """
    longest = min(max_length or base.context_length, base.context_length)
    parts: dict[str, list[NamedRow]] = {"train": [], "validation": []}
    counts: Counter[str] = Counter()
    for split_example in examples:
        if split_example.split == "test":
            continue
        example = split_example.example
        where = f"example {example.id} (row {split_example.index + 1} of the data)"
        whole = encode(base.tokenizer, render(style, example, base.tokenizer), policy, where=where)
        row = fitted(whole, longest, truncate, where=where)
        if row is None:
            counts["dropped"] += 1
            continue
        counts["truncated"] += row is not whole
        counts["responses_cut"] += row is not whole and truncate == "right"
        parts[split_example.split].append(NamedRow(example.id, row))
    if not parts["train"]:
        too_long = f"{counts['dropped']} rows were longer than {longest} tokens; raise train.max_length"
        raise DataError("no row is left to train on", hint=too_long if counts["dropped"] else "raise split.train")
    return TrainingRows(tuple(parts["train"]), tuple(parts["validation"]), Truncation(**counts))
