"""Plots as Vega-Lite specifications: plain dicts with their rows inside, for the leaderboard, report.html, PNG and SVG.

Meaning never rests on colour alone: marks are filled or hollow, lines differ in dashes, tooltips give figures. Rows are
mappings of JSON values; a missing figure is None. Every specification is Vega-Lite 6, https://vega.github.io/vega-lite/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.wording import shorten

Spec = dict[str, Any]
Row = Mapping[str, Any]

ROW, NARROW_ROW, AXIS = 27, 42, 90
"""Pixels a row, a row with its name above it, and for the axis below."""
ACCENT, GREY, WARM = "#1f83c4", "#8a9199", "#d07a00"
"""Readable on light and on dark."""
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a9199", "#b8a900")
"""Okabe and Ito's colour-blind safe palette (2008); its black and yellow are exchanged, to suit both schemes."""
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
LABEL_COLUMNS, LABEL_PIXELS = 44, 330
_ROWS = {"paddingOuter": 0.4}
_LINE = {"type": "rule", "strokeDash": [4, 3], "color": GREY}
_SPAN = {"type": "rule", "strokeWidth": 2.5}
_SOLID = {"type": "point", "size": 75, "filled": True, "opacity": 1}
_HOLLOW = {"type": "point", "size": 75, "filled": False, "strokeWidth": 2, "color": GREY}


def interval_plot(rows: Sequence[Row], title: str, *, trusted: bool, seeds: bool, narrow: bool = False) -> Spec:
    """One row a cell: mean, 95 % interval, and small ticks for the seeds.

    `rows`: label, cell, mean, low, high, ranks, unscored, per_seed; cells without a mean keep their place.
    """
    rows = [{**row, "row": name} for row, name in zip(rows, unique_labels([r["label"] for r in rows]), strict=True)]
    y, names = _named_rows(rows, "row", narrow=narrow)
    colour = ACCENT if trusted else GREY
    drawn = [
        {k: v for k, v in row.items() if k not in ("per_seed", "label")} for row in rows if row["mean"] is not None
    ]
    tooltip = [
        _told("cell"), _told("mean", ".2f"), _told("low", ".2f", "95 % from"), _told("high", ".2f", "to"),
        _told("ranks"), _told("unscored"),
    ]  # fmt: skip
    span = {
        "mark": _SPAN | {"color": colour},
        "encoding": {"x": _fitted("low", title), "x2": {"field": "high"}, "y": y},
    }
    point = _SOLID | {"filled": trusted, "color": colour, "strokeWidth": 2}
    means = {"mark": point, "encoding": {"x": _quantity("mean"), "y": y, "tooltip": tooltip}}
    layers = [*names, {"data": _values(drawn), "layer": [span, means]}]
    ticks = [{"row": r["row"], "seed": s} for r in rows if len(r["per_seed"]) > 1 for s in r["per_seed"]]
    if seeds and ticks:
        mark = {"type": "tick", "thickness": 2, "size": 8, "color": GREY, "yOffset": 9}
        place = {"x": _quantity("seed"), "y": y, "tooltip": [_told("seed", ".2f", "one seed")]}
        layers.append({"data": _values(ticks), "mark": mark, "encoding": place})
    return _layered(layers, _height(rows, narrow=narrow))


