"""Two cells against each other: the distribution of their paired differences, the tests, the items that moved most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.records.result import Comparison, MeasureInfo, Result
from harness.words import p_words
from leaderboard import pairs, word_diff
from leaderboard.outcome import pair_of, stamp
from leaderboard.session import (
    choose_measure,
    choose_run,
    items_of,
    note,
    offer,
    plot,
    rows_of,
    unmarked,
    verbatim,
)
from reports.significance import pair_lines
from reports.vega import difference_plot
from reports.wording import DESCRIBES, NONE, figure, labels, places, signed, span

MOST = (5, 10, 25)
"""How many items the list shows."""


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    measure = choose_measure(result)
    st.title("Compare two")
    names = labels(row.cell for row in result.rows)
    if len(names) < 2:
        st.info("This matrix has one cell; there is nothing to compare it with.")
        return
    if measure.descriptive:
        st.info(unmarked(f"{measure.label} {DESCRIBES}, so no pair is compared on it."))
        return
    a, b = _choose_pair(result, names)
    comparison = None if a == b else pair_of(run.folder, measure.name, a, b)
    if comparison is None:
        st.info("Choose two different cells." if a == b else "These cells share no item with a score on this measure.")
        return
    note("", [pairs.sentence(comparison, measure, names[a], names[b])])
    if not measure.trusted:
        note("Untrusted judge.", [measure.untrusted_reason], kind="warning")
    texts, values = rows_of(run, store, (a, b))
    items = items_of(run, store, measure.name, stamp(run.folder))
    items = items[~items["example_id"].isin(result.left_out)]
    frame = pairs.differences(values, items, measure.name, a, b)
    _distribution(result.matrix, frame, comparison, measure)
    _tests(comparison, measure)
    digits = places(measure, comparison.interval)
    answers = pairs.answers(texts, values, measure.name)
    _moved(frame, answers, items, measure, digits, (a, b), (names[a], names[b]))


def _choose_pair(result: Result, names: dict[str, str]) -> tuple[str, str]:
    """The best cell against the baseline, unless the link or the reader says otherwise."""
    by_label = {label: cell for cell, label in names.items()}
    options = list(by_label)
    best = options[0]
    other = names.get(result.baseline or "", options[1])
    second = other if other != best else options[1]
    left, right = st.columns(2)
    a = left.selectbox("A", options, index=0, key="a", bind="query-params")
    b = right.selectbox("B", options, index=options.index(second), key="b", bind="query-params")
    return by_label[a], by_label[b]


def _distribution(matrix: str, frame: pd.DataFrame, comparison: Comparison, measure: MeasureInfo) -> None:
    st.subheader("Differences by item")
    if frame.empty:
        st.info("The rows that this comparison was made from are not in the store.")
        return
    interval = comparison.interval
    low, high = (interval.low, interval.high) if interval else (None, None)
    title = f"A − B, {measure.label} points"
    drawn = difference_plot(pairs.histogram(frame["delta"]), title, comparison.delta, low, high)
    plot(drawn, "How many items differ by how much between A and B")
    gap = signed(comparison.delta, places(measure, comparison.interval))
    bar = ("Diamond and bar", " with its 95 % interval") if interval else ("Diamond", "")
    up, same = int((frame["delta"] > 0).sum()), int((frame["delta"] == 0).sum())
    corpus = " The figure is formed from summed counts, so it is not the mean of these." if measure.corpus else ""
    st.caption(
        f"A scores higher on {up} items, B on {len(frame) - up - same}, and {same} are equal; seeds are averaged first."
        f" {bar[0]}: the difference {gap}{bar[1]}.{corpus}"
    )
    offer(f"{matrix}-differences", lambda: frame.drop(columns="meta"), drawn)


def _tests(comparison: Comparison, measure: MeasureInfo) -> None:
    with st.expander("Everything that is known of this pair, and the other tests"):
        digits = places(measure, comparison.interval)
        st.dataframe(
            pd.DataFrame(pair_lines(comparison, digits), columns=["what", "value"]),
            hide_index=True,
            height="content",
            column_config={"what": st.column_config.TextColumn("", width="medium"), "value": ""},
        )
        rows = [
            {
                "Test": test.name,
                "p": NONE if test.p is None else p_words(test.p).removeprefix("p = ").removeprefix("p "),
                "Interval, points": span(test.interval, digits) or NONE,
                "What it takes as random": test.assumes,
            }
            for test in comparison.tests
        ]
        if rows:
            st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")


# ---------------------------------------------------------------- the items that moved most


@st.fragment
def _moved(
    frame: pd.DataFrame,
    answers: pd.DataFrame,
    items: pd.DataFrame,
    measure: MeasureInfo,
    digits: int,
    cells: tuple[str, str],
    names: tuple[str, str],
) -> None:
    st.subheader("Items that moved most")
    first, second, third = st.columns([3, 3, 2], vertical_alignment="bottom")
    with first:
        winner = st.segmented_control("Who won", pairs.WINNERS, default="all", key="won", bind="query-params")
    with second:
        length = st.segmented_control("Reference", pairs.LENGTHS, default="all", key="length", bind="query-params")
    with third:
        most = st.selectbox("Items shown", [str(n) for n in MOST], key="most", bind="query-params")
    slices = _choose_slices(items)  # in this fragment, so that a choice draws the items anew and nothing else
    left = pairs.kept(
        frame,
        winner=winner or "all",
        length=length or "all",
        slices=slices,
        higher_is_better=measure.higher_is_better,
    )
    moved = left.reindex(left["delta"].abs().sort_values(ascending=False, kind="stable").index).head(int(most))
    if moved.empty:
        st.info("No item is left by these filters.")
        return
    mean = signed(float(left["delta"].mean()), digits)
    st.caption(f"{len(left)} of {len(frame)} items are left; their mean difference is {mean} points. "
               "Marked words stand in one response only: solid line in A, dashed in B.")  # fmt: skip
    st.html(f"<style>{word_diff.CSS}</style>")
    for _, item in moved.iterrows():
        _item(item, answers, digits, cells, names)


def _choose_slices(items: pd.DataFrame) -> dict[str, list[str]]:
    fields = pairs.slice_fields(items)
    if not fields:
        return {}
    with st.popover("Slices"):
        return {
            field: list(
                st.multiselect(unmarked(field), levels, key=f"slice_{field}", bind="query-params", placeholder="all")
            )
            for field, levels in fields.items()
        }


def _item(
    item: pd.Series[Any], answers: pd.DataFrame, digits: int, cells: tuple[str, str], names: tuple[str, str]
) -> None:
    of_item = answers[answers["example_id"] == item["example_id"]]
    shown = [of_item[of_item["cell"] == cell] for cell in cells]
    with st.container(border=True):
        figures = f"A {figure(item['a'], digits)}, B {figure(item['b'], digits)}"
        st.markdown(f"**Item {item['position']}** · {figures} · difference {signed(item['delta'], digits)}")
        asked = item["instruction"] + (f"\n{item['input']}" if item["input"] else "")
        left, right = st.columns(2)
        with left:
            verbatim("Instruction", asked)
        with right:
            verbatim("Reference", item["reference"])
        marked = word_diff.marked(*(str(rows["text"].iloc[0]) if len(rows) else "" for rows in shown))
        for column, side, name, rows, text in zip(st.columns(2), "AB", names, shown, marked, strict=True):
            with column:
                st.caption(unmarked(f"{side}: {name}{_which(rows, digits)}"))
                st.html(text)


def _which(rows: pd.DataFrame, digits: int) -> str:
    """` #123, scored 80.0 (one of 3 seeds)`: whose response is shown where the figure is a mean over several."""
    if len(rows) < 2:
        return ""
    value = rows["value"].iloc[0]
    scored = "without a score" if pd.isna(value) else f"scored {figure(value, digits)}"
    return f" #{rows['seed'].iloc[0]}, {scored} (one of {len(rows)} seeds)"
