"""The answer: what each choice does, in words and plots; where chance comes from; what to do next."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from harness.records.result import Curve, MeasureInfo, Result, VarianceTable
from leaderboard import view
from leaderboard.next_steps import next_steps
from leaderboard.session import choose_measure, choose_run, narrow, note, offer, plot, unmarked
from reports.page_plots import effect_curve
from reports.vega import effect_plot, share_plot
from reports.wording import (
    DESCRIBES,
    axis_name,
    curve_words,
    figure,
    narrower,
    p_value,
    places_in,
    signed,
    span,
    variance_shares,
)


def show(root: Path) -> None:
    """Draw the page."""
    _, _, result = choose_run(root)
    measure = choose_measure(result)
    st.title("Answer")
    if result.answer:
        note("", result.answer)
    if not measure.trusted:
        said = f"What follows is told by a judge that failed its probes: {measure.untrusted_reason}"
        note("Untrusted judge.", [said], kind="warning")
    _effects(result, measure)
    if measure.name == result.primary:
        _interactions(result, measure)
    for curve in result.curves:
        if curve.measure == measure.name:
            _curve(result, curve)
    for table in result.variances:
        if table.measure == measure.name:
            _variance(result, table, measure)
    steps = next_steps(result)
    if steps:
        st.subheader("What to do next")
        st.html(view.bullets(steps, code=True))


def _effects(result: Result, measure: MeasureInfo) -> None:
    rows = view.effects(result, measure.name)
    st.subheader("What each choice does")
    if measure.descriptive:
        st.info(unmarked(f"{measure.label} {DESCRIBES}, so no choice is tested on it."))
        return
    if rows.empty:
        st.info("No axis of this matrix has two levels that can be set against each other.")
        return
    rows = rows.assign(shown=rows["shown"] & measure.trusted)
    drawn = effect_plot(view.records(rows), f"difference in {measure.label} points", narrow=narrow())
    plot(drawn, f"Differences in {measure.label} by choice, with their 95 % intervals")
    shown = int(rows["shown"].sum())
    real = "shown to be real" if measure.name == result.primary else "shown, exploratory only: not the primary measure"
    st.caption(
        f"One choice changed, all else equal: {shown} of {len(rows)} differences on {unmarked(measure.label)} are"
        f" {real}. Right of the dashed line the first level scores higher; hollow marks: no difference is shown, or"
        " the judge is untrusted. An arrow: the interval goes on."
    )
    digits = places_in(result, measure)
    table = pd.DataFrame(
        {
            "choice": rows["label"],
            "difference": rows["delta"].map(lambda x: signed(x, digits)),
            "interval": [
                "" if pd.isna(low) else f"{figure(low, digits)} to {figure(high, digits)}"
                for low, high in zip(rows["low"], rows["high"], strict=True)
            ],
            "p": rows["p"].map(lambda p: p_value(None if pd.isna(p) else p)),
            "mde": rows["mde"].astype(float),
            "pairs": rows["pairs"],
            "verdict": rows["verdict"],
        }
    )
    config = {
        "choice": st.column_config.TextColumn("Choice", width="medium"),
        "difference": st.column_config.TextColumn("Difference, points", alignment="right"),
        "interval": st.column_config.TextColumn("95 % interval", alignment="right"),
        "p": st.column_config.TextColumn("p, corrected", alignment="right"),
        "mde": st.column_config.NumberColumn(
            "Could have seen, points", format=f"%.{digits}f", help="Smallest difference found with 80 % power."
        ),
        "pairs": st.column_config.NumberColumn("Matched pairs"),
        "verdict": st.column_config.TextColumn("Verdict"),
    }
    st.dataframe(table, hide_index=True, column_config=config, height="content", placeholder="–")
    offer(f"{result.matrix}-effects", lambda: rows, drawn)


def _interactions(result: Result, measure: MeasureInfo) -> None:
    if not result.interactions:
        return
    digits = places_in(result, measure)
    st.subheader("Does one choice depend on another?")
    shown = sum(i.shown for i in result.interactions)
    st.caption(
        f"What a choice brings at one level of another choice, and at a second: {shown} of {len(result.interactions)}"
        " are shown to depend on each other."
    )
    rows = pd.DataFrame(
        {
            "Choice": f"{axis_name(i.axis)}: {i.a} − {i.b}",
            "With": f"{axis_name(i.other_axis)}: {i.c}, {i.d}",
            "At the first, points": signed(i.at_c, digits),
            "At the second, points": signed(i.at_d, digits),
            "Apart by, points": f"{signed(i.delta, digits)} {span(i.interval, digits)}",
            "p, corrected": p_value(i.p_adjusted),
            "Verdict": "shown" if i.shown else "not shown",
        }
        for i in result.interactions
    )
    st.dataframe(rows, hide_index=True, height="content")


def _curve(result: Result, curve: Curve) -> None:
    st.subheader(f"Along {axis_name(curve.axis)}")
    drawn = effect_curve(curve, result)
    plot(drawn, f"{axis_name(curve.axis)}: difference from the lowest value, with its 95 % band")
    st.caption(unmarked(curve_words(curve)))
    rows = pd.json_normalize([point.model_dump() for point in curve.levels])
    offer(f"{result.matrix}-{curve.axis}", lambda: rows, drawn)


def _variance(result: Result, found: VarianceTable, measure: MeasureInfo) -> None:
    digits = places_in(result, measure)
    st.subheader("Where chance comes from")
    largest = max(variance_shares(found), key=lambda pair: pair[1])
    unknown = "" if found.seeds is not None else " What training seeds add is not known: each cell has one."
    st.caption(
        f"A typical difference between two trained cells is known to ±{figure(found.half_width, digits)} points;"
        f" {100 * largest[1]:.0f} % of its variance comes from {largest[0]}.{unknown}"
    )
    shares = [{"name": name, "share": 100 * share} for name, share in variance_shares(found)]
    drawn = share_plot(shares)
    plot(drawn, f"Shares of the variance of {measure.label}")
    if found.purchases:
        offers = pd.DataFrame(
            {
                "Buying": p.what,
                "Interval, points": f"±{figure(p.half_width, digits)}",
                "Change": narrower(p),
            }
            for p in found.purchases
        )
        st.dataframe(offers, hide_index=True, height="content")
    offer(f"{result.matrix}-variance", lambda: pd.DataFrame(shares), drawn)
