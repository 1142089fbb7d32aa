"""Plots as Vega-Lite specifications: plain dicts with their rows inside, for the leaderboard, report.html, PNG and SVG.

Meaning never rests on colour alone: marks are filled or hollow, lines differ in dashes, tooltips give figures. Rows are
mappings of JSON values; a missing figure is None. Every specification is Vega-Lite 6, https://vega.github.io/vega-lite/.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.vega_parts import (
    ACCENT,
    AXIS,
    COLOURS,
    DASHES,
    GREY,
    LINE,
    ROW,
    ROWS,
    SPAN,
    WARM,
    Row,
    Spec,
    fitted,
    height_of,
    intervals,
    label_axis,
    layered,
    line_at,
    named,
    named_rows,
    quantity,
    told,
    unique_labels,
    values_of,
    when,
    with_ends,
)  # fmt: skip

CURVE = 260
"""Pixels that a plot of a curve is high."""
_SOLID = {"type": "point", "size": 75, "filled": True, "opacity": 1}
_HOLLOW = {"type": "point", "size": 75, "filled": False, "strokeWidth": 2, "color": GREY}


def interval_plot(rows: Sequence[Row], title: str, *, trusted: bool, seeds: bool, narrow: bool = False) -> Spec:
    """One row a cell: mean, 95 % interval, and small ticks for the seeds.

    `rows`: label, cell, mean, low, high, ranks, unscored, per_seed; cells without a mean keep their place.
    """
    rows = [{**row, "row": name} for row, name in zip(rows, unique_labels([r["label"] for r in rows]), strict=True)]
    y, names = named_rows(rows, "row", narrow=narrow)
    colour = ACCENT if trusted else GREY
    drawn = [
        {k: v for k, v in row.items() if k not in ("per_seed", "label")} for row in rows if row["mean"] is not None
    ]
    tooltip = [
        told("cell"), told("mean", ".2f"), told("low", ".2f", "95 % from"), told("high", ".2f", "to"),
        told("ranks"), told("unscored"),
    ]  # fmt: skip
    point = _SOLID | {"filled": trusted, "color": colour, "strokeWidth": 2}
    means = {"mark": point, "encoding": {"x": quantity("mean"), "y": y, "tooltip": tooltip}}
    seen = [seed for row in rows for seed in row["per_seed"]]
    spans = intervals(fitted("from", title), y, {"value": colour})
    layers = [*names, {"data": values_of(with_ends(drawn, "mean", seen)), "layer": [*spans, means]}]
    ticks = [{"row": r["row"], "seed": s} for r in rows if len(r["per_seed"]) > 1 for s in r["per_seed"]]
    if seeds and ticks:
        mark = {"type": "tick", "thickness": 2, "size": 8, "color": GREY, "yOffset": 9}
        place = {"x": quantity("seed"), "y": y, "tooltip": [told("seed", ".2f", "one seed")]}
        layers.append({"data": values_of(ticks), "mark": mark, "encoding": place})
    return layered(layers, height_of(rows, narrow=narrow))


def measures_plot(rows: Sequence[Row], measures: Sequence[str], *, cells: int) -> Spec:
    """`interval_plot` of several measures, of which the reader chooses one; highest first.

    `rows`: measure (one of `measures`), label, mean, low, high, ranks, unscored, per_seed.
    """
    known = list(dict.fromkeys(row["label"] for row in rows))
    unique = dict(zip(known, unique_labels(known), strict=True))
    drawn = [
        {k: v for k, v in row.items() if k != "per_seed"} | {"row": unique[row["label"]]}
        for measure in measures
        for row in with_ends([each for each in rows if each["measure"] == measure], "mean")
    ]
    ticks = [{"measure": r["measure"], "row": unique[r["label"]], "seed": s} for r in rows for s in r["per_seed"]]
    chosen = [{"filter": "datum.measure == measure"}]
    y = named("row") | {"title": None, "axis": label_axis(), "scale": ROWS}
    y |= {"sort": {"field": "mean", "op": "max", "order": "descending"}}
    tooltip = [
        told("label", title="cell"), told("mean", ".2f"), told("low", ".2f", "95 % from"), told("high", ".2f", "to"),
        told("ranks"), told("unscored"),
    ]  # fmt: skip
    span = intervals(fitted("from", "mean, 95 % interval"), y, {"value": ACCENT})
    point = {"mark": _SOLID | {"color": ACCENT}, "encoding": {"x": quantity("mean"), "y": y, "tooltip": tooltip}}
    layers: list[Spec] = [{"data": values_of(drawn), "transform": chosen, "layer": [*span, point]}]
    if ticks:
        mark = {"type": "tick", "thickness": 2, "size": 8, "color": GREY, "yOffset": 9}
        place = {"x": quantity("seed"), "y": y, "tooltip": [told("seed", ".2f", "one seed")]}
        layers.append({"data": values_of(ticks), "transform": chosen, "mark": mark, "encoding": place})
    choice = {
        "name": "measure",
        "value": measures[0],
        "bind": {"input": "select", "options": list(measures), "name": "Measure"},
    }
    return layered(layers, ROW * cells + AXIS) | {"params": [choice]}


def effect_plot(rows: Sequence[Row], title: str, *, narrow: bool = False) -> Spec:
    """One row an effect, with a line at no difference; hollow marks where none is shown.

    `rows`: label, delta, low, high, p, mde, verdict, shown.
    """
    y, names = named_rows(rows, "label", narrow=narrow)
    tooltip = [
        told("label"), told("delta", "+.2f"), told("low", "+.2f", "95 % from"), told("high", "+.2f", "to"),
        told("p", ".3g", "p, adjusted"),
        told("mde", ".2f", "could have seen"), told("verdict"),
    ]  # fmt: skip
    span = intervals(quantity("from") | {"axis": {"title": title, "tickCount": 8}}, y, when("datum.shown"))
    place = {"x": quantity("delta"), "y": y, "tooltip": tooltip}
    solid = {"transform": [{"filter": "datum.shown"}], "mark": _SOLID | {"color": ACCENT}, "encoding": place}
    hollow = {"transform": [{"filter": "!datum.shown"}], "mark": _HOLLOW, "encoding": place}
    effects = {"data": values_of(with_ends(rows, "delta", [0.0])), "layer": [*span, solid, hollow]}
    return layered([line_at([0.0]), *names, effects], height_of(rows, narrow=narrow))


def curve_plot(band: Sequence[Row], levels: Sequence[Row], x: str, title: str, *, log: bool) -> Spec:
    """A fitted curve in its band, and each value that was tried with its own interval; a line at no difference.

    Rows of both: x, difference, low, high.
    """
    ticks = {"values": [row["x"] for row in levels], "format": "~g"} if log else {"tickCount": 8}
    across = quantity("x") | {"axis": {"title": x} | ticks, "scale": {"type": "log" if log else "linear"}}
    up = quantity("difference") | {"axis": {"title": title, "tickCount": 6}}
    ends = {"x": across, "y": quantity("low"), "y2": {"field": "high"}}
    tooltip = [
        told("x", "g", x),
        told("difference", "+.2f"),
        told("low", "+.2f", "95 % from"),
        told("high", "+.2f", "to"),
    ]
    fit = {
        "data": values_of(band),
        "layer": [
            {"mark": {"type": "area", "color": ACCENT, "opacity": 0.2}, "encoding": ends},
            {"mark": {"type": "line", "color": ACCENT}, "encoding": {"x": across, "y": up}},
        ],
    }
    tried = {
        "data": values_of(levels),
        "layer": [
            {"mark": SPAN | {"color": WARM, "strokeWidth": 1.5}, "encoding": ends},
            {"mark": _SOLID | {"color": WARM}, "encoding": {"x": across, "y": up, "tooltip": tooltip}},
        ],
    }
    none = {"data": values_of([{"y": 0}]), "mark": LINE, "encoding": {"y": quantity("y")}}
    return layered([none, fit, tried], CURVE)


def auc_plot(rows: Sequence[Row], threshold: float, *, narrow: bool = False) -> Spec:
    """One row a judge and kind of bad answer: AUC with its interval, lines at chance and at the threshold.

    `rows`: label, auc, low, high, trusted.
    """
    y, names = named_rows(rows, "label", narrow=narrow)
    lines = values_of([{"x": 0.5, "what": "chance"}, {"x": threshold, "what": "threshold"}])
    word = {"type": "text", "dy": -6, "baseline": "bottom", "color": GREY}
    marks = [
        {"data": lines, "mark": LINE, "encoding": {"x": quantity("x")}},
        {"data": lines, "mark": word, "encoding": {"x": quantity("x"), "y": {"value": 0}, "text": named("what")}},
    ]
    title = "AUC" if narrow else "AUC: probability that the reference outscores the bad answer"
    x = quantity("low") | {"scale": {"domain": [0, 1]}, "axis": {"title": title, "tickCount": 6}}
    colour = when("datum.trusted")
    span = {"mark": SPAN, "encoding": {"x": x, "x2": {"field": "high"}, "y": y, "color": colour}}
    place = {"x": quantity("auc"), "y": y, "color": colour, "tooltip": [told("label"), told("auc", ".2f")]}
    judges = {"data": values_of(rows), "layer": [span, {"mark": _SOLID, "encoding": place}]}
    return layered([*marks, *names, judges], height_of(rows, narrow=narrow) + 20)


def cost_plot(rows: Sequence[Row], cost: str, quality: str) -> Spec:
    """A point a cell, filled where it lies on the Pareto front, which is drawn as steps.

    `rows`: label, mean, cost, front; cheapest first.
    """
    place = {
        "x": quantity("cost") | {"title": cost, "axis": {"tickCount": 8}, "scale": {"domainMin": 0, "padding": 20}},
        "y": quantity("mean") | {"title": quality, "scale": {"zero": False, "padding": 20}},
    }
    tooltip = {"tooltip": [told("label"), told("mean", ".2f"), told("cost", ",.1f", cost)]}
    on_front = [{"filter": "datum.front"}]
    line = {"type": "line", "color": ACCENT, "strokeDash": [4, 3], "interpolate": "step-after"}
    best = _SOLID | {"size": 90, "color": ACCENT}
    layers = [
        {"transform": on_front, "mark": line, "encoding": place},
        {"transform": [{"filter": "!datum.front"}], "mark": _HOLLOW, "encoding": place | tooltip},
        {"transform": on_front, "mark": best, "encoding": place | tooltip},
    ]
    return layered(layers, 340) | {"data": values_of(rows)}


def difference_plot(boxes: Sequence[Row], title: str, delta: float, low: float | None, high: float | None) -> Spec:
    """How many items differ by how much; the mean difference with its interval above. `boxes`: from, to, items."""
    bars = {
        "data": values_of([{**box, "none": 0} for box in boxes]),
        "mark": {"type": "rect", "color": ACCENT, "opacity": 0.75, "stroke": "white", "strokeOpacity": 0.35},
        "encoding": {
            "x": quantity("from") | {"axis": {"title": title, "tickCount": 10}},
            "x2": {"field": "to"},
            "y": quantity("items") | {"title": "items", "axis": {"tickMinStep": 1, "format": "d"}},
            "y2": {"field": "none"},
            "tooltip": [told("from", ".2f"), told("to", ".2f"), told("items")],
        },
    }
    above = {"value": 8}
    mean = {"type": "point", "size": 110, "filled": True, "opacity": 1, "color": WARM, "shape": "diamond"}
    marks: list[Spec] = [{"mark": mean, "encoding": {"x": quantity("delta"), "y": above}}]
    if low is not None:
        span = {"type": "rule", "strokeWidth": 3.5, "color": WARM}
        marks.insert(0, {"mark": span, "encoding": {"x": quantity("low"), "x2": {"field": "high"}, "y": above}})
    where = {"data": values_of([{"delta": delta, "low": low, "high": high}]), "layer": marks}
    return layered([bars, line_at([0.0]), where], 280)


def share_plot(rows: Sequence[Row]) -> Spec:
    """Bars of shares in percent. `rows`: name, share."""
    x = quantity("share") | {
        "title": "share of the variance, %",
        "scale": {"domain": [0, 100]},
        "axis": {"values": [0, 25, 50, 75, 100]},
    }
    y = named("name") | {"sort": None, "title": None, "axis": label_axis()}
    tooltip = [told("name"), told("share", ".1f")]
    return {
        "data": values_of(rows),
        "mark": {"type": "bar", "color": ACCENT, "size": 16},
        "encoding": {"x": x, "y": y, "tooltip": tooltip},
        "height": ROW * len(rows) + 60,
    }


def loss_plot(rows: Sequence[Row], x: str, *, narrow: bool = False) -> Spec:
    """A line a variant, cells told apart by colour and dash; points: validation.

    A click on the legend dims the other cells. `rows`: label, variant, kind, `x` (step or loss_tokens), loss.
    """
    cells = list(dict.fromkeys(row["label"] for row in rows))
    colours = {"domain": cells, "range": [COLOURS[i % len(COLOURS)] for i in range(len(cells))]}
    dashes = {"domain": cells, "range": [DASHES[(i + i // len(COLOURS)) % len(DASHES)] for i in range(len(cells))]}
    room = {"columns": 1, "labelLimit": 215} if narrow else {"columns": 2, "labelLimit": 430, "columnPadding": 24}
    legend = {"title": None, "orient": "top", "symbolType": "stroke"} | room
    title = {"step": "optimizer step", "loss_tokens": "loss-bearing tokens seen"}[x]
    place = {
        "x": quantity(x) | {"title": title, "axis": {"tickCount": 8, "tickMinStep": 1, "format": "~s"}},
        "y": quantity("loss") | {"title": "loss, nats a token", "scale": {"zero": False}},
        "color": named("label") | {"sort": cells, "scale": colours, "legend": legend},
        "opacity": {"condition": {"param": "cell", "value": 1}, "value": 0.12},
    }
    tooltip = {"tooltip": [told("variant"), told("kind"), told(x, ","), told("loss", ".3f")]}
    dash = {"strokeDash": named("label") | {"sort": cells, "legend": None, "scale": dashes}}
    lines = {
        "params": [{"name": "cell", "select": {"type": "point", "fields": ["label"]}, "bind": "legend"}],
        "transform": [{"filter": "datum.kind == 'training'"}],
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": place | dash | {"detail": named("variant")} | tooltip,
    }
    points = {
        "transform": [{"filter": "datum.kind == 'validation'"}],
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": place | tooltip,
    }
    return layered([lines, points], 400) | {"data": values_of(rows)}


def agreement_plot(rows: Sequence[Row]) -> Spec:
    """A square a pair of judges, its figure written in it. `rows`: a, b, alpha (both ways round)."""
    judges = list(dict.fromkeys(row["a"] for row in rows))
    place = {
        "x": named("a") | {"title": None, "sort": judges, "axis": {"labelAngle": -35, "labelLimit": 160}},
        "y": named("b") | {"title": None, "sort": judges},
    }
    scale = {"domain": [-1, 1], "range": ["#c77700", "#f2f2f2", "#0072b2"]}
    dark = {"condition": {"test": "abs(datum.alpha) > 0.6", "value": "white"}, "value": "#222222"}
    word = {"text": quantity("alpha") | {"format": ".2f"}, "color": dark}
    side = 64 * len(judges)
    layers: list[Spec] = [
        {"mark": "rect", "encoding": place | {"color": quantity("alpha") | {"legend": None, "scale": scale}}},
        {"mark": {"type": "text", "fontSize": 14}, "encoding": place | word},
    ]
    return layered(layers, side + 120) | {"width": side + 150, "data": values_of(rows)}


def histogram_plot(rows: Sequence[Row]) -> Spec:
    """How often each score was given. `rows`: score, count."""
    return {
        "data": values_of(rows),
        "mark": {"type": "bar", "color": ACCENT},
        "encoding": {
            "x": {"field": "score", "type": "ordinal", "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": quantity("count") | {"title": "verdicts"},
            "tooltip": [told("score"), told("count")],
        },
        "height": 200,
    }
