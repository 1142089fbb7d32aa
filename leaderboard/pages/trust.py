"""Can the judges be trusted: what they said of answers whose worth is known, their biases, and what they cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.records.result import Result
from harness.store import MatrixRun, Store
from leaderboard import view
from leaderboard.outcome import stamp
from leaderboard.session import choose_run, narrow, note, offer, plot, unmarked
from reports.judge_sections import contest_sections
from reports.people import people_sections
from reports.trust_table import findings
from reports.vega import agreement_plot, auc_plot, histogram_plot
from reports.wording import labels

PROBES = {"reference": "the reference", "other_reference": "another item's reference", "empty": "an empty answer"}


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    st.title("Judges")
    ranks = any(m.ranks and not m.trusted for m in result.measures)
    place = "ranks all the same, as the matrix wishes." if ranks else "left out of the ranking and of the answer."
    st.caption(
        "Each judge also scored answers of known worth, made from the test set itself. A judge that cannot tell them "
        f"apart is marked untrusted and {place}"
    )
    frame = view.trust(result)
    if frame.empty:
        st.info("No judge took part in this matrix.")
        return
    for _, row in frame.iterrows():
        kind = "plain" if row["trusted"] else "warning"
        word = "trusted" if row["trusted"] else "untrusted"
        note(f"{row['judge']}: {word}.", [row["reason"]], kind=kind)
    st.subheader("Reference against bad answers")
    points = _points(frame)
    if not points.empty:
        drawn = auc_plot(view.records(points), frame["threshold"].iloc[0], narrow=narrow())
        plot(drawn, "How well each judge tells the reference from bad answers")
        offer(f"{result.matrix}-auc", drawn=drawn)
    st.subheader("Mean score of each probe")
    st.dataframe(_probe_table(frame), hide_index=True, column_config=_columns(), height="content", placeholder="–")
    offer(f"{result.matrix}-judges", lambda: frame)
    _biases(result)
    _agreement(result)
    _scales(result)
    _tables(result)
    _costs(run, store)


def _biases(result: Result) -> None:
    """Injections, length, repeats, order, of the judges that these were measured of."""
    measured = {report.judge: lines for report in result.trust if (lines := findings(report))}
    if measured:
        st.subheader("Noise and biases")
        for judge, lines in measured.items():
            with st.expander(unmarked(judge), expanded=len(measured) == 1):
                st.html(view.bullets(lines))


def _agreement(result: Result) -> None:
    rows = view.agreement(result)
    if rows.empty:
        return
    st.subheader("Do the judges agree?")
    drawn = agreement_plot(view.records(rows))
    plot(drawn, "Agreement of each pair of judges", width="content")
    st.caption("Krippendorff's alpha on the variants' answers: 1 is full agreement, 0 what chance gives.")
    offer(f"{result.matrix}-agreement", lambda: rows, drawn)


def _scales(result: Result) -> None:
    used = [report for report in result.trust if report.scale_use is not None and report.scale_use.histogram]
    if not used:
        return
    st.subheader("Which scores they give")
    columns = st.columns(min(2, len(used)))
    for place, report in enumerate(used):
        use = report.scale_use
        assert use is not None  # noqa: S101 - chosen so above
        rows = [each.model_dump() for each in use.histogram]
        drawn = histogram_plot(rows)
        with columns[place % len(columns)]:
            st.caption(
                f"{unmarked(report.judge)}: {use.distinct} different scores, the commonest in {use.heaping:.0%} of its"
                " verdicts."
            )
            plot(drawn, f"Scores that {report.judge} gave")
            offer(f"{result.matrix}-{report.judge}-scores", partial(pd.DataFrame, rows), drawn)


def _tables(result: Result) -> None:
    """Strengths over many pairs of cells, and what people's ratings say."""
    cells = labels(row.cell for row in result.rows)
    for section in (*contest_sections(result), *people_sections(result.people, cells)):
        st.subheader(unmarked(section.title))
        st.dataframe(pd.DataFrame(section.rows, columns=list(section.header)), hide_index=True, height="content")
        for text in section.notes:
            st.caption(unmarked(text))


def _costs(run: MatrixRun, store: Store) -> None:
    frame = _bill(run, store, stamp(run.folder))
    if frame.empty:
        return
    st.subheader("What they took")
    money = frame["dollars"].dropna()
    said = f"{money.sum():.2f} US dollars" if len(money) else "no price is known"
    st.caption(f"{frame['calls'].sum():,} calls in all; {said}.")
    number = st.column_config.NumberColumn
    config = {
        "judge": st.column_config.TextColumn("Judge"),
        "calls": number("Calls", format="localized"),
        "retries": number("Retries", format="localized"),
        "failed": number("No reply", format="localized"),
        "tokens_in": number("Tokens in", format="localized"),
        "tokens_out": number("Tokens out", format="localized"),
        "seconds": number("Time, s", format="%.1f"),
        "dollars": number("Cost, US$", format="%.4f"),
    }
    st.dataframe(frame, hide_index=True, column_config=config, height="content", placeholder="–")


@st.cache_resource(max_entries=4, show_spinner=False)
def _bill(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> pd.DataFrame:
    return view.judge_bill(_run, _store)


def _points(frame: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "label": f"{row['judge']}: against {PROBES[kind]}",
            "auc": row[f"auc_{kind}"],
            "low": row[f"auc_{kind}_low"],
            "high": row[f"auc_{kind}_high"],
            "trusted": row["trusted"],
            "threshold": row["threshold"],
        }
        for _, row in frame.iterrows()
        for kind in ("other_reference", "empty")
    ]
    return pd.DataFrame(rows).dropna(subset=["auc"])


def _probe_table(frame: pd.DataFrame) -> pd.DataFrame:
    means = [f"{probe}_mean" for probe in PROBES if f"{probe}_mean" in frame]
    unscored = frame[[column for probe in PROBES if (column := f"{probe}_unscored") in frame]].sum(axis=1)
    return frame[["judge", *means]].assign(unscored=unscored).astype({m: float for m in means})


def _columns() -> dict[str, Any]:
    config: dict[str, Any] = {
        f"{probe}_mean": st.column_config.NumberColumn(name.capitalize(), format="%.2f")
        for probe, name in PROBES.items()
    }
    return config | {
        "judge": st.column_config.TextColumn("Judge"),
        "unscored": st.column_config.NumberColumn("Unscored", help="Of these: no readable verdict."),
    }
