"""Plots in Altair. Meaning never rests on colour alone: marks are filled or hollow, tooltips give figures."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from reports.wording import shorten

ROW, NARROW_ROW, AXIS = 27, 42, 90
"""Pixels a row, a row with its name above it, and for the axis below."""
ACCENT, GREY = "#1f83c4", "#8a9199"
"""Readable on light and on dark."""
WARM = "#d07a00"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a9199", "#b8a900")
"""Okabe and Ito's colour-blind safe palette (2008); its black and yellow are exchanged, to suit both schemes."""
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
DISTRIBUTION = 280
"""Pixels of the height of a plot of differences."""
LABEL_COLUMNS, LABEL_PIXELS = 44, 330
_ROWS = alt.Scale(paddingOuter=0.4)


def interval_chart(
    rows: pd.DataFrame, title: str, *, trusted: bool, seeds: bool, narrow: bool = False
) -> alt.LayerChart:
    """One row a cell: mean, 95 % interval, and small ticks for the seeds. `rows`: of view.in_order."""
    rows = rows.assign(row=_unique_labels(rows["label"]))
    colour = ACCENT if trusted else GREY
    y, names = _named_rows(rows, "row", narrow=narrow)
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
    layers = [*names, span, point]
    if seeds:
        several = rows[rows["per_seed"].map(len) > 1]
        each = several.explode("per_seed").dropna(subset=["per_seed"])[["row", "per_seed"]]
        layers.append(
            alt.Chart(each.astype({"per_seed": float}))
            .mark_tick(thickness=2, size=8, color=GREY, yOffset=9)
            .encode(x="per_seed:Q", y=y, tooltip=[alt.Tooltip("per_seed:Q", format=".2f", title="one seed")])
        )
    return _layered(layers, _height(rows, narrow=narrow))


def effect_chart(rows: pd.DataFrame, title: str, *, narrow: bool = False) -> alt.LayerChart:
    """One row an effect, with a line at no difference; hollow marks where none is shown. `rows`: of view.effects."""
    y, names = _named_rows(rows, "label", narrow=narrow)
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
    return _layered([zero, *names, span, *points], _height(rows, narrow=narrow))


def auc_chart(rows: pd.DataFrame, *, narrow: bool = False) -> alt.LayerChart:
    """One row a judge and kind of bad answer: AUC with its interval, lines at chance and at the threshold.

    `rows`: label, auc, low, high, trusted, threshold.
    """
    y, names = _named_rows(rows, "label", narrow=narrow)
    colour = alt.condition("datum.trusted", alt.value(ACCENT), alt.value(GREY))
    base = alt.Chart(rows)
    marks = pd.DataFrame({"x": [0.5, float(rows["threshold"].iloc[0])], "what": ["chance", "threshold"]})
    lines = alt.Chart(marks).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    words = alt.Chart(marks).mark_text(dy=-6, baseline="bottom", color=GREY).encode(
        x="x:Q", y=alt.value(0), text="what:N"
    )  # fmt: skip
    title = "AUC" if narrow else "AUC: probability that the reference outscores the bad answer"
    axis = alt.Axis(title=title, tickCount=6)
    span = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", scale=alt.Scale(domain=[0, 1]), axis=axis), x2="high:Q", y=y, color=colour
    )
    point = base.mark_point(size=75, filled=True, opacity=1).encode(
        x="auc:Q", y=y, color=colour, tooltip=["label:N", alt.Tooltip("auc:Q", format=".2f")]
    )
    return _layered([lines, words, *names, span, point], _height(rows, narrow=narrow) + 20)


