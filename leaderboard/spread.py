"""How far the cells lie apart on each item: read from the rows of every variant, and kept as Parquet.

A matrix of 1,000 variants and 1,000 items has a million values a measure. They are read once, without checking each
against its record, and their cell means are kept under a name made of the objects' seals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd
from pydantic_core import from_json

from harness.records.inputs import StageKey
from harness.records.result import PanelInfo
from harness.store import MatrixRun, Store
from leaderboard import cache
from reports.samples import item_values, panel_of


def spread_of(means: pd.DataFrame) -> dict[str, float]:
    """Example id -> largest minus smallest of the cells' means (of `cell_means`); unscored items are absent."""
    wide = means.max(axis=1) - means.min(axis=1)
    return {str(item): float(value) for item, value in wide.dropna().items()}


def spread_among(items: pd.DataFrame, means: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """The items (view.ITEM_COLUMNS) with the spread of these cells only; of all where fewer than two are scored."""
    chosen = means[[cell for cell in cells if cell in means]]
    if chosen.shape[1] < 2:
        return items
    return items.assign(spread=items["example_id"].map(spread_of(chosen)))


def cell_means(run: MatrixRun, store: Store, measure: str) -> pd.DataFrame:
    """(items, cells): mean over seeds of each cell's values, items by example id; missing where nothing is scored."""
    panel = panel_of(run.result, measure) if run.result else None
    if panel is not None:
        return _panel_means(run, store, measure, panel)
    sealed = _sealed(run, store, measure)
    told = [f"{cell} {when}" for cell, when in zip(
        (cell for cell, _ in sealed), cache.seal_times(store, (key for _, key in sealed)), strict=True)]  # fmt: skip
    return cache.kept(cache.named("means", measure, *told), lambda: _read(sealed, store))


def _panel_means(run: MatrixRun, store: Store, measure: str, panel: PanelInfo) -> pd.DataFrame:
    """As `cell_means`: its judges' verdicts are combined before they are folded."""
    told = [f"{cell} {when}" for judge in panel.judges for cell, key in _sealed(run, store, judge)
            for when in cache.seal_times(store, [key])]  # fmt: skip

    def read() -> pd.DataFrame:
        columns: dict[str, list[pd.Series[float]]] = defaultdict(list)
        for plan in run.plan.variants:
            values = item_values(plan, store, measure, run.result)
            if values:
                columns[plan.variant.cell.name].append(pd.Series(values, dtype=float))
        means = {cell: pd.concat(seeds, axis=1).mean(axis=1) for cell, seeds in columns.items()}
        return pd.DataFrame(means).sort_index()

    return cache.kept(cache.named("means", measure, panel.combine, *panel.judges, *told), read)


def _sealed(run: MatrixRun, store: Store, measure: str) -> list[tuple[str, StageKey]]:
    """(cell, object with its values) of every variant that has them."""
    found = []
    for plan in run.plan.variants:
        key = plan.scores.get(measure) or plan.judgments.get(measure)
        if key is not None and store.is_sealed(key):
            found.append((plan.variant.cell.name, key))
    return found


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
