"""The interactive plots of report.html, as Vega-Lite; where no script runs, and on paper, charts.py's stand there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from harness.records.result import Curve, Result
from reports import vega
from reports.charts import smoothed
from reports.ledger import LedgerRow
from reports.vega_parts import Spec
from reports.wording import axis_name, labels, measure_label, ranks

CURVE_POINTS = 120
"""Points drawn of a loss curve at most."""


def page_plots(result: Result, ledger: Sequence[LedgerRow]) -> dict[str, Spec]:
    """Id of its place -> plot; what has nothing to show is left out."""
    plots = {"board-plot": _board(result), "effects-plot": _effects(result), "loss-plot": _losses(result, ledger)}
    plots |= {f"curve-plot-{number}": effect_curve(curve, result) for number, curve in enumerate(result.curves)}
    return {place: spec for place, spec in plots.items() if spec is not None}


def as_json(plots: Mapping[str, Spec]) -> Markup:
    """For a script element of data: no text in it can end the element."""
    text = json.dumps(plots, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704 - no markup is left in it


def _board(result: Result) -> Spec | None:
    """Intervals of every cell on a measure that the reader chooses."""
    names = labels(row.cell for row in result.rows)
    shown = {m.name: measure_label(m) for m in result.measures}
    rows = [
        {
            "measure": shown[score.measure],
            "label": names[row.cell.name],
            "mean": score.mean,
            "low": score.interval.low if score.interval else None,
            "high": score.interval.high if score.interval else None,
            "ranks": ranks(score),
            "unscored": score.unscored,
            "per_seed": score.per_seed if len(score.per_seed) > 1 else (),
        }
        for row in result.rows
        for score in row.scores
        if score.mean is not None
    ]
    if not rows:
        return None
    primary = shown[result.primary]
    options = [primary, *(name for name in shown.values() if name != primary)]
    return vega.measures_plot(rows, options, cells=len(result.rows))


def _effects(result: Result) -> Spec | None:
    info = next((m for m in result.measures if m.name == result.primary), None)
    rows = [
        {
            "label": f"{axis_name(e.axis)}: {e.a} − {e.b}",
            "delta": e.comparison.delta,
            "low": e.comparison.interval.low if e.comparison.interval else None,
            "high": e.comparison.interval.high if e.comparison.interval else None,
            "p": e.comparison.p_adjusted,
            "mde": e.comparison.mde,
            "verdict": e.comparison.verdict,
            "shown": e.comparison.verdict in ("better", "worse"),
        }
        for e in result.effects
        if e.measure == result.primary
    ]
    return vega.effect_plot(rows, f"difference in {info.label} points") if rows and info else None


def effect_curve(curve: Curve, result: Result) -> Spec:
    """How an axis of numbers acts on a measure; its lowest value stands against itself, without chance."""
    info = next(m for m in result.measures if m.name == curve.measure)
    band, levels = (
        [
            {
                "x": point.x,
                "difference": point.difference,
                "low": point.interval.low if point.interval else point.difference,
                "high": point.interval.high if point.interval else point.difference,
            }
            for point in points
        ]
        for points in (curve.fitted, curve.levels)
    )
    title = f"against the lowest, {info.label} points"
    return vega.curve_plot(band, levels, axis_name(curve.axis), title, log=curve.log)


def _losses(result: Result, ledger: Sequence[LedgerRow]) -> Spec | None:
    names = labels(row.cell for row in result.rows)
    rows = []
    for bill in ledger:
        label = names.get(bill.variant.cell.name)
        if label is None:
            continue
        same = {"label": label, "variant": bill.variant.name}
        smooth = smoothed([point.loss for point in bill.curve], max(1, len(bill.curve) // 20))
        stride = max(1, len(smooth) // CURVE_POINTS)
        for point, loss in list(zip(bill.curve, smooth, strict=True))[::stride]:
            rows.append(same | {"step": point.step, "kind": "training", "loss": round(loss, 4)})
        for point in bill.curve:
            if point.validation_loss is not None:
                rows.append(same | {"step": point.step, "kind": "validation", "loss": point.validation_loss})
    return vega.loss_plot(rows, "step") if rows else None
