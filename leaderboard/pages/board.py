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
from leaderboard import costs, view
from leaderboard.outcome import stamp
from leaderboard.session import choose_measure, choose_run, narrow, note, offer, plot, unmarked
from reports.vega import cost_plot, interval_plot
from reports.vega_parts import Spec
from reports.wording import (
    AXES,
    DESCRIBES,
    axis_name,
    data_audit,
    leak_badge,
    measure_label,
    places_in,
    several,
    shared_levels,
    varies,
)

MOST_DRAWN = 40
"""Cells of the interval plot, unless the reader asks for all; the table shows every cell."""


DRAWN = ["label", "cell", "mean", "low", "high", "ranks", "unscored", "per_seed"]


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
    _ranking(result, _frame(result, stamp(run.folder)), _bills(run, store, stamp(run.folder)))
    _failed(result.failed)


@st.cache_resource(max_entries=8, show_spinner=False)
def _frame(_result: Result, key: tuple[str, ...]) -> pd.DataFrame:
    return view.board(_result)


@st.cache_resource(max_entries=8, show_spinner=False)
def _bills(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> pd.DataFrame:
    return costs.bills(_run, _store)


def _subtitle(result: Result) -> str:
    said = [several(len(result.rows), "cell"), f"{several(result.n_test, 'test item')} of {result.data_name}"]
    shared = shared_levels(row.cell for row in result.rows)
    return " · ".join([*said, shared] if shared else said)


@st.fragment
def _ranking(result: Result, frame: pd.DataFrame, bills: pd.DataFrame) -> None:
    """Plot, table and costs: a fragment, so that a choice in it draws these anew and nothing else."""
    measure, levels = _choices(result, frame)
    kept = view.chosen(frame, levels)
    st.subheader(f"{'By' if measure.descriptive else 'Ranked by'} {unmarked(measure.label)}")
    if measure.descriptive:
        st.caption(unmarked(f"{measure.label} {DESCRIBES}."))
    wanted = "; ".join(f"{axis_name(axis)} {', '.join(names)}" for axis, names in levels.items() if names)
    if wanted:
        st.caption(unmarked(f"{kept['cell'].nunique()} of {len(result.rows)} cells are left: {wanted}."))
    if kept.empty:
        st.info("No cell is left by these filters.")
        return
    if not measure.trusted:
        place = "Ranks all the same, as the matrix wishes" if measure.ranks else "Left out of ranking and answer"
        note("Untrusted judge.", [f"{place}: {measure.untrusted_reason}"], kind="warning")
    drawn = _plot(kept, measure)
    _table(result, kept, measure)
    offer(f"{result.matrix}-leaderboard", lambda: kept, drawn)
    if not measure.descriptive:
        _costs(result, kept, bills, measure)


def _choices(result: Result, frame: pd.DataFrame) -> tuple[MeasureInfo, dict[str, list[str]]]:
    """Measure, and the chosen levels of each axis that varies."""
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        measure = choose_measure(result, beside=True)
    varying = {axis: known for axis in AXES if varies(axis, known := list(dict.fromkeys(frame[axis])))}
    if not varying:
        return measure, {}
    with row.popover("Filter"):
        levels = {
            axis: st.multiselect(axis_name(axis).capitalize(), known, key=axis, bind="query-params", placeholder="all")
            for axis, known in varying.items()
        }
    return measure, levels


def _plot(kept: pd.DataFrame, measure: MeasureInfo) -> Spec:
    rows = view.in_order(kept, measure)
    rows["label"] += rows["baseline"].map({True: view.BASELINE, False: ""})
    row = st.container(horizontal=True)
    if len(rows) > MOST_DRAWN and not row.toggle(f"Draw all {len(rows)} cells", key="all", bind="query-params"):
        rows = rows.head(MOST_DRAWN)
    seeds = row.toggle("Ticks for seeds", value=True, key="seeds", bind="query-params")
    drawn = interval_plot(
        view.records(rows[DRAWN]),
        f"{measure.label}, {measure.unit}",
        trusted=measure.trusted,
        seeds=seeds,
        narrow=narrow(),
    )
    spans = rows["low"].notna().any()
    ends = " with its 95 % interval (an arrow: it goes on)" if spans else "; no interval can be given"
    plot(drawn, f"Mean {measure.label} of each cell{' with its 95 % interval' if spans else ''}")
    st.caption(
        f"Mean over items and seeds{ends}; small ticks are single seeds."
        " Ranks are those that the data "
        "cannot exclude: cells whose ranks overlap are not shown to differ."
        + (f" The {len(rows)} best are drawn." if len(rows) < kept["cell"].nunique() else "")
    )
    return drawn


def _table(result: Result, kept: pd.DataFrame, measure: MeasureInfo) -> None:
    unfolded = any(len(row.seeds) > 1 for row in result.rows) and st.toggle(
        "Unfold the seeds of every cell", key="unfold", bind="query-params"
    )
    table = _rounded(view.table(kept, result.measures, measure, seeds=unfolded), result)
    columns = _columns(result, measure, table)
    st.dataframe(_greyed(table, result), hide_index=True, column_config=columns, height="content", placeholder="–")


def _rounded(table: pd.DataFrame, result: Result) -> pd.DataFrame:
    """Means as all other places write them: a browser rounds what lies in the middle otherwise."""
    for m in result.measures:
        if (column := view.column_of(m.name)) in table:
            table[column] = [round(mean, places_in(result, m)) for mean in table[column]]
    return table


def _greyed(table: pd.DataFrame, result: Result) -> Any:
    """Untrusted columns in grey."""
    shown = {column: m for m in result.measures if (column := view.column_of(m.name)) in table}
    grey: list[Hashable] = [column for column, m in shown.items() if not m.trusted]
    if not grey:
        return table
    formats: dict[Any, Any] = {column: f"{{:.{places_in(result, m)}f}}" for column, m in shown.items()}
    table = table.reset_index(drop=True)  # pandas styles no rows of one name, as a cell's and its seeds' are
    return table.style.format(formats, na_rep="–").map(lambda _: "color: #8a9199; font-style: italic", subset=grey)


def _columns(result: Result, shown: MeasureInfo, table: pd.DataFrame) -> dict[str, Any]:
    """Headers and their explanations."""
    interval = f"Of {unmarked(shown.label)}."
    config: dict[str, Any] = {
        "ranks": st.column_config.TextColumn(
            "Ranks", help="Ranks that the data cannot exclude.", width=60, pinned=True
        ),
        "label": st.column_config.TextColumn("Cell"),
        "seeds": st.column_config.TextColumn("Seeds", width=70, alignment="right", help="How many, or which one."),
        "interval": st.column_config.TextColumn("95 % interval", alignment="right", help=interval),
        "unscored": st.column_config.NumberColumn("Unscored", help="Left out of the means, all measures together."),
    }
    for axis in AXES:
        longest = table[axis].str.len().max() if axis in table else 0
        width: Any = "medium" if longest > 16 else None
        config[axis] = st.column_config.TextColumn(axis_name(axis).capitalize(), width=width)
    for m in result.measures:
        said = f"{m.unit}. {m.signature}" if m.trusted else m.untrusted_reason
        config[view.column_of(m.name)] = st.column_config.NumberColumn(
            measure_label(m), help=unmarked(said), format=f"%.{places_in(result, m)}f"
        )
    return config


@st.fragment
def _costs(result: Result, kept: pd.DataFrame, bills: pd.DataFrame, measure: MeasureInfo) -> None:
    """Quality against cost, the Pareto front drawn through the cells that nothing betters."""
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
    drawn = cost_plot(view.records(points), picked, f"{measure.label}, {measure.unit}")
    plot(drawn, f"{measure.label} against {picked}, a point a cell")
    front = [unmarked(label) for label in points.loc[points["front"], "label"]]
    many = f" and {len(front) - 6} more" if len(front) > 6 else ""
    st.caption(
        "On the Pareto front, where no other cell is better at no more cost, or cheaper and as good: "
        f"{', '.join(front[:6])}{many}. Costs are means "
        "over a cell's seeds, the folds of a seed together; the front goes by means, whose intervals stand above."
    )
    offer(f"{result.matrix}-costs", lambda: points, drawn)


def _failed(failed: tuple[FailedVariant, ...]) -> None:
    if failed:
        st.subheader("Failed variants")
        note("", [f"{f.variant} in {f.stage}: {f.reason}" for f in failed], kind="plain")