def cost_chart(rows: pd.DataFrame, cost: str, quality: str) -> alt.LayerChart:
    """A point a cell, filled where it lies on the Pareto front, which is drawn as steps. `rows`: of costs.points."""
    x = alt.X("cost:Q", title=cost, axis=alt.Axis(tickCount=8), scale=alt.Scale(zero=False, padding=20))
    y = alt.Y("mean:Q", title=quality, scale=alt.Scale(zero=False, padding=20))
    tooltip = ["label:N", alt.Tooltip("mean:Q", format=".2f"), alt.Tooltip("cost:Q", format=",.1f", title=cost)]
    front = rows[rows["front"]]
    line = alt.Chart(front).mark_line(color=ACCENT, strokeDash=[4, 3], interpolate="step-after").encode(x=x, y=y)
    base = alt.Chart(rows)
    others = base.transform_filter("!datum.front").mark_point(size=70, color=GREY, strokeWidth=2)
    best = base.transform_filter("datum.front").mark_point(size=90, filled=True, opacity=1, color=ACCENT)
    marks = [mark.encode(x=x, y=y, tooltip=tooltip) for mark in (others, best)]
    return _layered([line, *marks], 340)


def difference_chart(rows: pd.DataFrame, title: str, delta: float, low: float | None, high: float | None) -> Any:
    """How many items differ by how much; the mean difference with its interval above. `rows`: of pairs.differences."""
    counts, edges = np.histogram(rows["delta"], bins=min(40, 5 + len(rows) // 4))
    boxes = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "items": counts, "none": 0})
    bars = (
        alt.Chart(boxes[boxes["items"] > 0])
        .mark_rect(color=ACCENT, opacity=0.75, stroke="white", strokeOpacity=0.35)
        .encode(
            x=alt.X("from:Q", axis=alt.Axis(title=title, tickCount=10)),
            x2="to:Q",
            y=alt.Y("items:Q", title="items", axis=alt.Axis(tickMinStep=1, format="d")),
            y2="none:Q",
            tooltip=[alt.Tooltip("from:Q", format=".2f"), alt.Tooltip("to:Q", format=".2f"), "items:Q"],
        )
    )
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    where = pd.DataFrame({"delta": [delta], "low": [low], "high": [high]}).astype(float)
    mean = alt.Chart(where).mark_point(size=110, filled=True, opacity=1, color=WARM, shape="diamond")
    marks = [bars, zero, mean.encode(x="delta:Q", y=alt.value(8))]
    if low is not None:
        span = alt.Chart(where).mark_rule(strokeWidth=3.5, color=WARM)
        marks.insert(2, span.encode(x="low:Q", x2="high:Q", y=alt.value(8)))
    return _layered(marks, DISTRIBUTION)


def share_chart(shares: pd.DataFrame) -> alt.Chart:
    """Bars of shares in percent, with their figures. `shares`: name, share."""
    base = alt.Chart(shares).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_label_axis()),
        x=alt.X(
            "share:Q",
            title="share of the variance, %",
            scale=alt.Scale(domain=[0, 100]),
            axis=alt.Axis(values=[0, 25, 50, 75, 100]),
        ),
        tooltip=["name:N", alt.Tooltip("share:Q", format=".1f")],
    )
    bars: alt.Chart = base.mark_bar(color=ACCENT, size=16).properties(height=ROW * len(shares) + 60)
    return bars


def loss_chart(rows: pd.DataFrame, x: str, *, validation: bool) -> alt.LayerChart:
    """A line a variant, cells told apart by colour and dash. `rows`: label, variant, step, loss_tokens, loss, kind."""
    cells = list(dict.fromkeys(rows["label"]))
    colour = alt.Color(
        "label:N",
        sort=cells,
        scale=alt.Scale(domain=cells, range=[COLOURS[i % len(COLOURS)] for i in range(len(cells))]),
        legend=alt.Legend(title=None, orient="top", columns=2, labelLimit=430),
    )
    dash = alt.StrokeDash(
        "label:N", sort=cells, legend=None,
        scale=alt.Scale(domain=cells, range=[DASHES[i % len(DASHES)] for i in range(len(cells))]),
    )  # fmt: skip
    title = {"step": "optimizer step", "loss_tokens": "loss-bearing tokens seen"}[x]
    place = {
        "x": alt.X(f"{x}:Q", title=title, axis=alt.Axis(tickCount=8, format="~s")),
        "y": alt.Y("loss:Q", title="loss, nats a token", scale=alt.Scale(zero=False)),
    }
    tooltip = ["variant:N", "kind:N", f"{x}:Q", alt.Tooltip("loss:Q", format=".3f")]
    lines = alt.Chart(rows[rows["kind"] == "training"]).mark_line(strokeWidth=1.8)
    layers = [lines.encode(**place, color=colour, strokeDash=dash, detail="variant:N", tooltip=tooltip)]
    if validation:
        points = alt.Chart(rows[rows["kind"] == "validation"]).mark_point(filled=True, size=60, opacity=1)
        layers.append(points.encode(**place, color=colour, tooltip=tooltip))
    return _layered(layers, 400)


