"""How far the cells lie apart on each item: read from the rows of every variant, and kept as Parquet.

A matrix of 1,000 variants and 1,000 items has a million values a measure. They are read once, without checking each
against its record, and their cell means are kept in the user's cache folder under a name made of the objects' seals:
the store itself is never written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from pathlib import Path

import pandas as pd
from pydantic_core import from_json

from harness.records.inputs import StageKey
from harness.store import MatrixRun, Store

VERSION = 1
"""Of the kept files' layout."""


def spread_of(means: pd.DataFrame) -> dict[str, float]:
    """Example id -> largest minus smallest of the cells' means (of `cell_means`); unscored items are absent."""
    wide = means.max(axis=1) - means.min(axis=1)
    return {str(item): float(value) for item, value in wide.dropna().items()}


def cell_means(run: MatrixRun, store: Store, measure: str) -> pd.DataFrame:
    """(items, cells): mean over seeds of each cell's values, items by example id; missing where nothing is scored."""
    sealed = _sealed(run, store, measure)
    kept = _cache_folder() / f"{_name(sealed, store, measure)}.parquet"
    try:
        return pd.read_parquet(kept)
    except (OSError, ValueError):  # not kept yet, or a torn file
        means = _read(sealed, store)
        _keep(means, kept)
        return means


def _sealed(run: MatrixRun, store: Store, measure: str) -> list[tuple[str, StageKey]]:
    """(cell, object with its values) of every variant that has them."""
    found = []
    for plan in run.plan.variants:
        key = plan.scores.get(measure) or plan.judgments.get(measure)
        if key is not None and store.is_sealed(key):
            found.append((plan.variant.cell.name, key))
    return found


def _name(sealed: list[tuple[str, StageKey]], store: Store, measure: str) -> str:
    """Changes with any seal; a made-again object has another time in it."""
    told = hashlib.sha256(f"{VERSION} {measure}".encode())
    for cell, key in sealed:
        seal = (store.folder(key) / "seal.json").stat()
        told.update(f"{cell} {key.stage} {key.digest} {seal.st_mtime_ns}\n".encode())
    return told.hexdigest()


def _cache_folder() -> Path:
    """`$XDG_CACHE_HOME/sft-harness`, or `~/.cache/sft-harness`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sft-harness"


def _keep(means: pd.DataFrame, path: Path) -> None:
    """Whole or not at all; a folder that cannot be written costs time, not the page."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        means.to_parquet(temporary)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _read(sealed: list[tuple[str, StageKey]], store: Store) -> pd.DataFrame:
    columns: dict[str, list[pd.Series[float]]] = defaultdict(list)
    for cell, key in sealed:
        columns[cell].append(_item_means((store.folder(key) / "rows.jsonl").read_bytes()))
    means = {cell: pd.concat(seeds, axis=1).mean(axis=1) for cell, seeds in columns.items()}
    return pd.DataFrame(means).sort_index()


def _item_means(content: bytes) -> pd.Series[float]:
    """Example id -> mean over samples and repeats. A row without a value is an unscored verdict."""
    rows = from_json(b"[" + content.strip().replace(b"\n", b",") + b"]")
    scored = [(row["example_id"], row["value"]) for row in rows if "value" in row]
    ids, values = zip(*scored, strict=True) if scored else ((), ())
    found: pd.Series[float] = pd.Series(values, index=list(ids), dtype=float)
    return found if found.index.is_unique else found.groupby(level=0).mean()
