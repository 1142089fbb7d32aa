"""Interval plots in Altair. Meaning never rests on colour alone: marks are filled or hollow, tooltips give figures."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.wording import shorten

ROW, AXIS = 27, 90
"""Pixels a row, and for the axis below."""
ACCENT, GREY = "#1f83c4", "#8a9199"
"""Readable on light and on dark."""
LABEL_COLUMNS, LABEL_PIXELS = 44, 330
_ROWS = alt.Scale(paddingOuter=0.4)


def interval_chart(rows: pd.DataFrame, title: str, *, trusted: bool, seeds: bool) -> alt.LayerChart:
    """One row a cell: mean, 95 % interval, and small ticks for the seeds. `rows`: of view.in_order."""
    rows = rows.assign(row=_unique_labels(rows["label"]))
    colour = ACCENT if trusted else GREY
    y = alt.Y("row:N", sort=list(rows["row"]), title=None, axis=_label_axis(), scale=_ROWS)
    base = alt.Chart(rows.dropna(subset=["mean"]).drop(columns="per_seed"))
    x_axis = alt.Axis(title=title, grid=True, tickCount=8)
    span = base.mark_rule(strokeWidth=2.5, color=colour).encode(
        x=alt.X("low:Q", scale=alt.Scale(zero=False, nice=True), axis=x_axis), x2="high:Q", y=y
    )
    tooltip = [
        alt.Tooltip("cell:N"),
        alt.Tooltip("mean:Q", format=".2f"),
        alt.Tooltip("low:Q", format=".2f", title="95 % from"),
        alt.Tooltip("high:Q", format=".2f", title="to"),
        alt.Tooltip("ranks:N"),
        alt.Tooltip("unscored:Q"),
    ]
    point = base.mark_point(size=75, filled=trusted, opacity=1, color=colour, strokeWidth=2).encode(
        x="mean:Q", y=y, tooltip=tooltip
    )
    layers = [span, point]
    if seeds:
        several = rows[rows["per_seed"].map(len) > 1]
        each = several.explode("per_seed").dropna(subset=["per_seed"])[["row", "per_seed"]]
        layers.append(
            alt.Chart(each.astype({"per_seed": float}))
            .mark_tick(thickness=2, size=8, color=GREY, yOffset=9)
            .encode(x="per_seed:Q", y=y, tooltip=[alt.Tooltip("per_seed:Q", format=".2f", title="one seed")])
        )
    return _layered(layers, ROW * len(rows) + AXIS)


def effect_chart(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    """One row an effect, with a line at no difference; hollow marks where none is shown. `rows`: of view.effects."""
    y = alt.Y("label:N", sort=list(rows["label"]), title=None, axis=_label_axis(), scale=_ROWS)
    colour = alt.condition("datum.shown", alt.value(ACCENT), alt.value(GREY))
    base = alt.Chart(rows)
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    span = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", axis=alt.Axis(title=title, tickCount=8)), x2="high:Q", y=y, color=colour
    )
    tooltip = [
        alt.Tooltip("label:N"),
        alt.Tooltip("delta:Q", format="+.2f"),
        alt.Tooltip("p:Q", format=".3g", title="p, adjusted"),
        alt.Tooltip("mde:Q", format=".2f", title="could have seen"),
        alt.Tooltip("verdict:N"),
    ]
    solid = base.transform_filter("datum.shown").mark_point(size=75, filled=True, opacity=1, color=ACCENT)
    hollow = base.transform_filter("!datum.shown").mark_point(size=75, filled=False, color=GREY, strokeWidth=2)
    points = [mark.encode(x="delta:Q", y=y, tooltip=tooltip) for mark in (solid, hollow)]
    return _layered([zero, span, *points], ROW * len(rows) + AXIS)


def auc_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """One row a judge and kind of bad answer: AUC with its interval, lines at chance and at the threshold.

    `rows`: label, auc, low, high, trusted, threshold.
    """
    y = alt.Y("label:N", sort=list(rows["label"]), title=None, axis=_label_axis(), scale=_ROWS)
    colour = alt.condition("datum.trusted", alt.value(ACCENT), alt.value(GREY))
    base = alt.Chart(rows)
    marks = pd.DataFrame({"x": [0.5, float(rows["threshold"].iloc[0])], "what": ["chance", "threshold"]})
    lines = alt.Chart(marks).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    words = alt.Chart(marks).mark_text(dy=-6, baseline="bottom", color=GREY).encode(
        x="x:Q", y=alt.value(0), text="what:N"
    )  # fmt: skip
    axis = alt.Axis(title="AUC: probability that the reference outscores the bad answer", tickCount=6)
    span = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", scale=alt.Scale(domain=[0, 1]), axis=axis), x2="high:Q", y=y, color=colour
    )
    point = base.mark_point(size=75, filled=True, opacity=1).encode(
        x="auc:Q", y=y, color=colour, tooltip=["label:N", alt.Tooltip("auc:Q", format=".2f")]
    )
    return _layered([lines, words, span, point], ROW * len(rows) + AXIS + 20)


def _layered(layers: list[alt.Chart], height: int) -> alt.LayerChart:
    return alt.LayerChart(layer=layers, height=height)


def _label_axis() -> alt.Axis:
    whole: dict[str, Any] = {"labelBound": False, "labelFlush": False, "labelOverlap": False}
    return alt.Axis(
        labelLimit=LABEL_PIXELS, labelFontSize=13, labelPadding=8, ticks=False, domain=False, grid=False, **whole
    )


def _unique_labels(labels: pd.Series[str]) -> list[str]:
    """Shortened for the axis; where shortening makes two alike, both stay whole."""
    short = labels.map(lambda text: shorten(text, LABEL_COLUMNS))
    return [s if n == 1 else whole for s, whole, n in zip(short, labels, short.map(short.value_counts()), strict=True)]