def effect_plot(rows: Sequence[Row], title: str, *, narrow: bool = False) -> Spec:
    """One row an effect, with a line at no difference; hollow marks where none is shown.

    `rows`: label, delta, low, high, p, mde, verdict, shown.
    """
    y, names = _named_rows(rows, "label", narrow=narrow)
    tooltip = [
        _told("label"), _told("delta", "+.2f"), _told("p", ".3g", "p, adjusted"),
        _told("mde", ".2f", "could have seen"), _told("verdict"),
    ]  # fmt: skip
    x = _quantity("low") | {"axis": {"title": title, "tickCount": 8}}
    span = {"mark": _SPAN, "encoding": {"x": x, "x2": {"field": "high"}, "y": y, "color": _when("datum.shown")}}
    place = {"x": _quantity("delta"), "y": y, "tooltip": tooltip}
    solid = {"transform": [{"filter": "datum.shown"}], "mark": _SOLID | {"color": ACCENT}, "encoding": place}
    hollow = {"transform": [{"filter": "!datum.shown"}], "mark": _HOLLOW, "encoding": place}
    effects = {"data": _values(rows), "layer": [span, solid, hollow]}
    return _layered([_line_at([0.0]), *names, effects], _height(rows, narrow=narrow))


def auc_plot(rows: Sequence[Row], threshold: float, *, narrow: bool = False) -> Spec:
    """One row a judge and kind of bad answer: AUC with its interval, lines at chance and at the threshold.

    `rows`: label, auc, low, high, trusted.
    """
    y, names = _named_rows(rows, "label", narrow=narrow)
    lines = _values([{"x": 0.5, "what": "chance"}, {"x": threshold, "what": "threshold"}])
    word = {"type": "text", "dy": -6, "baseline": "bottom", "color": GREY}
    marks = [
        {"data": lines, "mark": _LINE, "encoding": {"x": _quantity("x")}},
        {"data": lines, "mark": word, "encoding": {"x": _quantity("x"), "y": {"value": 0}, "text": _named("what")}},
    ]
    title = "AUC" if narrow else "AUC: probability that the reference outscores the bad answer"
    x = _quantity("low") | {"scale": {"domain": [0, 1]}, "axis": {"title": title, "tickCount": 6}}
    colour = _when("datum.trusted")
    span = {"mark": _SPAN, "encoding": {"x": x, "x2": {"field": "high"}, "y": y, "color": colour}}
    place = {"x": _quantity("auc"), "y": y, "color": colour, "tooltip": [_told("label"), _told("auc", ".2f")]}
    judges = {"data": _values(rows), "layer": [span, {"mark": _SOLID, "encoding": place}]}
    return _layered([*marks, *names, judges], _height(rows, narrow=narrow) + 20)


def cost_plot(rows: Sequence[Row], cost: str, quality: str) -> Spec:
    """A point a cell, filled where it lies on the Pareto front, which is drawn as steps.

    `rows`: label, mean, cost, front; cheapest first.
    """
    place = {
        "x": _quantity("cost") | {"title": cost, "axis": {"tickCount": 8}, "scale": {"zero": False, "padding": 20}},
        "y": _quantity("mean") | {"title": quality, "scale": {"zero": False, "padding": 20}},
    }
    tooltip = {"tooltip": [_told("label"), _told("mean", ".2f"), _told("cost", ",.1f", cost)]}
    on_front = [{"filter": "datum.front"}]
    line = {"type": "line", "color": ACCENT, "strokeDash": [4, 3], "interpolate": "step-after"}
    best = _SOLID | {"size": 90, "color": ACCENT}
    layers = [
        {"transform": on_front, "mark": line, "encoding": place},
        {"transform": [{"filter": "!datum.front"}], "mark": _HOLLOW, "encoding": place | tooltip},
        {"transform": on_front, "mark": best, "encoding": place | tooltip},
    ]
    return _layered(layers, 340) | {"data": _values(rows)}


