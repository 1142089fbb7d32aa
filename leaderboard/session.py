"""What every page shares: the store, the chosen matrix, frames kept between reruns, foreign text shown safely."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from html import escape
from pathlib import Path

import pandas as pd
import streamlit as st

from harness.errors import HarnessError
from harness.records.result import Result
from harness.store import MatrixRun, Store
from leaderboard import view
from reports.wording import visible


@st.cache_data
def store_root(argv: tuple[str, ...]) -> Path:
    """The store named after `--` on Streamlit's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("runs"))
    root: Path = parser.parse_known_args(argv)[0].store
    return root


def stamp(run: MatrixRun) -> tuple[str, int]:
    """Changes when the run's comparison is written anew: the key of everything kept about it."""
    path = run.folder / "comparison.json"
    return str(path), path.stat().st_mtime_ns


@st.cache_resource(max_entries=8, show_spinner="Reading responses and scores …")
def frames(_run: MatrixRun, _store: Store, key: tuple[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(responses, values) of a run; shared between sessions, never to be changed in place."""
    return view.responses(_run, _store), view.values(_run, _store)


def choose_run(root: Path) -> tuple[Store, MatrixRun, Result]:
    """The run named in the link, or the newest. Where there is none, says so and ends the page."""
    try:
        store = Store(root)
        runs = store.matrices()
    except HarnessError as e:
        st.title("Leaderboard")
        note("This store cannot be read", [str(e)], kind="warning")
        st.stop()
    done = view.finished(runs)
    if not done:
        nothing_yet(root, runs)
    names = {f"{run.name} ({run.digest[:12]})": run for run in done}
    chosen = next(iter(names))
    if len(names) > 1:
        chosen = st.sidebar.selectbox("Matrix", list(names), key="matrix", bind="query-params")
    run = names[chosen]
    assert run.result is not None  # noqa: S101 - `finished` keeps only those
    return store, run, run.result


def nothing_yet(root: Path, runs: list[MatrixRun]) -> None:
    """Say what to type to get a leaderboard, and end the page."""
    st.title("No results yet")
    if runs:
        planned = ", ".join(run.name for run in runs)
        st.text(f"The store {root} holds a matrix without a finished comparison: {planned}. To go on with it:")
    else:
        st.text(f"The store {root} holds no matrix. To fill it, run one:")
    st.code(f"harness run matrix.yaml --store {root}", language="bash")
    st.text("Then reload this page.")
    st.stop()


# ---------------------------------------------------------------- foreign text


def note(title: str, sentences: Iterable[str], kind: str = "answer") -> None:
    """A box of sentences that are not ours: escaped, never read as Markdown. `kind`: answer, warning or plain."""
    colour = {"answer": "#0068a8", "warning": "#c77700", "plain": "#8a9199"}[kind]
    first, *rest = (escape(visible(s)) for s in sentences)
    strong = "font-weight:600;font-size:1.1rem;line-height:1.45" if kind == "answer" else ""
    more = "".join(f"<div style='margin-top:.35rem'>{s}</div>" for s in rest)
    head = f"<b style='margin-right:.5em'>{escape(title)}</b>" if title else ""
    st.html(
        f"<div style='border-left:4px solid {colour};background:{colour}14;border-radius:6px;padding:.8rem 1.1rem;"
        f"overflow-wrap:anywhere'><div style='{strong}'>{head}{first}</div>{more}</div>"
    )


def unmarked(text: str) -> str:
    """Foreign text for a label that Streamlit reads as Markdown (help, captions): every special character escaped."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|~$:&" else c for c in " ".join(visible(text).split()))
