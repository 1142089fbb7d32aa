"""A tokenised split on disk: shards of plain arrays, written and read a piece at a time, whatever the split's size.

Nothing of it depends on masking, truncation, fold or seed: a matrix tokenises once for each model and prompt style.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.prompts import PromptStyle, render
from harness.records.data import SplitExample, SplitName
from trainers.masking import TokenRow, tokenised
from trainers.tokens import encoder_of

SHARD = 8192
"""Lines of the split a shard is made of."""
PARTS: tuple[SplitName, ...] = ("train", "validation", "test")
ROW = np.dtype([("end", "<i8"), ("index", "<i8"), ("fold", "u1"), ("part", "u1"), ("opening", "u1"), ("id", "S24")])
"""One row: where its tokens end in the shard, its row in the source, fold (0: none), place in PARTS, example id."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes shards in another process. `base`: folder with the tokenizer."""

    base: Path
    style: PromptStyle
    trust_remote_code: bool
    folder: Path


def write_shards(
    split: Path, recipe: Recipe, *, processes: int = 1, on_rows: Callable[[int], None] = lambda count: None
) -> None:
    """Tokenise the train and validation rows (and all folds) of a split's row file into shards.

    The shards are the same for any number of processes. A few shards' worth of lines are held at a time. `on_rows` is
    told how many lines are done. Raises DataError, ModelError as `render` and `tokenised` do.
    """
    with split.open("rb") as lines:
        pieces = enumerate(iter(lambda: list(islice(lines, SHARD)), []))
        first = list(islice(pieces, 2))
        every = chain(first, pieces)
        if processes < 2 or len(first) < 2:
            for number, piece in every:
                on_rows(write_shard(recipe, number, piece))
            return
        # spawn: a fork of a process whose threads hold locks may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
            waiting: deque[Future[int]] = deque()
            for number, piece in every:
                waiting.append(pool.submit(write_shard, recipe, number, piece))
                if len(waiting) > processes:
                    on_rows(waiting.popleft().result())
            for done in waiting:
                on_rows(done.result())


def write_shard(recipe: Recipe, number: int, lines: Sequence[bytes]) -> int:
    """One shard from lines of a split; gives how many there were. Rows that nobody trains on are left out."""
    tokenizer = _tokenizer(recipe.base, recipe.trust_remote_code)
    examples = [SplitExample.model_validate_json(line) for line in lines]
    kept = [each for each in examples if each.split != "test" or each.fold is not None]
    if not kept:
        return len(lines)
    rendered = [render(recipe.style, each.example, tokenizer) for each in kept]
    encoder_of(tokenizer).prepare(rendered)
    rows = [
        tokenised(tokenizer, segments, where=row_name(each.example.id, each.index))
        for each, segments in zip(kept, rendered, strict=True)
    ]
    ends = np.cumsum([len(row.ids) for row in rows])
    table = np.array(
        [
            (end, each.index, each.fold or 0, PARTS.index(each.split), row.opening, each.example.id.encode())
            for end, each, row in zip(ends, kept, rows, strict=True)
        ],
        dtype=ROW,
    )
    ids = np.fromiter(chain.from_iterable(row.ids for row in rows), dtype=np.uint32, count=int(ends[-1]))
    _save(recipe.folder, number, "ids", ids)
    _save(recipe.folder, number, "kinds", np.frombuffer(b"".join(row.kinds for row in rows), dtype=np.uint8))
    _save(recipe.folder, number, "rows", table)
    return len(lines)


def _one_thread() -> None:
    """Let a process's tokenizer start no threads: the processes are as many as the processors."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@lru_cache(maxsize=1)
def _tokenizer(base: Path, trust_remote_code: bool) -> Any:
    from trainers.models import load_tokenizer

    return load_tokenizer(base, trust_remote_code=trust_remote_code)[0]


def _save(folder: Path, number: int, name: str, array: npt.NDArray[Any]) -> None:
    np.save(folder / f"{number:06}.{name}.npy", array, allow_pickle=False)


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A tokenised row, and whose it is. `where` names it in errors."""

    example_id: str
    index: int
    row: TokenRow

    @property
    def where(self) -> str:
        """Its example and its row in the source."""
        return row_name(self.example_id, self.index)


def row_name(example_id: str, index: int) -> str:
    """How errors call a row."""
    return f"example {example_id} (row {index + 1} of the data)"


class TokenShards:
    """The shards of one folder, mapped into memory: the operating system keeps of them what it has room for."""

    def __init__(self, folder: Path) -> None:
        """Opens all shards; reads next to nothing."""
        numbers = sorted(path.name.split(".")[0] for path in folder.glob("*.rows.npy"))
        self.tables = [np.load(folder / f"{number}.rows.npy", allow_pickle=False) for number in numbers]
        self.kinds = [self._mapped(folder / f"{number}.kinds.npy") for number in numbers]
        self._ids = [self._mapped(folder / f"{number}.ids.npy") for number in numbers]

    @staticmethod
    def _mapped(path: Path) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    def row(self, shard: int, place: int) -> StoredRow:
        """One row."""
        table = self.tables[shard]
        start, end = int(table["end"][place - 1]) if place else 0, int(table["end"][place])
        tokens = TokenRow(
            tuple(self._ids[shard][start:end].tolist()),
            self.kinds[shard][start:end].tobytes(),
            int(table["opening"][place]),
        )
        return StoredRow(table["id"][place].decode(), int(table["index"][place]), tokens)
