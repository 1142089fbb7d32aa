"""What plots in Vega-Lite are made of: encodings, axes with a name a row, tooltips, lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.reach import drawn
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
ROWS = {"paddingOuter": 0.4}
SPAN = {"type": "rule", "strokeWidth": 2.5}
LINE = {"type": "rule", "strokeDash": [4, 3], "color": GREY}


def unique_labels(labels: Sequence[str]) -> list[str]:
    """Shortened for the axis; where shortening makes two alike, both stay whole."""
    short = [shorten(text, LABEL_COLUMNS) for text in labels]
    times = Counter(short)
    return [s if times[s] == 1 else whole for s, whole in zip(short, labels, strict=True)]


def values_of(rows: Sequence[Row]) -> Spec:
    """The data of a plot or a layer."""
    return {"values": list(rows)}


def quantity(field: str) -> Spec:
    """The encoding of a number."""
    return {"field": field, "type": "quantitative"}


def named(field: str) -> Spec:
    """The encoding of a name."""
    return {"field": field, "type": "nominal"}


def told(field: str, form: str = "", title: str = "") -> Spec:
    """A line of a tooltip; with a number format its field is a quantity."""
    line = quantity(field) | {"format": form} if form else named(field)
    return line | {"title": title} if title else line


def fitted(field: str, title: str) -> Spec:
    """An axis around the data, without zero."""
    axis = {"title": title, "grid": True, "tickCount": 8}
    return quantity(field) | {"scale": {"zero": False, "nice": True}, "axis": axis}


def with_ends(rows: Sequence[Row], value: str, also: Sequence[float] = ()) -> list[Row]:
    """Rows with `low` and `high`, and where their lines are drawn `from` and `to` (reports.reach)."""
    bars = drawn([(row[value], row["low"], row["high"]) for row in rows], also)
    ends = [{"from": b.low, "to": b.high, "cut_low": b.cut_low, "cut_high": b.cut_high} for b in bars]
    return [{**row, **end} for row, end in zip(rows, ends, strict=True)]


def intervals(x: Spec, y: Spec, colour: Spec) -> list[Spec]:
    """Lines of rows `with_ends`, with arrows where one goes on. `x`: the axis."""
    place = {"y": y, "color": colour}
    lines = {"mark": SPAN, "encoding": place | {"x": x | {"field": "from"}, "x2": {"field": "to"}}}
    arrows = [
        {
            "transform": [{"filter": f"datum.cut_{end}"}],
            "mark": {"type": "point", "filled": True, "opacity": 1, "size": 75, "shape": f"triangle-{way}"},
            "encoding": place | {"x": quantity(field)},
        }
        for end, way, field in (("low", "left", "from"), ("high", "right", "to"))
    ]
    return [lines, *arrows]


def when(test: str) -> Spec:
    """A colour: accented where the test holds, grey elsewhere."""
    return {"condition": {"test": test, "value": ACCENT}, "value": GREY}


def line_at(places: Sequence[float]) -> Spec:
    """Dashed upright lines."""
    return {"data": values_of([{"x": x} for x in places]), "mark": LINE, "encoding": {"x": quantity("x")}}


def layered(layers: Sequence[Spec], height: int) -> Spec:
    """Layers over one another. `height`: pixels."""
    return {"layer": list(layers), "height": height}


def named_rows(rows: Sequence[Row], column: str, *, narrow: bool) -> tuple[Spec, list[Spec]]:
    """The axis of rows with a name each; where it is narrow, names stand above their rows, as marks of their own."""
    y = named(column) | {"sort": [row[column] for row in rows], "title": None, "scale": ROWS}
    if not narrow:
        return y | {"axis": label_axis()}, []
    y |= {"axis": None}
    mark = {"type": "text", "align": "left", "dy": -13, "fontSize": 12, "color": GREY, "limit": LABEL_PIXELS}
    names = values_of([{column: row[column]} for row in rows])
    return y, [{"data": names, "mark": mark, "encoding": {"x": {"value": 2}, "y": y, "text": named(column)}}]


def height_of(rows: Sequence[Row], *, narrow: bool) -> int:
    """Pixels of a plot with a row each."""
    return (NARROW_ROW if narrow else ROW) * len(rows) + AXIS


def label_axis() -> Spec:
    """An axis of names, none of which is left out."""
    return {
        "labelLimit": LABEL_PIXELS, "labelFontSize": 13, "labelPadding": 8, "ticks": False, "domain": False,
        "grid": False, "labelBound": False, "labelFlush": False, "labelOverlap": False,
    }  # fmt: skip
