"""The rows that a training sees, masked and cut to fit: of a tokenised split as they are asked for, or of examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.prompts import PromptStyle, render
from harness.records.data import SplitExample
from harness.records.inputs import TrainInput
from harness.records.variant import Truncate
from trainers.masking import EncodedRow, MaskPolicy, Truncation, encode, fitted, masked
from trainers.models import LoadedModel
from trainers.token_shards import PARTS, StoredRow, TokenShards, row_name


@dataclass(frozen=True, slots=True)
class NamedRow:
    """An encoded row and the id of its example."""

    example_id: str
    row: EncodedRow


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What a training sees, and what it is validated on after each epoch (may be empty)."""

    train: Sequence[NamedRow]
    validation: Sequence[NamedRow] = ()
    truncation: Truncation = Truncation()

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each row of `train`."""
        if isinstance(self.train, ShardRows):
            return self.train.lengths
        return [len(named.row.ids) for named in self.train]


@dataclass(frozen=True, slots=True)
class ShardRows(Sequence[NamedRow]):
    """Rows of a tokenised split, each made when it is asked for. `places`: (rows, 2), shard and place in it."""

    shards: TokenShards
    places: npt.NDArray[np.int32]
    lengths: Sequence[int]
    policy: MaskPolicy
    longest: int
    truncate: Truncate

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> NamedRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[NamedRow]: ...
    def __getitem__(self, index: int | slice) -> NamedRow | list[NamedRow]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        shard, place = self.places[index].tolist()
        stored = self.shards.row(shard, place)
        row = _fitted(stored, self.policy, self.longest, self.truncate)
        assert row is not None  # noqa: S101 - rows that are dropped have no place here
        return NamedRow(stored.example_id, row)


def stored_rows(
    shards: TokenShards, fold: int | None, policy: MaskPolicy, longest: int, truncate: Truncate = "error"
) -> TrainingRows:
    """The train and validation parts of a tokenised split, as a training of this fold sees them.

    Every row is looked at once, in arrays. Raises DataError, with the row, for one that does not fit and may not be
    cut, or that carries no loss; and where no row is left to train on.
    """
    carries = np.array([weight > 0 for weight in policy.weights()])
    counts: Counter[str] = Counter()
    pieces: dict[str, list[npt.NDArray[np.int32]]] = {"train": [], "validation": []}
    for shard, table in enumerate(shards.tables):
        lengths = np.diff(table["end"], prepend=0)
        part = np.array(PARTS)[table["part"]]
        part[(part == "test") & (table["fold"] != (fold or 0))] = "train"
        learns = carries[shards.kinds[shard]]
        learns[table["end"] - lengths] = False  # the first token of a row
        fits = np.logical_or.reduceat(learns, table["end"] - lengths) & (lengths <= longest)
        for place in np.flatnonzero((part != "test") & ~fits).tolist():
            stored = shards.row(shard, place)
            whole = masked(stored.row, policy, where=stored.where)
            row = fitted(whole, longest, truncate, where=stored.where)
            counts += change(whole, row, truncate) if part[place] == "train" else Counter()
            if row is None:
                part[place] = "test"
            else:
                lengths[place] = len(row.ids)
        for name, found in pieces.items():
            places = np.flatnonzero(part == name)
            found.append(np.stack([np.full_like(places, shard), places, lengths[places]], axis=1).astype(np.int32))
    rows = {
        name: np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int32) for name, found in pieces.items()
    }
    if not len(rows["train"]):
        raise _nothing_left(counts["dropped"], longest)
    made = {
        name: ShardRows(shards, table[:, :2], table[:, 2].tolist(), policy, longest, truncate)
        for name, table in rows.items()
    }
    return TrainingRows(made["train"], made["validation"], Truncation(**counts))


def change(whole: EncodedRow, row: EncodedRow | None, truncate: Truncate) -> Counter[str]:
    """What fitting did to a row, as Truncation counts it."""
    if row is None:
        return Counter(dropped=1)
    cut = row is not whole
    lost = cut and (truncate == "right" or len(row.answered) < len(whole.answered))
    return Counter(truncated=int(cut), responses_cut=int(lost))


def _fitted(stored: StoredRow, policy: MaskPolicy, longest: int, truncate: Truncate) -> EncodedRow | None:
    return fitted(masked(stored.row, policy, where=stored.where), longest, truncate, where=stored.where)


def _nothing_left(dropped: int, longest: int) -> DataError:
    too_long = f"{dropped} rows were longer than {longest} tokens; raise train.max_length"
    return DataError("no row is left to train on", hint=too_long if dropped else "raise split.train")


def mask_policy(input: TrainInput) -> MaskPolicy:
    """Which tokens carry loss in this training."""
    settings = input.settings
    return MaskPolicy(input.masking, input.prompt_loss_weight, settings.eos_in_loss, settings.train_on)


def longest_row(base: LoadedModel, max_length: int | None) -> int:
    """Tokens that a row may have."""
    return min(max_length or base.context_length, base.context_length)


def encode_examples(  # noqa: PLR0913 - all that decides a row
    base: LoadedModel,
    examples: Sequence[SplitExample],
    style: PromptStyle,
    policy: MaskPolicy,
    max_length: int | None,
    truncate: Truncate = "error",
) -> TrainingRows:
    """The same of a few examples, in memory; `max_length` None means the model's context.

    Raises DataError, with the row, for one that does not fit and may not be cut, or that carries no loss.
    """
    longest = longest_row(base, max_length)
    parts: dict[str, list[NamedRow]] = {"train": [], "validation": []}
    counts: Counter[str] = Counter()
    for split_example in examples:
        if split_example.split == "test":
            continue
        example = split_example.example
        where = row_name(example.id, split_example.index)
        whole = encode(base.tokenizer, render(style, example, base.tokenizer), policy, where=where)
        row = fitted(whole, longest, truncate, where=where)
        counts += change(whole, row, truncate) if split_example.split == "train" else Counter()
        if row is not None:
            parts[split_example.split].append(NamedRow(example.id, row))
    if not parts["train"]:
        raise _nothing_left(counts["dropped"], longest)
    return TrainingRows(tuple(parts["train"]), tuple(parts["validation"]), Truncation(**counts))