def agreement_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """A square a pair of judges, its figure written in it. `rows`: a, b, alpha (both ways round)."""
    judges = list(dict.fromkeys(rows["a"]))
    base = alt.Chart(rows).encode(
        x=alt.X("a:N", title=None, sort=judges, axis=alt.Axis(labelAngle=-35, labelLimit=160)),
        y=alt.Y("b:N", title=None, sort=judges),
    )
    squares = base.mark_rect().encode(
        color=alt.Color(
            "alpha:Q", legend=None, scale=alt.Scale(domain=[-1, 1], range=["#c77700", "#f2f2f2", "#0072b2"])
        )
    )
    words = base.mark_text(fontSize=14).encode(
        text=alt.Text("alpha:Q", format=".2f"),
        color=alt.condition("abs(datum.alpha) > 0.6", alt.value("white"), alt.value("#222222")),
    )
    side = 64 * len(judges)
    return alt.LayerChart(layer=[squares, words], width=side + 150, height=side + 120)


def histogram_chart(rows: pd.DataFrame) -> alt.Chart:
    """How often each score was given, a panel a judge. `rows`: judge, score, count."""
    bars: alt.Chart = (
        alt.Chart(rows)
        .mark_bar(color=ACCENT)
        .encode(
            x=alt.X("score:O", title="score", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("count:Q", title="verdicts"),
            tooltip=["score:Q", "count:Q"],
        )
        .properties(height=200)
    )
    return bars


def _layered(layers: list[alt.Chart], height: int) -> alt.LayerChart:
    return alt.LayerChart(layer=layers, height=height)


def _named_rows(rows: pd.DataFrame, column: str, *, narrow: bool) -> tuple[alt.Y, list[alt.Chart]]:
    """The axis of rows with a name each; where it is narrow, names stand above their rows, as marks of their own."""
    order = list(rows[column])
    if not narrow:
        return alt.Y(f"{column}:N", sort=order, title=None, axis=_label_axis(), scale=_ROWS), []
    y = alt.Y(f"{column}:N", sort=order, axis=None, scale=_ROWS)
    text = alt.Chart(rows[[column]]).mark_text(align="left", dy=-13, fontSize=12, color=GREY, limit=LABEL_PIXELS)
    return y, [text.encode(x=alt.value(2), y=y, text=f"{column}:N")]


def _height(rows: pd.DataFrame, *, narrow: bool) -> int:
    return (NARROW_ROW if narrow else ROW) * len(rows) + AXIS


def _label_axis() -> alt.Axis:
    whole: dict[str, Any] = {"labelBound": False, "labelFlush": False, "labelOverlap": False}
    return alt.Axis(
        labelLimit=LABEL_PIXELS, labelFontSize=13, labelPadding=8, ticks=False, domain=False, grid=False, **whole
    )


def _unique_labels(labels: pd.Series[str]) -> list[str]:
    """Shortened for the axis; where shortening makes two alike, both stay whole."""
    short = labels.map(lambda text: shorten(text, LABEL_COLUMNS))
    return [s if n == 1 else whole for s, whole, n in zip(short, labels, short.map(short.value_counts()), strict=True)]
