"""What every page shares: the store, the chosen matrix, rows kept between reruns, foreign text shown safely."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st

from harness.errors import HarnessError
from harness.records.data import Example
from harness.records.plan import VariantPlan
from harness.records.result import MeasureInfo, Result
from harness.store import MatrixRun, Store
from leaderboard import view
from leaderboard.outcome import outcome, stamp
from leaderboard.progress import progress
from leaderboard.spread import cell_means, spread_of
from reports.pictures import png, svg
from reports.samples import test_examples
from reports.vega_parts import Spec
from reports.wording import LONGEST_SHOWN, measure_label, visible

MOST_TOLD = 10
"""How many troubles of an unfinished run are told where there is no leaderboard yet."""


@st.cache_data
def store_root(argv: tuple[str, ...]) -> Path:
    """The store named after `--` on Streamlit's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("runs"))
    root: Path = parser.parse_known_args(argv)[0].store
    return root


@st.cache_resource(max_entries=8, show_spinner="Reading the comparison …")
def matrix(_store: Store, folder: Path, key: tuple[str, ...]) -> MatrixRun | None:
    """A matrix of the store, read once until its files change; shared between sessions."""
    return outcome(_store, folder)


def open_store(root: Path) -> tuple[Store, list[Path]]:
    """The store and the folders of its matrices, newest first. Says so and ends the page where it cannot be read."""
    try:
        store = Store(root)
        return store, store.matrix_folders()
    except HarnessError as e:
        st.title("Leaderboard")
        note("This store cannot be read", [str(e)], kind="warning")
        st.stop()


def choose_run(root: Path) -> tuple[Store, MatrixRun, Result]:
    """The run named in the link, or the newest. Where there is none, says so and ends the page."""
    store, folders = open_store(root)
    done = {run_name(folder): folder for folder in folders if (folder / "comparison.json").exists()}
    if not done:
        nothing_yet(root, store, folders)
    chosen = next(iter(done))
    if len(done) > 1:
        chosen = st.sidebar.selectbox("Matrix", list(done), key="matrix", bind="query-params")
    run = matrix(store, done[chosen], stamp(done[chosen]))
    if run is None or run.result is None:
        st.title(unmarked(chosen))
        said = "Another version of this program wrote it, or it is damaged; `harness run` writes it anew."
        note("This comparison cannot be read.", [said], kind="warning")
        st.stop()
    return store, run, run.result


def run_name(folder: Path) -> str:
    """`name (digest)` of a matrix, from its folder's name."""
    name, _, digest = folder.name.rpartition("-")
    return f"{name} ({digest})"


def nothing_yet(root: Path, store: Store, folders: list[Path]) -> None:
    """Say what to type to get a leaderboard, and what stood in the way so far; ends the page."""
    st.title("No results yet")
    if folders:
        planned = ", ".join(run_name(folder) for folder in folders)
        st.text(f"The store {root} holds a matrix without a finished comparison: {planned}. To go on with it:")
    else:
        st.text(f"The store {root} holds no matrix. To fill it, run one:")
    st.code(f"harness run matrix.yaml --store {shlex.quote(str(root))}", language="bash")
    st.text("Then reload this page.")
    for folder in folders:
        run = matrix(store, folder, stamp(folder))
        troubles = progress(run, store).troubles if run is not None else ()
        if troubles:
            note(f"{run_name(folder)} could not make:", ["", *troubles[:MOST_TOLD]], kind="warning")
    st.stop()


# ---------------------------------------------------------------- rows, kept between reruns


@st.cache_resource(max_entries=512, show_spinner=False)
def _rows(
    _run: MatrixRun, _store: Store, _plan: VariantPlan, key: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return view.responses([_plan], _store), view.values([_plan], _store, _run.result)


def rows_of(run: MatrixRun, store: Store, cells: Iterable[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(responses, values) of all seeds of some cells, by name; a variant's are read once."""
    wanted, key = set(cells), stamp(run.folder)
    plans = [plan for plan in run.plan.variants if plan.variant.cell.name in wanted]
    found = [_rows(run, store, plan, (*key, plan.variant.name)) for plan in plans]
    if not found:
        return view.responses([], store), view.values([], store)
    texts, values = zip(*found, strict=True)
    return pd.concat(texts, ignore_index=True), pd.concat(values, ignore_index=True)


@st.cache_resource(max_entries=16, show_spinner="Reading scores …")
def means_of(_run: MatrixRun, _store: Store, measure: str, key: tuple[str, ...]) -> pd.DataFrame:
    """(items, cells): each cell's mean over seeds; not to be changed in place."""
    return cell_means(_run, _store, measure)


@st.cache_resource(max_entries=4, show_spinner="Reading items …")
def examples_of(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> dict[str, Example]:
    """The test part by id, in source order."""
    return {example.id: example for example in test_examples(_run, _store)}


@st.cache_resource(max_entries=16, show_spinner=False)
def items_of(_run: MatrixRun, _store: Store, measure: str, key: tuple[str, ...]) -> pd.DataFrame:
    """The test items with their spread on a measure (view.ITEM_COLUMNS); not to be changed in place."""
    spread = spread_of(means_of(_run, _store, measure, key))
    return view.items(examples_of(_run, _store, key).values(), spread)


# ---------------------------------------------------------------- shared choices


def choose_measure(result: Result, *, beside: bool = False) -> MeasureInfo:
    """A measure, in the link: the primary one first. `beside`: on the page instead of in the sidebar."""
    measures = sorted(result.measures, key=lambda m: (m.name != result.primary, not m.trusted))
    names = {measure_label(m): m for m in measures}
    with st.container(width=320) if beside else st.sidebar:
        picked = st.selectbox("Measure", list(names), key="measure", bind="query-params")
    return names[picked]


def narrow() -> bool:
    """Whether the reader's browser says that it is a phone's."""
    return "Mobi" in st.context.headers.get("User-Agent", "")


def plot(spec: Spec, said: str, *, width: Literal["stretch", "content"] = "stretch") -> None:
    """Draw a plot. `said`: what it shows, for whoever has it read out."""
    st.vega_lite_chart(spec, width=width, alt=said)


def offer(name: str, frame: Callable[[], pd.DataFrame] | None = None, drawn: Spec | None = None) -> None:
    """Buttons that download a table as CSV and Parquet, a plot as PNG and SVG; each is made when its button is pressed.

    `name`: of the files.
    """
    kinds: list[tuple[str, str, Callable[[], str | bytes]]] = []
    if frame is not None:
        kinds += [
            ("CSV", "text/csv", lambda: view.csv(frame())),
            ("Parquet", "application/vnd.apache.parquet", lambda: frame().to_parquet(index=False)),
        ]
    if drawn is not None:
        kinds += [("PNG", "image/png", lambda: png(drawn)), ("SVG", "image/svg+xml", lambda: svg(drawn))]
    row = st.container(horizontal=True)
    for kind, mime, made in kinds:
        ending = kind.lower()
        row.download_button(kind, made, f"{name}.{ending}", mime, on_click="ignore", key=f"{name}-{ending}", width=110)


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


def verbatim(title: str, text: str) -> None:
    """Foreign text as it is, in a box that copies it; what a reader cannot see is made visible."""
    st.caption(title)
    st.code(visible(text, LONGEST_SHOWN) or "(empty)", language=None, wrap_lines=True)


def unmarked(text: str) -> str:
    """Foreign text for a label that Streamlit reads as Markdown (help, captions): every special character escaped."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|~$:&" else c for c in " ".join(visible(text).split()))
