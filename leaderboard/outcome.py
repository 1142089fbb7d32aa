"""A matrix as the pages need it: comparisons of pairs, most of a large result, stay in the cache until asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness.records.result import Comparison, Result
from harness.store import MatrixRun, Store, read_result
from leaderboard import cache


def stamp(folder: Path) -> tuple[str, ...]:
    """Changes when a matrix is planned or compared anew: the key of everything kept about it."""
    found = [path.stat() for name in ("plan.json", "comparison.json") if (path := folder / name).exists()]
    return (str(folder.resolve()), *(f"{s.st_mtime_ns}/{s.st_size}" for s in found))


def outcome(store: Store, folder: Path) -> MatrixRun | None:
    """As `Store.matrix`, but its result has no comparisons: `pair_of` finds them."""
    run = store.planned_matrix(folder)
    if run is None or not (folder / "comparison.json").exists():
        return run
    found = cache.kept(_name(folder, "result"), lambda: _split(folder))
    return replace(run, result=Result.model_validate_json(found["json"].iloc[0]) if len(found) else None)


def pair_of(folder: Path, measure: str, a: str, b: str) -> Comparison | None:
    """`a` minus `b`; None where the pair shares no scored item."""
    either = [("measure", "==", measure), ("a", "in", {a, b}), ("b", "in", {a, b})]
    name = _name(folder, "pairs")
    try:
        found = pd.read_parquet(cache.path_of(name), filters=either)
    except (OSError, ValueError):
        every = cache.kept(name, lambda: _pairs(read_result(folder)))
        found = every[(every["measure"] == measure) & every["a"].isin([a, b]) & every["b"].isin([a, b])]
    if found.empty:
        return None
    comparison = Comparison.model_validate_json(found["json"].iloc[0])
    if comparison.a == a:
        return comparison
    from harness.finished import turned_round  # brings scipy, which no other page waits for

    return turned_round(comparison)


def _name(folder: Path, what: str) -> str:
    return cache.named(what, *stamp(folder))


def _split(folder: Path) -> pd.DataFrame:
    """One row: the result without its comparisons, which are kept beside it; no row where it cannot be read."""
    result = read_result(folder)
    cache.kept(_name(folder, "pairs"), lambda: _pairs(result))
    told = [] if result is None else [result.model_copy(update={"comparisons": ()}).model_dump_json()]
    return pd.DataFrame({"json": pd.Series(told, dtype="string")})


def _pairs(result: Result | None) -> pd.DataFrame:
    """One row a pair and measure: measure, a, b, json."""
    comparisons = () if result is None else result.comparisons
    rows = [(c.measure, c.a, c.b, c.model_dump_json()) for c in comparisons]
    return pd.DataFrame(rows, columns=["measure", "a", "b", "json"], dtype="string")
