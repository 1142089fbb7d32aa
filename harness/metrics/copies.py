"""Responses that repeat, word for word, an output of the training data."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from harness.records.data import Example, SplitExample

COPY_CHARACTERS = 20
"""Shorter outputs may well be repeated for good reasons."""


def plain(text: str) -> str:
    """A text without case and runs of white space, for comparison."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True, slots=True)
class TrainedOutputs:
    """What those who answer a split's items were trained to say.

    An item's own fold is where its answerer was not trained. `_folds`: plain output -> the folds it stands in, None
    for rows that everybody is trained on; `_fold`: example id -> its fold.
    """

    _folds: defaultdict[str, set[int | None]] = field(default_factory=lambda: defaultdict(set))
    _fold: dict[str, int] = field(default_factory=dict)

    def add(self, row: SplitExample) -> None:
        """A row of the split."""
        if row.split == "train" or row.fold is not None:
            self._folds[plain(row.example.output)].add(row.fold)
        if row.fold is not None:
            self._fold[row.example.id] = row.fold

    def copied(self, text: str, example: Example) -> bool:
        """Whether a response is word for word an output that was trained on, and not simply the right one."""
        said, own = plain(text), {self._fold[example.id]} if example.id in self._fold else set()
        trained = bool(self._folds.get(said, set()) - own)
        return trained and len(said) >= COPY_CHARACTERS and said not in map(plain, example.references)
