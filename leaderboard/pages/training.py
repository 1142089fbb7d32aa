"""How the variants were trained: loss curves, and the fairness ledger of what each was given and what it cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from harness.records.result import Result
from harness.store import MatrixRun, Store
from leaderboard import view
from leaderboard.outcome import stamp
from leaderboard.session import choose_run, narrow, note, offer, plot, unmarked
from reports.ledger import LedgerRow, budget_notes, cell_budgets, ledger, mixed_arithmetic
from reports.vega import loss_plot
from reports.wording import duration, labels, several

X = {"optimizer steps": "step", "loss-bearing tokens": "loss_tokens"}
AT_FIRST = 5
"""Cells whose curves are drawn before the reader chooses."""
GIB = 2**30


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    st.title("Training")
    rows = _bill(run, store, stamp(run.folder))
    trained = [row for row in rows if row.facts is not None]
    if not trained:
        st.info("No training of this matrix is in the store: its variants are untuned, or only results were published.")
        return
    _curves(result, trained)
    _ledger(result, rows)


@st.cache_resource(max_entries=4, show_spinner="Reading trainings …")
def _bill(_run: MatrixRun, _store: Store, key: tuple[str, ...]) -> tuple[LedgerRow, ...]:
    return ledger(_run, _store, answers=False)


@st.fragment
def _curves(result: Result, rows: list[LedgerRow]) -> None:
    """A fragment, so that a choice draws the curves anew and not the ledger."""
    st.subheader("Loss")
    cells = {row.variant.cell: None for row in rows}
    order = [row.cell for row in result.rows if row.cell in cells] or list(cells)
    names = labels(order)
    by_label = {names[cell.name]: cell.name for cell in order}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    picked = left.multiselect(
        "Cells", list(by_label), default=list(by_label)[:AT_FIRST], key="cells", bind="query-params"
    )
    against = right.selectbox("Against", list(X), key="x", bind="query-params")
    chosen = {by_label[label]: label for label in picked}
    frame = view.curves([row for row in rows if row.variant.cell.name in chosen], chosen)
    if frame.empty:
        st.info("No loss was recorded for these cells." if chosen else "Choose a cell.")
        return
    columns = ["label", "variant", "kind", X[against], "loss"]
    drawn = loss_plot(view.records(frame[columns].round({"loss": 4})), X[against], narrow=narrow())
    plot(drawn, "Training loss of the chosen cells")
    points = " Points: loss on the validation part." if (frame["kind"] == "validation").any() else ""
    st.caption(
        f"Training loss on loss-bearing tokens, smoothed over a twentieth of the steps, a line a seed.{points} Where"
        " maskings differ, losses are means over different tokens: compare their shapes, not their heights. A click in"
        " the legend brings one cell to the fore."
    )
    offer(f"{result.matrix}-loss", lambda: frame, drawn)


def _ledger(result: Result, rows: tuple[LedgerRow, ...]) -> None:
    st.subheader("What each variant was given")
    notes = budget_notes(result.effects, rows)
    if notes:
        note("Budgets differ.", notes, kind="warning")
    elif len(cell_budgets(rows)) > 1:
        st.caption("Compared cells were given the same steps, examples and loss-bearing tokens, within 10 %.")
    if mixed := mixed_arithmetic(rows):
        note("Machines differ.", (mixed,), kind="warning")
    frame = view.ledger_frame(rows)
    names = labels(dict.fromkeys(row.variant.cell for row in rows if row.facts is not None))
    shown = pd.DataFrame(
        {
            "variant": [_named(row, names) for row in rows if row.facts is not None],
            "steps": frame["steps"],
            "loss_tokens": frame["loss_tokens"],
            "tokens_seen": frame["tokens_seen"],
            "trained": frame["trained_parameters"] / 1e6,
            "first": frame["first_loss"],
            "last": frame["last_loss"],
            "validation": frame["validation_loss"].astype(float),
            "seconds": frame["train_seconds"],
            "memory": frame["peak_memory_bytes"] / GIB,
            "cut": frame["truncated"] + frame["dropped"],
        }
    )
    number = st.column_config.NumberColumn
    config = {
        "variant": st.column_config.TextColumn("Variant", width=320, pinned=not narrow()),
        "steps": number("Steps", format="localized"),
        "loss_tokens": number("Loss-bearing tokens", format="localized"),
        "tokens_seen": number("Tokens seen", format="localized"),
        "trained": number("Trained parameters, M", format="%.1f"),
        "first": number("First loss, nats", format="%.3f"),
        "last": number("Last loss, nats", format="%.3f"),
        "validation": number("Validation loss, nats", format="%.3f"),
        "seconds": number("Training, s", format="%.1f"),
        "memory": number("Peak memory, GiB", format="%.2f"),
        "cut": number("Rows cut or left out", help="Rows that did not fit the longest length."),
    }
    st.dataframe(shown, hide_index=True, column_config=config, placeholder="–",
                 height="content" if len(shown) <= 20 else 600)  # fmt: skip
    st.caption(unmarked(_sentence(rows)))
    offer(f"{result.matrix}-ledger", lambda: frame)


def _named(row: LedgerRow, names: dict[str, str]) -> str:
    fold = f", fold {row.variant.fold}" if row.variant.fold else ""
    return f"{names[row.variant.cell.name]} #{row.variant.seed}{fold}"


def _sentence(rows: tuple[LedgerRow, ...]) -> str:
    facts = [row.facts for row in rows if row.facts is not None]
    took = duration(sum(f.train_seconds for f in facts))
    devices = ", ".join(sorted({row.device for row in rows if row.device}))
    return f"{several(len(facts), 'training')} took {took} in all, on {devices or 'an unknown device'}."