def difference_plot(boxes: Sequence[Row], title: str, delta: float, low: float | None, high: float | None) -> Spec:
    """How many items differ by how much; the mean difference with its interval above. `boxes`: from, to, items."""
    bars = {
        "data": _values([{**box, "none": 0} for box in boxes]),
        "mark": {"type": "rect", "color": ACCENT, "opacity": 0.75, "stroke": "white", "strokeOpacity": 0.35},
        "encoding": {
            "x": _quantity("from") | {"axis": {"title": title, "tickCount": 10}},
            "x2": {"field": "to"},
            "y": _quantity("items") | {"title": "items", "axis": {"tickMinStep": 1, "format": "d"}},
            "y2": {"field": "none"},
            "tooltip": [_told("from", ".2f"), _told("to", ".2f"), _told("items")],
        },
    }
    above = {"value": 8}
    mean = {"type": "point", "size": 110, "filled": True, "opacity": 1, "color": WARM, "shape": "diamond"}
    marks: list[Spec] = [{"mark": mean, "encoding": {"x": _quantity("delta"), "y": above}}]
    if low is not None:
        span = {"type": "rule", "strokeWidth": 3.5, "color": WARM}
        marks.insert(0, {"mark": span, "encoding": {"x": _quantity("low"), "x2": {"field": "high"}, "y": above}})
    where = {"data": _values([{"delta": delta, "low": low, "high": high}]), "layer": marks}
    return _layered([bars, _line_at([0.0]), where], 280)


def share_plot(rows: Sequence[Row]) -> Spec:
    """Bars of shares in percent. `rows`: name, share."""
    x = _quantity("share") | {
        "title": "share of the variance, %",
        "scale": {"domain": [0, 100]},
        "axis": {"values": [0, 25, 50, 75, 100]},
    }
    y = _named("name") | {"sort": None, "title": None, "axis": _label_axis()}
    tooltip = [_told("name"), _told("share", ".1f")]
    return {
        "data": _values(rows),
        "mark": {"type": "bar", "color": ACCENT, "size": 16},
        "encoding": {"x": x, "y": y, "tooltip": tooltip},
        "height": ROW * len(rows) + 60,
    }


def loss_plot(rows: Sequence[Row], x: str) -> Spec:
    """A line a variant, cells told apart by colour and dash; points: validation.

    A click on the legend dims the other cells. `rows`: label, variant, kind, `x` (step or loss_tokens), loss.
    """
    cells = list(dict.fromkeys(row["label"] for row in rows))
    colours = {"domain": cells, "range": [COLOURS[i % len(COLOURS)] for i in range(len(cells))]}
    dashes = {"domain": cells, "range": [DASHES[i % len(DASHES)] for i in range(len(cells))]}
    legend = {"title": None, "orient": "top", "columns": 2, "labelLimit": 430}
    title = {"step": "optimizer step", "loss_tokens": "loss-bearing tokens seen"}[x]
    place = {
        "x": _quantity(x) | {"title": title, "axis": {"tickCount": 8, "format": "~s"}},
        "y": _quantity("loss") | {"title": "loss, nats a token", "scale": {"zero": False}},
        "color": _named("label") | {"sort": cells, "scale": colours, "legend": legend},
        "opacity": {"condition": {"param": "cell", "value": 1}, "value": 0.12},
    }
    tooltip = {"tooltip": [_told("variant"), _told("kind"), _told(x, ","), _told("loss", ".3f")]}
    dash = {"strokeDash": _named("label") | {"sort": cells, "legend": None, "scale": dashes}}
    lines = {
        "params": [{"name": "cell", "select": {"type": "point", "fields": ["label"]}, "bind": "legend"}],
        "transform": [{"filter": "datum.kind == 'training'"}],
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": place | dash | {"detail": _named("variant")} | tooltip,
    }
    points = {
        "transform": [{"filter": "datum.kind == 'validation'"}],
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": place | tooltip,
    }
    return _layered([lines, points], 400) | {"data": _values(rows)}


