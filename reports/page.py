"""The result as one self-contained HTML file: no network, no library, model output shown as text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.records.result import BoardRow, CellScore, Comparison, FactorEffect, MeasureInfo, Result
from reports import wording
from reports.charts import Curve, Mark, Scale, forest, interval_bar, loss_panels, smoothed
from reports.judge_sections import judge_sections
from reports.ledger import (
    LedgerRow,
    budget_difference,
    budget_notes,
    cell_budgets,
    cut_rows,
    mixed_arithmetic,
    versions_of,
)
from reports.masks import CSS, LEGEND, CellMask, cards
from reports.page_plots import as_json, page_plots
from reports.pictures import svg
from reports.samples import Sample
from reports.sections import Section
from reports.vega_parts import Spec
from reports.vega_runtime import runtime

CURVE_POINTS = 150
"""Points kept of a loss curve."""


@dataclass(frozen=True, slots=True)
class BoardColumn:
    """A measure's column, and the scale that its interval bars share (the primary's only)."""

    measure: MeasureInfo
    decimals: int
    x: Scale | None


def report_html(
    result: Result,
    ledger: Sequence[LedgerRow],
    samples: Sequence[Sample],
    masks: Sequence[CellMask] = (),
    sections: Sequence[Section] = (),
) -> str:
    """report.html. Everything that a model or a user wrote is escaped; a content security policy forbids the rest."""
    environment = _environment()
    plots = page_plots(result, ledger)
    scripts = [environment.get_template("sort.js.j2").render()]
    if plots:
        scripts += [runtime(), environment.get_template("plots.js.j2").render()]
    columns = board_columns(result)
    return environment.get_template("report.html.j2").render(
        result=result,
        leak_badge=wording.leak_badge(result),
        data_audit=wording.data_audit(result),
        columns=columns,
        primary=columns[0],
        info={c.measure.name: c for c in columns},
        axes=wording.varying_axes(row.cell for row in result.rows),
        labels=wording.labels(row.cell for row in result.rows),
        board_chart=board_chart(result, columns[0]),
        effect_chart=effect_chart(result, columns[0]),
        curves=[
            (f"curve-plot-{number}", wording.axis_name(curve.axis), wording.curve_words(curve), _still(plot))
            for number, curve in enumerate(result.curves)
            if (plot := plots.get(f"curve-plot-{number}"))
        ],
        loss_chart=loss_chart(result, ledger),
        ledger=ledger,
        sections=sections,
        budget_notes=budget_notes(result.effects, ledger),
        mixed_arithmetic=mixed_arithmetic(ledger),
        pairs=pairs(result, ledger, columns),
        samples=samples,
        families=families(result),
        judge_sections=judge_sections(result),
        masks=cards(masks, 0) if masks else "",
        mask_css=Markup(CSS),  # noqa: S704 - our own constant
        mask_legend=LEGEND,
        versions=versions_of(ledger),
        devices=sorted({row.device for row in ledger if row.device}),
        plots=as_json(plots),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files, without any value in them
        scripts_sha256=[_sha256(script) for script in scripts],
    )


def _still(plot: Spec) -> Markup:
    """For paper, and where no script runs."""
    return Markup(svg(plot))  # noqa: S704 - drawn by vl-convert, which escapes texts


def _sha256(script: str) -> str:
    """As a content security policy names a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _environment() -> Environment:
    """Autoescape always: the templates' names end in .j2, which select_autoescape would pass over."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("figure", "signed", "span", "ranks", "p_value", "count", "duration", "gibibytes", "axis_name", "verdict")
    environment.filters |= {name: getattr(wording, name) for name in (*names, "variance_shares", "narrower")}
    environment.filters["visible"] = lambda text: wording.visible(text, wording.LONGEST_SHOWN)
    environment.filters["name"] = breakable
    environment.filters["cut_rows"] = cut_rows
    environment.globals["interval_bar"] = _bar
    return environment


def breakable(text: str) -> Markup:
    """A name that breaks after its slashes, not at the hyphens of its parts, unless a part is long."""
    *heads, tail = text.split("/")
    parts = [*(f"{head}/" for head in heads), tail]
    spans = (Markup('<span class="{}">{}</span>').format("nb" if len(p) <= 30 else "", p) for p in parts)
    return Markup("<wbr>").join(spans)


def _bar(score: CellScore, x: Scale | None) -> Markup:
    if x is None or score.mean is None or score.interval is None:
        return Markup("")
    return interval_bar(score.mean, score.interval.low, score.interval.high, x)


# ---------------------------------------------------------------- what the template shows


def board_columns(result: Result) -> tuple[BoardColumn, ...]:
    """The primary measure first, untrusted ones last."""
    ordered = sorted(result.measures, key=lambda m: (m.name != result.primary, not m.trusted))
    ends = [
        end
        for row in result.rows
        if (s := score_of(row, result.primary)) is not None and s.interval is not None
        for end in (s.interval.low, s.interval.high)
    ]
    x = Scale(min(ends), max(ends), 5, 115) if ends and max(ends) > min(ends) else None
    return tuple(BoardColumn(m, wording.places_in(result, m), x if m.name == result.primary else None) for m in ordered)


def score_of(row: BoardRow, measure: str) -> CellScore | None:
    """The row's score on a measure; None if it has none."""
    return next((s for s in row.scores if s.measure == measure), None)


