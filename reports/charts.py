"""Charts as inline SVG, drawn here so that the report needs no network and no script. Colours come from the page's CSS.

No meaning rests on colour alone: filled against hollow marks, dashes, and figures written beside each interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from harness.records.result import Interval
from reports.reach import Drawn, drawn
from reports.wording import figure, shorten, signed, span

WIDTH, LABELS, FIGURES, ROW, HEAD = 1000, 330, 160, 28, 34
"""Pixels of a forest plot: whole width, label column on the left, figures on the right, a row's height, the axis."""
FONT_COLUMN = 7.6
"""Pixels an average character takes at 13 px."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a forest plot. `solid`: filled (shown, trusted); `dots`: small marks beside it (the seeds)."""

    label: str
    value: float
    low: float | None
    high: float | None
    solid: bool = True
    dots: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Data to pixels, with round ticks that enclose the data."""

    low: float
    high: float
    left: float
    right: float
    ticks: tuple[float, ...] = field(default=())

    def at(self, value: float) -> float:
        """Pixel of a value, two decimals."""
        return round(self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left), 2)


def scale(values: Sequence[float], left: float, right: float, ticks: int = 6) -> Scale:
    """A scale over the values with about `ticks` ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(round(i * step, 10) for i in range(first, last + 1))
    return Scale(marks[0], marks[-1], left, right, marks)


def tick_label(value: float) -> str:
    """`40`, `0.25`: no more decimals than it needs."""
    return f"{value:g}".replace("-", "\u2212")


# ---------------------------------------------------------------- forest plot


def forest(marks: Sequence[Mark], axis: str, *, decimals: int = 1, zero: bool = False) -> Markup:
    """Point and interval a row, figures written beside. `zero`: differences, with a line at no difference."""
    if not marks:
        return Markup("")
    also = [dot for mark in marks for dot in mark.dots] + [0.0] * zero
    bars = drawn([(mark.value, mark.low, mark.high) for mark in marks], also)
    ends = [end for bar in bars for end in (bar.low, bar.high) if end is not None]
    x = scale([*(mark.value for mark in marks), *ends, *also], LABELS + 16, WIDTH - FIGURES - 16)
    height = ROW * len(marks) + HEAD + 18
    rows = (_mark(mark, bar, i, x, decimals, zero) for i, (mark, bar) in enumerate(zip(marks, bars, strict=True)))
    parts = [_grid(x, ROW * len(marks) + 6, zero), *rows]
    parts.append(f'<text class="axis" x="{(x.left + x.right) / 2}" y="{height - 4}">{escape(axis)}</text>')
    said = escape(f"{axis}: " + "; ".join(f"{m.label} {figure(m.value, decimals)}" for m in marks))
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
    return Markup(svg)  # noqa: S704 - every text in it went through escape


def _grid(x: Scale, bottom: float, zero: bool) -> str:
    lines = []
    for tick in x.ticks:
        kind = "zero" if zero and tick == 0 else "grid"
        lines.append(f'<line class="{kind}" x1="{x.at(tick)}" x2="{x.at(tick)}" y1="0" y2="{bottom}"/>')
        lines.append(f'<text class="tick" x="{x.at(tick)}" y="{bottom + 16}">{tick_label(tick)}</text>')
    return "".join(lines)


def _mark(  # noqa: PLR0913 - a row and what all rows share
    mark: Mark, bar: Drawn, index: int, x: Scale, decimals: int, zero: bool
) -> str:
    y = index * ROW + ROW / 2 + 2
    label = shorten(mark.label, int(LABELS / FONT_COLUMN))
    kind = "solid" if mark.solid else "hollow"
    value = signed(mark.value, decimals) if zero else figure(mark.value, decimals)
    parts = [f'<g class="{kind}"><title>{escape(mark.label + " " + mark.note)}</title>']
    parts.append(f'<text class="label" x="{LABELS}" y="{y + 4}">{escape(label)}</text>')
    if mark.low is not None and mark.high is not None and bar.low is not None and bar.high is not None:
        parts.append(f'<line class="bar" x1="{x.at(bar.low)}" x2="{x.at(bar.high)}" y1="{y}" y2="{y}"/>')
        parts += [_arrow(x.at(bar.low), y, -1)] * bar.cut_low + [_arrow(x.at(bar.high), y, 1)] * bar.cut_high
        value += f" {span(Interval(low=mark.low, high=mark.high), decimals)}"
    parts += [f'<circle class="dot" cx="{x.at(d)}" cy="{y + 8}" r="2"/>' for d in mark.dots]
    parts.append(f'<circle class="point" cx="{x.at(mark.value)}" cy="{y}" r="4.5"/>')
    parts.append(f'<text class="figure" x="{WIDTH - 4}" y="{y + 4}">{escape(value)}</text></g>')
    return "".join(parts)


