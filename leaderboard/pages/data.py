"""The data: how it was cut, and what the audit found in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from harness.records.data import AuditFinding, AuditSummary
from harness.records.result import Result
from harness.records.seal import DataFacts
from harness.store import MatrixRun, Store
from leaderboard import view
from leaderboard.outcome import stamp
from leaderboard.session import choose_run, note, offer, unmarked
from reports.samples import sealed_rows


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    st.title("Data")
    seal = store.sealed(run.plan.data)
    facts = seal.facts if seal and isinstance(seal.facts, DataFacts) else None
    parts = {} if facts is None else {name: n for name, n in facts.parts.items() if n}
    cut = ", ".join(f"{n:,} {name}" for name, n in parts.items())
    said = f"{result.data_name}: {cut}." if parts else f"{result.data_name}: {result.n_test} test items."
    st.caption(unmarked(said))
    if result.audit is None:
        st.info("This matrix was run without an audit. To look at its data now:")
        st.code("harness data audit matrix.yaml", language="bash")
    else:
        _summary(result.audit)
        _findings(run, store, result)
    if facts is not None and facts.bad_rows:
        st.subheader("Broken rows, left out")
        st.html(view.bullets(facts.bad_rows))


def _summary(audit: AuditSummary) -> None:
    kind = "warning" if audit.leaked else "plain"
    note("", audit.sentences or ("The audit has nothing to report.",), kind=kind)
    if len(audit.languages) > 1:
        st.subheader("Languages")
        frame = pd.DataFrame({"Language": list(audit.languages), "Entries": list(audit.languages.values())})
        st.dataframe(frame, hide_index=True, height="content")


@st.fragment
def _findings(run: MatrixRun, store: Store, result: Result) -> None:
    """A fragment, so that a choice draws the findings anew and nothing else."""
    frame = _frame(run, store, stamp(run.folder))
    if frame.empty:
        return
    st.subheader("Findings")
    kinds = list(dict.fromkeys(frame["kind"]))
    picked = st.segmented_control("Kind", ["all", *kinds], default="all", key="kind", bind="query-params")
    kept = frame if picked in (None, "all") else frame[frame["kind"] == picked]
    config = {
        "kind": st.column_config.TextColumn("Kind"),
        "entry": st.column_config.TextColumn("Entry", help="Part and position, both counted from 0."),
        "others": st.column_config.TextColumn("Repeats or shares with"),
        "similarity": st.column_config.NumberColumn("Similarity, 0–1", format="%.3f"),
        "detail": st.column_config.TextColumn("What", width="large"),
    }
    st.dataframe(kept.drop(columns=["example_id", "row"]), hide_index=True, column_config=config, placeholder="–",
                 height="content" if len(kept) <= 15 else 500)  # fmt: skip
    st.caption(f"{len(kept)} of {len(frame)} findings. Findings are reported; what was dropped is said above.")
    offer(f"{result.matrix}-audit", lambda: kept)


@st.cache_resource(max_entries=4, show_spinner=False)
def _frame(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> pd.DataFrame:
    found: list[AuditFinding] = sealed_rows(_store, _run.plan.audit, AuditFinding)
    return view.findings(found)