def board_chart(result: Result, primary: BoardColumn) -> Markup:
    """Forest plot of the cells on the primary measure, a small dot a seed."""
    labels = wording.labels(row.cell for row in result.rows)
    marks = []
    for row in result.rows:
        score = score_of(row, primary.measure.name)
        if score is None or score.mean is None:
            continue
        low, high = (score.interval.low, score.interval.high) if score.interval else (None, None)
        dots = score.per_seed if len(score.per_seed) > 1 else ()
        marks.append(Mark(labels[row.cell.name], score.mean, low, high, dots=dots))
    return forest(marks, f"{primary.measure.label}, {primary.measure.unit}", decimals=primary.decimals)


def effect_chart(result: Result, primary: BoardColumn) -> Markup:
    """Forest plot of the factor effects on the primary measure; hollow where no difference is shown."""
    marks = [_effect_mark(e) for e in result.effects if e.measure == primary.measure.name]
    axis = f"difference in {primary.measure.label} points"
    return forest(marks, axis, decimals=primary.decimals, zero=True)


def _effect_mark(effect: FactorEffect) -> Mark:
    c = effect.comparison
    low, high = (c.interval.low, c.interval.high) if c.interval else (None, None)
    label = f"{wording.axis_name(effect.axis)}: {effect.a} − {effect.b}"
    return Mark(label, c.delta, low, high, solid=c.verdict in ("better", "worse"), note=f"({c.verdict})")


def loss_chart(result: Result, ledger: Sequence[LedgerRow]) -> Markup:
    """A panel a trained cell, in leaderboard order."""
    curves = {row.cell: [_curve(r) for r in ledger if r.variant.cell == row.cell and r.curve] for row in result.rows}
    trained = [cell for cell, found in curves.items() if found]
    labels = wording.labels(trained)
    return loss_panels([(labels[cell.name], curves[cell]) for cell in trained])


def _curve(row: LedgerRow) -> Curve:
    losses = smoothed([r.loss for r in row.curve], max(1, len(row.curve) // 20))
    stride = max(1, len(losses) // CURVE_POINTS)
    points = tuple((float(r.step), loss) for r, loss in zip(row.curve, losses, strict=True))
    return Curve(row.variant.name, points[::stride])


def families(result: Result) -> tuple[str, ...]:
    """What the p of effects and pairs are corrected by, and over how many: `Holm over 66 pairs`."""
    comparisons = (*(effect.comparison for effect in result.effects), *result.comparisons)
    return tuple(dict.fromkeys(c.family for c in comparisons if c.family))


@dataclass(frozen=True, slots=True)
class PairRow:
    """A comparison with the note on its budgets."""

    comparison: Comparison
    budget: str


def pairs(
    result: Result, ledger: Sequence[LedgerRow], columns: Sequence[BoardColumn]
) -> tuple[tuple[BoardColumn, tuple[PairRow, ...]], ...]:
    """All pairs by measure, in the order of the columns."""
    budgets = cell_budgets(ledger)
    return tuple(
        (
            column,
            tuple(
                PairRow(c, budget_difference(c.a, c.b, budgets))
                for c in result.comparisons
                if c.measure == column.measure.name
            ),
        )
        for column in columns
    )