def _arrow(x: float, y: float, way: int) -> str:
    """The interval goes on to the left (-1) or to the right (1)."""
    return f'<path class="arrow" d="M{x} {y - 4.5}l{way * 8} 4.5l{-way * 8} 4.5z"/>'


def interval_bar(mean: float, low: float, high: float, x: Scale) -> Markup:
    """A small interval for a table cell, on the scale that all rows share."""
    left, right = x.at(low), x.at(high)
    svg = (
        f'<svg class="spark" viewBox="0 0 120 14" aria-hidden="true"><line class="rail" x1="0" x2="120" y1="7" y2="7"/>'
        f'<line class="bar" x1="{left}" x2="{right}" y1="7" y2="7"/>'
        f'<circle class="point" cx="{x.at(mean)}" cy="7" r="3.5"/></svg>'
    )
    return Markup(svg)  # noqa: S704 - numbers only


# ---------------------------------------------------------------- loss curves

PANEL, PANEL_HEIGHT = 242, 150
"""Pixels of one small panel; four stand in a row."""
DASHES = ("", "5 3", "1.5 2.5", "8 2 2 2")
"""The seeds of a panel are told apart by dashes."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One training: (step, smoothed loss in nats a token)."""

    label: str
    points: tuple[tuple[float, float], ...]


def smoothed(losses: Sequence[float], window: int) -> tuple[float, ...]:
    """Centred running mean over up to `window` values; as long as the input."""
    half = window // 2
    spans = (losses[max(0, i - half) : i + half + 1] for i in range(len(losses)))
    return tuple(sum(s) / len(s) for s in spans)


def loss_panels(panels: Sequence[tuple[str, Sequence[Curve]]]) -> Markup:
    """A small panel a cell, all on the same axes; a line a seed."""
    points = [p for _, curves in panels for curve in curves for p in curve.points]
    if not points:
        return Markup("")
    rows = math.ceil(len(panels) / 4)
    x = scale([0.0, *(p[0] for p in points)], 34, PANEL - 8, ticks=3)
    y = scale([p[1] for p in points], PANEL_HEIGHT - 24, 26, ticks=4)
    body = "".join(
        f'<g transform="translate({i % 4 * (PANEL + 10)} {i // 4 * (PANEL_HEIGHT + 14)})">{_panel(t, c, x, y)}</g>'
        for i, (t, c) in enumerate(panels)
    )
    height = rows * (PANEL_HEIGHT + 14)
    said = "Training loss by step, a panel a cell"
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">{body}</svg>'
    return Markup(svg)  # noqa: S704 - every text in it went through escape


def _panel(title: str, curves: Sequence[Curve], x: Scale, y: Scale) -> str:
    parts = [f'<title>{escape(title)}</title><text class="panel" x="0" y="12">{escape(shorten(title, 28))}</text>']
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{x.left}" x2="{x.right}" y1="{y.at(tick)}" y2="{y.at(tick)}"/>')
        parts.append(f'<text class="ytick" x="28" y="{y.at(tick) + 4}">{tick_label(tick)}</text>')
    for tick in x.ticks:
        parts.append(f'<text class="tick" x="{x.at(tick)}" y="{PANEL_HEIGHT - 8}">{tick_label(tick)}</text>')
    for i, curve in enumerate(curves):
        path = " ".join(f"{x.at(step)},{y.at(loss)}" for step, loss in curve.points)
        dash = DASHES[i % len(DASHES)]
        parts.append(f'<polyline class="curve" stroke-dasharray="{dash}" points="{path}"/>')
    return "".join(parts)
