"""The leaderboard: the answer in words, intervals as bars, one row a cell."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.records.plan import FailedVariant
from harness.records.result import MeasureInfo, Result
from harness.store import MatrixRun, Store
from leaderboard import charts, costs, view
from leaderboard.session import choose_measure, choose_run, narrow, note, offer, stamp, unmarked
from reports.wording import AXES, axis_name, data_audit, figure, leak_badge, places, shared_levels, varies

MOST_DRAWN = 40
"""Cells of the interval plot, unless the reader asks for all; the table shows every cell."""


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    st.title(unmarked(run.name))
    st.caption(unmarked(_subtitle(result)))
    if result.audit is not None:
        leaked = bool(result.audit.leaked)
        st.badge(leak_badge(result), color="orange" if leaked else "gray", help=unmarked(data_audit(result)))
    if result.answer:
        note("", result.answer)
    if result.warnings:
        note("Beware.", result.warnings, kind="warning")
    frame = _frame(result, stamp(run.folder))
    measure = choose_measure(result)
    kept = view.chosen(frame, _choose_levels(frame))
    seeds = st.sidebar.toggle("Show each seed", value=True, key="seeds", bind="query-params")
    if kept.empty:
        st.info("No cell is left by the filters in the sidebar.")
        return
    _board(result, kept, measure, seeds=seeds)
    _costs(result, kept, _bills(run, store, stamp(run.folder)), measure)
    _failed(result.failed)


@st.cache_resource(max_entries=8, show_spinner=False)
def _frame(_result: Result, key: tuple[str, ...]) -> pd.DataFrame:
    return view.board(_result)


@st.cache_resource(max_entries=8, show_spinner=False)
def _bills(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> pd.DataFrame:
    return costs.bills(_run, _store)


def _subtitle(result: Result) -> str:
    said = [f"{len(result.rows)} cells", f"{result.n_test} test items of {result.data_name}"]
    shared = shared_levels(row.cell for row in result.rows)
    return " · ".join([*said, shared] if shared else said)


def _choose_levels(frame: pd.DataFrame) -> dict[str, list[str]]:
    levels = {}
    for axis in AXES:
        known = list(dict.fromkeys(frame[axis]))
        if varies(axis, known):
            label = axis_name(axis).capitalize()
            levels[axis] = st.sidebar.multiselect(label, known, key=axis, bind="query-params", placeholder="all")
    return levels


def _board(result: Result, kept: pd.DataFrame, measure: MeasureInfo, *, seeds: bool) -> None:
    st.subheader(f"Ranked by {unmarked(measure.label)}")
    if not measure.trusted:
        note("Untrusted judge.", [f"Left out of ranking and answer: {measure.untrusted_reason}"], kind="warning")
    rows = view.in_order(kept, measure)
    if len(rows) > MOST_DRAWN and not st.toggle(f"Draw all {len(rows)} cells", key="all", bind="query-params"):
        rows = rows.head(MOST_DRAWN)
    chart = charts.interval_chart(
        rows, f"{measure.label}, {measure.unit}", trusted=measure.trusted, seeds=seeds, narrow=narrow()
    )
    st.altair_chart(chart, width="stretch")
    st.caption(
        "Mean over items and seeds with its 95 % interval; small ticks are single seeds. Ranks are those that the data "
        "cannot exclude: cells whose ranks overlap are not shown to differ."
        + (f" The {len(rows)} best are drawn." if len(rows) < kept["cell"].nunique() else "")
    )
    table = view.table(kept, result.measures, measure)
    columns = _columns(result, measure)
    st.dataframe(_styled(table, result), hide_index=True, column_config=columns, height="content", placeholder="–")
    offer(f"{result.matrix}-leaderboard", lambda: kept)


def _styled(table: pd.DataFrame, result: Result) -> Any:
    """Untrusted columns greyed; the interval as one text; figures with the decimals of their measure."""
    by_name = {m.name: m for m in result.measures}
    shown = next(name for name in table.columns if name in by_name)
    decimals = places(by_name[shown])
    low, high = table["interval_low"], table["interval_high"]
    texts = [
        "" if pd.isna(x) else f"{figure(x, decimals)} to {figure(y, decimals)}" for x, y in zip(low, high, strict=True)
    ]
    table = table.drop(columns=["interval_low", "interval_high"])
    table.insert(list(table.columns).index(shown) + 1, "interval", texts)
    if not table["unscored"].any():
        table = table.drop(columns="unscored")
    grey: list[Hashable] = [m.name for m in result.measures if not m.trusted and m.name in table]
    formats: dict[Any, Any] = {name: f"{{:.{places(m)}f}}" for name, m in by_name.items() if name in table}
    return table.style.format(formats, na_rep="–").map(lambda _: "color: #8a9199; font-style: italic", subset=grey)


def _columns(result: Result, shown: MeasureInfo) -> dict[str, Any]:
    """Headers and their explanations."""
    config: dict[str, Any] = {
        "ranks": st.column_config.TextColumn(
            "Ranks", help="Ranks that the data cannot exclude.", width=60, pinned=True
        ),
        "label": st.column_config.TextColumn("Cell"),
        "seeds": st.column_config.NumberColumn("Seeds", width=60),
        "interval": st.column_config.TextColumn("95 % interval", help=f"Of {unmarked(shown.label)}."),
        "unscored": st.column_config.NumberColumn("Unscored", help="Left out of the means, all measures together."),
    }
    for axis in AXES:
        longest = max((len(row.cell.level(axis) or "") for row in result.rows), default=0)
        width: Any = "medium" if longest > 16 else None
        config[axis] = st.column_config.TextColumn(axis_name(axis).capitalize(), width=width)
    for m in result.measures:
        label = m.label if m.trusted else f"{m.label} (untrusted)"
        said = f"{m.unit}. {m.signature}" if m.trusted else m.untrusted_reason
        config[m.name] = st.column_config.NumberColumn(label, help=unmarked(said))
    return config


def _costs(result: Result, kept: pd.DataFrame, bills: pd.DataFrame, measure: MeasureInfo) -> None:
    """Quality against cost, the Pareto front drawn through the cells that nothing beats on both."""
    known = [name for name in costs.COSTS if bills[name].notna().any()]
    if not known:
        return
    st.subheader("Quality against cost")
    picked = st.selectbox("Cost", known, key="cost", bind="query-params", width=340)
    scores = view.in_order(kept, measure)[["cell", "label", "mean"]]
    points = costs.points(scores, bills, picked, higher_is_better=measure.higher_is_better)
    if points.empty:
        st.info("None of these cells has a figure for this cost.")
        return
    st.altair_chart(charts.cost_chart(points, picked, f"{measure.label}, {measure.unit}"), width="stretch")
    front = [unmarked(label) for label in points.loc[points["front"], "label"]]
    many = f" and {len(front) - 6} more" if len(front) > 6 else ""
    st.caption(
        f"On the Pareto front, where no other cell is both better and cheaper: {', '.join(front[:6])}{many}. "
        "Costs are means over a cell's seeds; the front goes by means, whose intervals stand above."
    )
    offer(f"{result.matrix}-costs", lambda: points)


def _failed(failed: tuple[FailedVariant, ...]) -> None:
    if failed:
        st.subheader("Failed variants")
        note("", [f"{f.variant} in {f.stage}: {f.reason}" for f in failed], kind="plain")
