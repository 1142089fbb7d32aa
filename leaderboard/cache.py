"""Tables derived from a store, kept as Parquet in the user's cache folder: the store itself is never written to.

A table's name is made of what it comes from, so that it is never out of date; delete the folder at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from harness.records.inputs import StageKey
from harness.store import Store
from reports import user_cache

VERSION = 5
"""Of the kept tables: their layouts, and how their figures are made."""


def kept(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table of that name, made where it is not kept yet or torn. `name`: of `named`."""
    path = path_of(name)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError):
        made = make()
        if len(made):  # a later version may read what this one cannot
            user_cache.keep(path, made.to_parquet)
        return made


def path_of(name: str) -> Path:
    """Where a table of that name is kept."""
    return user_cache.folder() / f"{name}.parquet"


def named(*told: str) -> str:
    """A name that changes with anything told."""
    return hashlib.sha256("\n".join((str(VERSION), *told)).encode()).hexdigest()


def seal_times(store: Store, keys: Iterable[StageKey | None]) -> list[str]:
    """A line an object: its name and when it was sealed; a made-again object has another time."""
    return [_seal_time(store, key) for key in keys if key is not None]


def _seal_time(store: Store, key: StageKey) -> str:
    try:
        sealed = (store.folder(key) / "seal.json").stat().st_mtime_ns
    except OSError:
        sealed = 0
    return f"{key.stage} {key.digest} {sealed}"
