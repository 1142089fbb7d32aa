"""The figures of a result as plain rows, and as CSV, JSON and LaTeX (booktabs) files of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.result import Comparison, Interval, Result
from reports.wording import (
    AXES,
    axis_name,
    figure,
    labels,
    measure_label,
    p_value,
    places_in,
    ranks,
    signed,
    span,
    varying_axes,
    verdict,
)

Row = Mapping[str, str | int | float | None]


def files(result: Result) -> dict[str, str]:
    """File name -> its text: leaderboard, effects and pairs, each as CSV, JSON and LaTeX."""
    tables = {"leaderboard": leaderboard(result), "effects": effects(result), "pairs": pairs(result)}
    written = {}
    for name, rows in tables.items():
        written[f"{name}.csv"] = as_csv(rows)
        written[f"{name}.json"] = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    return written | {"leaderboard.tex": latex_leaderboard(result), "effects.tex": latex_effects(result)}


# ---------------------------------------------------------------- rows


def leaderboard(result: Result) -> list[Row]:
    """One row a cell and measure; a missing figure is None. `per_seed`: means, blanks between them."""
    info = {measure.name: measure for measure in result.measures}
    return [
        {
            "cell": row.cell.name,
            **{axis: row.cell.level(axis) for axis in AXES},
            "seeds": len(row.seeds),
            "measure": score.measure,
            "unit": info[score.measure].unit,
            "higher_is_better": info[score.measure].higher_is_better,
            "trusted": info[score.measure].trusted,
            "mean": score.mean,
            **_ends(score.interval),
            "interval_scope": score.interval_scope,
            "rank_low": score.rank_low,
            "rank_high": score.rank_high,
            "per_seed": " ".join(map(str, score.per_seed)),
            "n_items": score.n_items,
            "unscored": score.unscored,
        }
        for row in result.rows
        for score in row.scores
    ]


def effects(result: Result) -> list[Row]:
    """One row an effect of an axis and measure."""
    return [
        {"axis": e.axis, "a": e.a, "b": e.b, "measure": e.measure, "pairs": e.pairs, **_tested(e.comparison)}
        for e in result.effects
    ]


def pairs(result: Result) -> list[Row]:
    """One row a pair of cells and measure."""
    return [{"a": c.a, "b": c.b, "measure": c.measure, **_tested(c)} for c in result.comparisons]


def _tested(c: Comparison) -> dict[str, str | int | float | None]:
    ends = _ends(c.interval)
    return {
        "delta": c.delta,
        **ends,
        "p": c.p,
        "p_adjusted": c.p_adjusted,
        "family": c.family,
        "effect_size": c.effect_size,
        "mde": c.mde,
        "n_items": c.n_items,
        "verdict": c.verdict,
        "method": c.method,
    }


def _ends(interval: Interval | None) -> dict[str, str | int | float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with a header; a missing figure is an empty field, and no text is a formula."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def inert(value: Any) -> Any:
    """The value, or a text that a spreadsheet would run as a formula, with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


# ---------------------------------------------------------------- LaTeX

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "±": r"$\pm$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def escape(text: str) -> str:
    """Foreign text that LaTeX only sets: no command, no mathematics of its own."""
    return re.sub(r"[\\{}$&#%_~^−–±<>]", lambda found: _SPECIAL[found[0]], " ".join(text.split()))


def latex_leaderboard(result: Result) -> str:
    """A booktabs table: ranks, the axes that vary, seeds, each measure with its 95 % interval.

    An untrusted judge stands among them where it ranks.
    """
    shown = [m for m in result.measures if m.trusted or m.ranks]
    axes = varying_axes(row.cell for row in result.rows)
    names = labels(row.cell for row in result.rows)
    head = ["Ranks", *(axis_name(axis).capitalize() for axis in axes or ("cell",)), "Seeds"]
    rows = []
    for row in result.rows:
        scores = {score.measure: score for score in row.scores}
        first = scores.get(result.primary)
        levels = [row.cell.level(axis) or "–" for axis in axes] or [names[row.cell.name]]
        figures = [
            f"{figure(s.mean, places_in(result, m))} {span(s.interval, places_in(result, m))}".strip()
            if (s := scores.get(m.name)) is not None
            else "–"
            for m in shown
        ]
        rows.append([ranks(first) if first else "–", *levels, str(len(row.seeds) or "–"), *figures])
    left_out = ", ".join(m.label for m in result.measures if m not in shown)
    note = f" Untrusted judges are left out: {left_out}." if left_out else ""
    caption = (
        f"{result.matrix}: means over items and seeds with 95 % intervals, {result.n_test} test items. "
        f"Ranks are those that the data cannot exclude.{note}"
    )
    align = "r" + "l" * max(1, len(axes)) + "r" * (1 + len(shown))
    return _table([*head, *(measure_label(m) for m in shown)], rows, align, caption, "leaderboard")


def latex_effects(result: Result) -> str:
    """A booktabs table of the effects on the primary measure."""
    info = next(m for m in result.measures if m.name == result.primary)
    digits = places_in(result, info)
    rows = []
    for e in (e for e in result.effects if e.measure == info.name):
        c = e.comparison
        better = {"better": f"{e.a} better", "worse": f"{e.b} better"}.get(c.verdict, verdict(c))
        gap = f"{signed(c.delta, digits)} {span(c.interval, digits)}".strip()
        rows.append([f"{axis_name(e.axis)}: {e.a} − {e.b}", gap, p_value(c.p_adjusted), better])
    caption = f"{result.matrix}: effects on {measure_label(info)}, in points with 95 % intervals; p corrected."
    return _table(["Choice", "Difference", "p", "Verdict"], rows, "lrrl", caption, "effects")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str, caption: str, label: str) -> str:
    lines = [" & ".join(escape(cell) for cell in row) + r" \\" for row in (head, *rows)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )
