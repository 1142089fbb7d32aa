"""Cross-validation: what each row of a folded split is where one of the folds is the test set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.records.data import SplitExample


def in_fold(rows: Iterable[SplitExample], fold: int | None) -> Iterator[SplitExample]:
    """The rows as a variant of this fold sees them: its own fold is test, the others are train.

    None: as they are, all folds test; so they are answered by whoever was trained on none of them.
    """
    for row in rows:
        if fold is None or row.fold in (None, fold):
            yield row
        else:
            yield row.model_copy(update={"split": "train"})
