"""The runs of a store: what was run when, how far a run is that is going on, one run against another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from harness.store import MatrixRun, Store
from leaderboard.outcome import stamp
from leaderboard.progress import Progress, against, progress, run_rows
from leaderboard.session import matrix, note, nothing_yet, offer, open_store, run_name, unmarked
from leaderboard.view import bullets

EVERY = 3.0
"""Seconds between two looks at a run that is going on."""
SHOWN = 30
"""Lines of the store's log."""


def show(root: Path) -> None:
    """Draw the page."""
    store, folders = open_store(root)
    runs = [(folder, run) for folder in folders if (run := matrix(store, folder, stamp(folder))) is not None]
    if not runs:
        nothing_yet(root, store, [])
    st.title("Runs")
    unfinished = sum(run.result is None for _, run in runs)
    more = f", {unfinished} of them not finished" if unfinished else ""
    st.caption(f"{len(runs)} matri{'x' if len(runs) == 1 else 'ces'} in this store{more}, newest first.")
    _table(store, runs)
    for folder, run in runs:
        if run.result is None:
            _going_on(store, folder, run)
    _against(runs)
    _history(store)


def _table(store: Store, runs: list[tuple[Path, MatrixRun]]) -> None:
    frame = run_rows(store, runs)
    config = {
        "matrix": st.column_config.TextColumn("Matrix"),
        "digest": st.column_config.TextColumn("Digest"),
        "planned": st.column_config.DatetimeColumn("Planned, UTC", format="YYYY-MM-DD HH:mm", timezone="UTC"),
        "variants": st.column_config.NumberColumn("Variants"),
        "state": st.column_config.TextColumn("State"),
        "failed": st.column_config.NumberColumn("Failed variants"),
    }
    st.dataframe(frame.drop(columns=["sealed", "stages"]), hide_index=True, column_config=config, height="content",
                 placeholder="–")  # fmt: skip
    offer("runs", lambda: frame)


def _going_on(store: Store, folder: Path, run: MatrixRun) -> None:
    st.subheader(unmarked(f"{run_name(folder)} is not finished"))

    drawn = stamp(folder)
    if (folder / "comparison.json").exists():
        st.warning("Its comparison cannot be read: another version of this program wrote it, or it is damaged.")

    @st.fragment(run_every=EVERY)
    def live() -> None:
        if stamp(folder) != drawn:
            st.rerun()
        _progress(progress(run, store))

    live()


def _progress(found: Progress) -> None:
    st.progress(found.sealed / max(1, found.planned), text=f"{found.sealed} of {found.planned} stages sealed")
    stages = pd.DataFrame(found.stages, columns=["Stage", "Sealed", "Planned"])
    st.dataframe(stages, hide_index=True, height="content")
    if found.troubles:
        note("Could not be made:", ["", *found.troubles], kind="warning")
    if found.under_way:
        st.html(bullets(found.under_way))
    else:
        st.caption("Nothing is being made at this moment; `harness run` goes on where it stopped.")


def _against(runs: list[tuple[Path, MatrixRun]]) -> None:
    done = {run_name(folder): run.result for folder, run in runs if run.result is not None}
    if len(done) < 2:
        return
    st.subheader("One run against another")
    names = list(done)
    left, right = st.columns(2)
    first = left.selectbox("This run", names, key="first", bind="query-params")
    second = right.selectbox("Against", names, index=1, key="second", bind="query-params")
    frame = against(done[first], done[second])
    if first == second or frame.empty:
        st.info("Choose two different runs." if first == second else "These runs share no cell and measure.")
        return
    number = st.column_config.NumberColumn
    config = {
        "cell": st.column_config.TextColumn("Cell", width="medium"),
        "measure": st.column_config.TextColumn("Measure"),
        "here": number("This run", format="%.2f"),
        "there": number("Other run", format="%.2f"),
        "delta": number("This − other, points", format="%+.2f"),
    }
    st.dataframe(frame, hide_index=True, column_config=config, height="content" if len(frame) <= 15 else 500)
    st.caption(
        f"{len(frame)} figures that both runs have. Differences between runs are shown, not tested: put both sides into"
        " one matrix for that."
    )
    offer("runs-compared", lambda: frame)


def _history(store: Store) -> None:
    entries = store.history(SHOWN)
    if entries:
        st.subheader("Made last")
        frame = pd.DataFrame(entries)
        frame["digest"] = frame["digest"].str[:12]
        frame["time"] = frame["time"].str[:19].str.replace("T", " ")
        frame = frame.rename(columns=str.capitalize).rename(columns={"Time": "Time, UTC"})
        st.dataframe(frame, hide_index=True, height=min(400, 38 + 35 * len(frame)))
