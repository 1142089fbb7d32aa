"""The result as Markdown, for a pull request or a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.result import BoardRow, CellScore, MeasureInfo, Result
from reports.judge_sections import judge_sections
from reports.ledger import LedgerRow, budget_notes, cut_rows, mixed_arithmetic, versions_of
from reports.markdown_table import escape, table
from reports.sections import section_markdown
from reports.wording import (
    axis_name,
    count,
    data_audit,
    duration,
    figure,
    gibibytes,
    labels,
    measure_label,
    narrower,
    p_value,
    places_in,
    ranks,
    shared_levels,
    signed,
    span,
    variance_shares,
    verdict,
)


def report_markdown(result: Result, ledger: Sequence[LedgerRow], further: Sequence[str] = ()) -> str:
    """report.md: answer, leaderboard, effects, judges, `further` sections, ledger, failures, provenance."""
    sections = [
        f"# {escape(result.matrix)}",
        "\n".join(
            f"- {'**' if i == 0 else ''}{escape(s)}{'**' if i == 0 else ''}" for i, s in enumerate(result.answer)
        ),
        "\n>\n".join(f"> **Beware:** {escape(w)}" for w in result.warnings),
        "## Leaderboard",
        _leaderboard(result),
        escape(data_audit(result)),
        _failed(result),
        _section("## Effects", _effects(result)),
        _section("## Interactions", _interactions(result)),
        _section("## Where chance comes from", _variances(result)),
        _section("## Judges", _judges(result)),
        *(section_markdown(section, 3) for section in judge_sections(result)),
        *further,
        _section("## What each variant was given", _ledger(result, ledger)),
        "## Provenance",
        _provenance(result, ledger),
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def _section(title: str, body: str) -> str:
    return f"{title}\n\n{body}" if body else ""


def _leaderboard(result: Result) -> str:
    names = labels(row.cell for row in result.rows)
    measures = sorted(result.measures, key=lambda m: (not m.primary, not m.trusted))
    header = ["cell", "ranks", "seeds", *(escape(measure_label(m)) for m in measures)]
    decimals = {m.name: places_in(result, m) for m in measures}
    rows = [_board_cells(row, names, measures, decimals) for row in result.rows]
    shared = shared_levels(row.cell for row in result.rows)
    note = (
        f"{escape(result.data_name)}, {result.n_test} test items. Mean over items and seeds [95 % interval]; "
        f"ranks are those that the data cannot exclude." + (f" All rows: {escape(shared)}." if shared else "")
    )
    return f"{table(header, rows)}\n\n{note}"


def _board_cells(
    row: BoardRow, names: dict[str, str], measures: Sequence[MeasureInfo], decimals: dict[str, int]
) -> list[str]:
    scores = {s.measure: s for s in row.scores}
    primary = scores.get(measures[0].name) if measures else None
    head = [escape(names[row.cell.name]), ranks(primary) if primary else "–", str(len(row.seeds) or "–")]
    return [*head, *(_score(scores.get(m.name), m, decimals[m.name]) for m in measures)]


def _score(score: CellScore | None, measure: MeasureInfo, decimals: int) -> str:
    if score is None:
        return "–"
    text = f"{figure(score.mean, decimals)} {span(score.interval, decimals)}".strip()
    text = f"*{text}*" if not measure.trusted else text
    return text + (f" ({score.unscored} unscored)" if score.unscored else "")


def _failed(result: Result) -> str:
    return "\n".join(f"- failed: {escape(f.variant)} in {f.stage}: {escape(f.reason)}" for f in result.failed)


def _effects(result: Result) -> str:
    info = {m.name: m for m in result.measures}
    rows = []
    for effect in result.effects:
        c, measure = effect.comparison, info[effect.measure]
        if not (measure.trusted or measure.ranks):
            continue
        decimals = places_in(result, measure)
        rows.append(
            [
                escape(f"{axis_name(effect.axis)}: {effect.a} − {effect.b}"),
                escape(measure_label(measure)),
                f"{signed(c.delta, decimals)} {span(c.interval, decimals)}",
                p_value(c.p_adjusted),
                {"better": escape(effect.a), "worse": escape(effect.b)}.get(c.verdict, verdict(c)),
                figure(c.mde, decimals),
            ]
        )
    header = ["effect", "measure", "difference [95 % interval]", "p (adjusted)", "better", "could have seen"]
    return table(header, rows, left=2) if rows else ""


def _interactions(result: Result) -> str:
    decimals = next((places_in(result, m) for m in result.measures if m.name == result.primary), 1)
    rows = [
        [
            escape(f"{axis_name(i.axis)}: {i.a} − {i.b}"),
            escape(f"{axis_name(i.other_axis)}: {i.c}, {i.d}"),
            signed(i.at_c, decimals),
            signed(i.at_d, decimals),
            f"{signed(i.delta, decimals)} {span(i.interval, decimals)}",
            p_value(i.p_adjusted),
            "yes" if i.shown else "no",
        ]
        for i in result.interactions
    ]
    header = ["effect", "with", "at the first", "at the second", "apart by [95 % interval]", "p (adjusted)", "shown"]
    return table(header, rows, left=2) if rows else ""


def _variances(result: Result) -> str:
    info = {m.name: m for m in result.measures}
    rows = [
        [
            escape(measure_label(info[v.measure])),
            ", ".join(f"{100 * share:.0f} % {name}" for name, share in variance_shares(v)),
            "; ".join(f"{p.what}: {narrower(p)}" for p in v.purchases),
            f"±{figure(v.half_width, places_in(result, info[v.measure]))}",
        ]
        for v in result.variances
    ]
    header = ["measure", "a typical difference varies by", "interval with", "interval today"]
    return table(header, rows, left=3) if rows else ""


def _judges(result: Result) -> str:
    rows = [
        [
            escape(t.judge),
            "yes" if t.trusted else "**no**",
            f"{figure(t.auc_other_reference, 2)} {span(t.interval_other_reference, 2)}",
            f"{figure(t.auc_empty, 2)} {span(t.interval_empty, 2)}",
            escape(t.reason),
        ]
        for t in result.trust
    ]
    header = ["judge", "trusted", "AUC, reference against another item's", "AUC, against an empty answer", "why"]
    return table(header, rows, left=2) if rows else ""


def _ledger(result: Result, ledger: Sequence[LedgerRow]) -> str:
    trained = [(row, row.facts) for row in ledger if row.facts is not None]
    if not trained:
        return ""
    rows = [
        [
            escape(row.variant.name),
            count(f.steps),
            count(f.loss_tokens) + (f" ({cut_rows(f)})" if cut_rows(f) else ""),
            count(f.trained_parameters),
            duration(f.train_seconds),
            gibibytes(f.peak_memory_bytes),
        ]
        for row, f in trained
    ]
    header = ["variant", "steps", "loss-bearing tokens", "trained parameters", "time", "peak memory (GiB)"]
    notes = [f"- Budgets differ, {escape(n)}" for n in budget_notes(result.effects, ledger)]
    notes += [f"- {escape(note)}" for note in [mixed_arithmetic(ledger)] if note]
    return "\n\n".join([table(header, rows), *(["\n".join(notes)] if notes else [])])


def _provenance(result: Result, ledger: Sequence[LedgerRow]) -> str:
    versions = ", ".join(f"{p} {v}" for p, v in versions_of(ledger).items())
    signatures = "\n".join(f"- {escape(m.label)}: `{m.signature.replace('`', chr(39))}`" for m in result.measures)
    return f"Matrix `{result.matrix_digest}`. {escape(versions)}\n\n{signatures}"
