"""Can the judges be trusted: what they said of answers whose worth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from leaderboard import charts, view
from leaderboard.session import choose_run, note

PROBES = {"reference": "the reference", "other_reference": "another item's reference", "empty": "an empty answer"}


def show(root: Path) -> None:
    """Draw the page."""
    _, _, result = choose_run(root)
    st.title("Judges")
    st.caption(
        "Each judge also scored answers of known worth, made from the test set itself. A judge that cannot tell them "
        "apart is marked untrusted and left out of the ranking and of the answer."
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
        st.altair_chart(charts.auc_chart(points), width="stretch")
    st.subheader("Mean score of each probe")
    st.dataframe(_probe_table(frame), hide_index=True, column_config=_columns(), height="content", placeholder="–")
    st.download_button("Download as CSV", frame.to_csv(index=False), f"{result.matrix}-judges.csv", "text/csv",
                       on_click="ignore")  # fmt: skip


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
    unscored = frame[[c for c in frame.columns if c.endswith("_unscored")]].sum(axis=1)
    return frame[["judge", *means]].assign(unscored=unscored).astype({m: float for m in means})


def _columns() -> dict[str, Any]:
    config: dict[str, Any] = {
        f"{probe}_mean": st.column_config.NumberColumn(name.capitalize(), format="%.2f")
        for probe, name in PROBES.items()
    }
    return config | {
        "judge": st.column_config.TextColumn("Judge"),
        "unscored": st.column_config.NumberColumn("Unscored", help="Probe answers without a readable verdict."),
    }