def agreement_plot(rows: Sequence[Row]) -> Spec:
    """A square a pair of judges, its figure written in it. `rows`: a, b, alpha (both ways round)."""
    judges = list(dict.fromkeys(row["a"] for row in rows))
    place = {
        "x": _named("a") | {"title": None, "sort": judges, "axis": {"labelAngle": -35, "labelLimit": 160}},
        "y": _named("b") | {"title": None, "sort": judges},
    }
    scale = {"domain": [-1, 1], "range": ["#c77700", "#f2f2f2", "#0072b2"]}
    dark = {"condition": {"test": "abs(datum.alpha) > 0.6", "value": "white"}, "value": "#222222"}
    word = {"text": _quantity("alpha") | {"format": ".2f"}, "color": dark}
    side = 64 * len(judges)
    layers: list[Spec] = [
        {"mark": "rect", "encoding": place | {"color": _quantity("alpha") | {"legend": None, "scale": scale}}},
        {"mark": {"type": "text", "fontSize": 14}, "encoding": place | word},
    ]
    return _layered(layers, side + 120) | {"width": side + 150, "data": _values(rows)}


def histogram_plot(rows: Sequence[Row]) -> Spec:
    """How often each score was given. `rows`: score, count."""
    return {
        "data": _values(rows),
        "mark": {"type": "bar", "color": ACCENT},
        "encoding": {
            "x": {"field": "score", "type": "ordinal", "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": _quantity("count") | {"title": "verdicts"},
            "tooltip": [_told("score"), _told("count")],
        },
        "height": 200,
    }


# ---------------------------------------------------------------- parts


def unique_labels(labels: Sequence[str]) -> list[str]:
    """Shortened for the axis; where shortening makes two alike, both stay whole."""
    short = [shorten(text, LABEL_COLUMNS) for text in labels]
    times = Counter(short)
    return [s if times[s] == 1 else whole for s, whole in zip(short, labels, strict=True)]


def _values(rows: Sequence[Row]) -> Spec:
    return {"values": list(rows)}


def _quantity(field: str) -> Spec:
    return {"field": field, "type": "quantitative"}


def _named(field: str) -> Spec:
    return {"field": field, "type": "nominal"}


def _told(field: str, form: str = "", title: str = "") -> Spec:
    """A line of a tooltip; with a number format its field is a quantity."""
    told = _quantity(field) | {"format": form} if form else _named(field)
    return told | {"title": title} if title else told


def _fitted(field: str, title: str) -> Spec:
    """An axis around the data, without zero."""
    axis = {"title": title, "grid": True, "tickCount": 8}
    return _quantity(field) | {"scale": {"zero": False, "nice": True}, "axis": axis}


def _when(test: str) -> Spec:
    return {"condition": {"test": test, "value": ACCENT}, "value": GREY}


def _line_at(places: Sequence[float]) -> Spec:
    return {"data": _values([{"x": x} for x in places]), "mark": _LINE, "encoding": {"x": _quantity("x")}}


def _layered(layers: Sequence[Spec], height: int) -> Spec:
    return {"layer": list(layers), "height": height}


def _named_rows(rows: Sequence[Row], column: str, *, narrow: bool) -> tuple[Spec, list[Spec]]:
    """The axis of rows with a name each; where it is narrow, names stand above their rows, as marks of their own."""
    y = _named(column) | {"sort": [row[column] for row in rows], "title": None, "scale": _ROWS}
    if not narrow:
        return y | {"axis": _label_axis()}, []
    y |= {"axis": None}
    mark = {"type": "text", "align": "left", "dy": -13, "fontSize": 12, "color": GREY, "limit": LABEL_PIXELS}
    names = _values([{column: row[column]} for row in rows])
    return y, [{"data": names, "mark": mark, "encoding": {"x": {"value": 2}, "y": y, "text": _named(column)}}]


def _height(rows: Sequence[Row], *, narrow: bool) -> int:
    return (NARROW_ROW if narrow else ROW) * len(rows) + AXIS


def _label_axis() -> Spec:
    return {
        "labelLimit": LABEL_PIXELS, "labelFontSize": 13, "labelPadding": 8, "ticks": False, "domain": False,
        "grid": False, "labelBound": False, "labelFlush": False, "labelOverlap": False,
    }  # fmt: skip
