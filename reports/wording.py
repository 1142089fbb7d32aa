"""How figures and foreign text are written for readers: one place, so that terminal, Markdown and HTML agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from harness.records.plan import Plan
from harness.records.result import CellScore, Comparison, Curve, Interval, MeasureInfo, Purchase, Result, VarianceTable
from harness.records.variant import Cell, Variant
from harness.words import decimals, p_words

AXES = tuple(Cell.model_fields)
"""The axes of a cell, in the order in which its name gives them."""
NONE = "–"
"""What stands where there is no value."""
LONGEST_SHOWN = 20_000
"""Characters of a response that a page shows at most."""

_REORDERING = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str, limit: int | None = None) -> str:
    """Foreign text with what a reader cannot see made visible: `⟨U+202E⟩` for bidi marks, `⟨ESC⟩` for ANSI's escape.

    `limit`: characters kept; what was cut off is said at the end.
    """
    cut = text if limit is None else text[:limit]
    shown = _CONTROL.sub(_picture, _REORDERING.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", cut))
    return shown if len(cut) == len(text) else f"{shown} … ({len(text) - len(cut):,} more characters)"


def _picture(match: re.Match[str]) -> str:
    return "⟨ESC⟩" if match[0] == "\x1b" else f"⟨U+{ord(match[0]):04X}⟩"


def shorten(text: str, width: int) -> str:
    """At most `width` columns wide, the middle left out: both ends of a cell's name tell cells apart."""
    if columns(text) <= width:
        return text
    tail = max(1, (width - 1) * 3 // 5)
    return f"{_head(text, max(1, width - 1 - tail))}…{_head(text[::-1], tail)[::-1]}"


def _head(text: str, width: int) -> str:
    """The longest beginning of the text that is at most `width` columns wide."""
    while columns(text) > width:
        text = text[:-1]
    return text


def columns(text: str) -> int:
    """Width in terminal columns: East Asian wide characters count as two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# ---------------------------------------------------------------- figures


def places(measure: MeasureInfo, *known: Interval | None) -> int:
    """Decimals that suit the measure's scale: one for 0–100, two for 1–5, three for 0–1.

    `known`: intervals to be shown; where a scale has no ends, the narrowest tells.
    """
    ends = re.findall(r"\d+(?:\.\d+)?", measure.unit)
    if not ends:
        return max((decimals(each) for each in known if each and each.high > each.low), default=1)
    top = float(ends[-1])
    return 1 if top > 20 else 2 if top > 1 else 3


def places_in(result: Result, measure: MeasureInfo) -> int:
    """Decimals that suit everything that a result says of the measure."""
    if re.search(r"\d", measure.unit):
        return places(measure)
    scores = [score.interval for row in result.rows for score in row.scores if score.measure == measure.name]
    effects = [effect.comparison.interval for effect in result.effects if effect.measure == measure.name]
    return places(measure, *scores, *effects)


def figure(value: float | None, decimals: int = 1) -> str:
    """`41.2`; a dash for None; a true minus sign."""
    return NONE if value is None else _minus(f"{value:.{decimals}f}")


def signed(value: float | None, decimals: int = 1) -> str:
    """`+3.1`, `−0.4`; a dash for None."""
    return NONE if value is None else _minus(f"{value:+.{decimals}f}")


def _minus(text: str) -> str:
    zero = not text.strip("+-0.")
    return text.lstrip("+-") if zero else text.replace("-", "\u2212")


def span(interval: Interval | None, decimals: int = 1) -> str:
    """`[38.0, 44.5]`; empty for None."""
    return "" if interval is None else f"[{figure(interval.low, decimals)}, {figure(interval.high, decimals)}]"


def ranks(score: CellScore) -> str:
    """`1–3`, or `2` where the data leave one rank; a dash for an untrusted measure."""
    if score.rank_low is None or score.rank_high is None:
        return NONE
    low, high = score.rank_low, score.rank_high
    return str(low) if low == high else f"{low}–{high}"


def measure_label(measure: MeasureInfo) -> str:
    """The measure's label, marked where it is an untrusted judge's."""
    return measure.label if measure.trusted else f"{measure.label} (untrusted)"


DESCRIBES = "describes the responses and does not rank: neither more nor less of it is better"


def p_value(p: float | None) -> str:
    """`< 0.001`, `0.021`, `0.43`, as `p_words` has it; a dash for None."""
    return NONE if p is None else p_words(p).removeprefix("p ").removeprefix("= ")


def count(n: int) -> str:
    """`935`, `27,600`, `134.5 M`."""
    return f"{n / 1e6:,.1f} M" if n >= 1_000_000 else f"{n:,}"


def several(n: int, what: str) -> str:
    """`1 cell`, `12 cells`."""
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `4 min 12 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def gibibytes(n: int) -> str:
    """`2.70`: bytes as GiB."""
    return f"{n / 2**30:.2f}"


# ---------------------------------------------------------------- names


def varying_axes(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Axes on which the cells differ, in name order; all that a row of a table must tell."""
    cells = tuple(cells)
    return tuple(a for a in AXES if varies(a, (c.level(a) for c in cells)))


def varies(axis: str, levels: Iterable[str | None]) -> bool:
    """Whether levels (None or a dash: no level) tell cells apart on an axis.

    A training setting that not every cell has is no difference: the masking or the method says that already.
    """
    found = set(levels)
    return len(found if axis in AXES[:4] else found - {None, NONE}) > 1


def labels(cells: Iterable[Cell]) -> dict[str, str]:
    """Cell name -> label without the leading axes that all cells share; a lone cell keeps its whole name."""
    cells = tuple(cells)
    names = {c.name: c.name for c in cells}
    if len({c.model for c in cells}) > 1 or len(cells) < 2:
        return names
    names = {name: name.removeprefix(f"{cells[0].model}/") for name in names}
    if len({c.prompt_style for c in cells}) > 1:
        return names
    return {name: label.removeprefix(f"{cells[0].prompt_style}/") for name, label in names.items()}


def shared_levels(cells: Iterable[Cell]) -> str:
    """`model smollm2-135m, prompt style alpaca`: what `labels` left out; empty if nothing."""
    cells = tuple(cells)
    if len(cells) < 2 or len({c.model for c in cells}) > 1:
        return ""
    said = [f"model {cells[0].model}"]
    if len({c.prompt_style for c in cells}) == 1:
        said.append(f"prompt style {cells[0].prompt_style}")
    return ", ".join(said)


def data_audit(result: Result) -> str:
    """What the audit of the data found, in a line; empty where there was none."""
    if result.audit is None:
        return ""
    return " ".join(("Data audit:", *(result.audit.sentences or ("nothing to report.",))))


def leak_badge(result: Result) -> str:
    """`2 leaked test items`, `no leak found`; empty where nobody looked."""
    if result.audit is None:
        return ""
    n = len(result.audit.leaked)
    return f"{n} leaked test item{'s' if n > 1 else ''}" if n else "no leak found"


def fold_words(variant: Variant, plan: Plan) -> str:
    """Whose answers the figures beside a fold's checkpoint are of; empty without folds."""
    if variant.fold is None:
        return ""
    folds = len({each.variant.fold for each in plan.variants if each.variant.cell == variant.cell})
    return (
        f"The figures are pooled over the checkpoints of {folds} folds, each of which answered its own fold's items:"
        f" this one those of fold {variant.fold} alone. The others were in its training data."
    )


def axis_name(axis: str) -> str:
    """`prompt_style` as a reader sees it."""
    return {"lr": "learning rate", "rank": "adapter rank"}.get(axis, axis.replace("_", " "))


def curve_words(curve: Curve) -> str:
    """What the plot of a curve shows."""
    shape = {1: "a straight line", 2: "a parabola"}[curve.degree] + (" in its logarithm" if curve.log else "")
    rises, bends = (NONE if p is None else p_words(p) for p in (curve.p_slope, curve.p_bend))
    return (
        f"Each value of {axis_name(curve.axis)} against the lowest, with its 95 % interval, and {shape} over all cells,"
        " other axes held still, in a 95 % band that holds for all of it at once."
        f" Rises or falls: {rises}; bends: {bends}; both uncorrected."
    )


def verdict(comparison: Comparison) -> str:
    """The verdict as a reader of the table sees it: `a better`, `b better`, `equivalent within ±2`, or as it is."""
    if comparison.verdict == "equivalent" and comparison.margin is not None:
        return f"equivalent within ±{comparison.margin:g}"
    return {"better": "a better", "worse": "b better"}.get(comparison.verdict, comparison.verdict)


def variance_shares(table: VarianceTable) -> list[tuple[str, float]]:
    """(source of chance, its share) of a typical pair, those that are known."""
    shares = {
        "items": table.items,
        "training seeds": table.seeds,
        "seeds, item by item": table.seeds_by_items,
        "samples": table.samples,
        "judge": table.judge,
    }
    return [(name, share) for name, share in shares.items() if share is not None]


def narrower(purchase: Purchase) -> str:
    """`22 % narrower`."""
    return f"{abs(100 * purchase.shrinks_by):.0f} % {'narrower' if purchase.shrinks_by >= 0 else 'wider'}"
