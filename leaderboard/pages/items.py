"""One test item: its prompt as the model saw it, the answers side by side, what each measure and judge says."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.records.result import MeasureInfo, Result
from harness.store import MatrixRun, Store
from leaderboard import view
from leaderboard.asked import prompt_of
from leaderboard.outcome import stamp
from leaderboard.session import (
    choose_measure,
    choose_run,
    examples_of,
    items_of,
    means_of,
    offer,
    rows_of,
    unmarked,
    verbatim,
)
from leaderboard.spread import spread_among
from reports.wording import LONGEST_SHOWN, figure, labels, measure_label, places_in, shorten, visible

ORDERS = ("cells differ most first", "as in the data")
SIDE_BY_SIDE = 3
"""Columns of responses that stay readable at 1280 pixels."""


def show(root: Path) -> None:
    """Draw the page."""
    store, run, result = choose_run(root)
    measure = choose_measure(result)
    st.title("Items")
    _items(run, store, result, measure)


@st.fragment
def _items(run: MatrixRun, store: Store, result: Result, measure: MeasureInfo) -> None:
    """A fragment, so that going from item to item does not draw the whole app anew."""
    found = items_of(run, store, measure.name, stamp(run.folder))
    if found.empty:
        st.info("The texts of this matrix's items are not in this store: it was published without them.")
        return
    left, middle, right = st.columns([4, 2, 1])
    with left:
        search = st.text_input("Search", key="q", bind="query-params", placeholder="words of instruction or reference")
    with middle:
        order = st.selectbox("Order", ORDERS, key="order", bind="query-params")
    with right:
        seed = _choose_seed(result)
    cells = _choose_cells(result)
    means = means_of(run, store, measure.name, stamp(run.folder))
    found = spread_among(found, means, cells)
    item = _choose_item(found, places_in(result, measure), search or "", order)
    if item is None:
        st.info("No test item matches the search.")
        return
    texts, values = rows_of(run, store, cells)
    answers = _one_seed(texts[texts["example_id"] == item["example_id"]], seed)
    _asked(item, result)
    _prompts(run, store, item, cells)
    plans = {plan.variant.name: plan for plan in run.plan.variants}
    replies = {variant: view.replies(plans[variant], store, item["example_id"]) for variant in answers["variant"]}
    _answers(result, answers, values[values["example_id"] == item["example_id"]], cells, replies)
    _all_cells(result, means, item["example_id"], measure)
    st.caption("Download the responses of the chosen cells to all items:")
    offer(f"{result.matrix}-responses", lambda: texts.merge(found.drop(columns=["spread", "meta"]), on="example_id"))


# ---------------------------------------------------------------- choices


def _choose_cells(result: Result) -> list[str]:
    names = labels(row.cell for row in result.rows)
    by_label = {label: cell for cell, label in names.items()}
    start = list(by_label)[:SIDE_BY_SIDE]
    picked = st.multiselect("Cells", list(by_label), default=start, key="cells", bind="query-params")
    return [by_label[label] for label in picked or start]


def _choose_seed(result: Result) -> int | None:
    seeds = sorted({seed for row in result.rows for seed in row.seeds})
    if len(seeds) < 2:
        return seeds[0] if seeds else None
    picked = st.selectbox("Seed", [str(s) for s in seeds], key="seed", bind="query-params")
    return int(picked)


def _one_seed(answers: pd.DataFrame, seed: int | None) -> pd.DataFrame:
    """Each cell's answer under the seed; a cell without it (an untuned model) shows its first."""
    ranked = answers.assign(other=answers["seed"] != seed).sort_values("other", kind="stable")
    return ranked.drop_duplicates("cell")


def _choose_item(found: pd.DataFrame, decimals: int, search: str, order: str) -> pd.Series[Any] | None:
    kept = view.matching(found, search)
    if order == ORDERS[0]:
        kept = kept.sort_values("spread", ascending=False, na_position="last", kind="stable")
    ids = list(kept["example_id"])
    if not ids:
        return None
    _keep_item(ids)
    by_id = kept.set_index("example_id", drop=False)
    _item_row(ids, titles_of(kept, decimals))
    chosen: pd.Series[Any] = by_id.loc[st.session_state["item"]]
    return chosen


def _keep_item(ids: list[str]) -> None:
    """The item of this session, else of the link, else the first; the link always names it."""
    wanted = st.session_state.get("item") or st.query_params.get("item")
    st.session_state["item"] = wanted if wanted in ids else ids[0]
    st.query_params["item"] = st.session_state["item"]


def titles_of(found: pd.DataFrame, decimals: int) -> dict[str, str]:
    """Example id -> a line that names the item: position, start of the instruction, spread."""
    titles = {}
    for row in view.records(found[["example_id", "position", "instruction", "spread"]]):
        said = shorten(visible(" ".join(row["instruction"][:400].split())), 90)
        spread = "" if row["spread"] is None else f"  (spread {figure(row['spread'], decimals)})"
        titles[row["example_id"]] = f"{row['position']}. {said}{spread}"
    return titles


def _item_row(ids: list[str], titles: dict[str, str]) -> None:
    back, pick, forward = st.columns([1, 8, 1], vertical_alignment="bottom")
    position = ids.index(st.session_state["item"])
    back.button("Previous", width="stretch", disabled=position == 0, on_click=_go, args=(ids[max(0, position - 1)],))
    last = len(ids) - 1
    following = ids[min(last, position + 1)]
    forward.button("Next", width="stretch", disabled=position == last, on_click=_go, args=(following,))

    pick.selectbox(f"Item {position + 1} of {len(ids)}", ids, format_func=titles.__getitem__, key="item")


def _go(example_id: str) -> None:
    st.session_state["item"] = example_id


# ---------------------------------------------------------------- the item


def _asked(item: pd.Series[Any], result: Result) -> None:
    if result.audit is not None and item["example_id"] in result.audit.leaked:
        st.badge("also stands in train", color="orange")
    left, right = st.columns(2)
    with left:
        verbatim("Instruction", item["instruction"])
        if item["input"]:
            verbatim("Input", item["input"])
    with right:
        verbatim("Reference", item["reference"])


def _prompts(run: MatrixRun, store: Store, item: pd.Series[Any], cells: list[str]) -> None:
    """The prompt under each chosen style, each once."""
    with st.expander("The prompt as the models saw it"):
        example = examples_of(run, store, stamp(run.folder))[item["example_id"]]
        seen = set()
        for plan in run.plan.variants:
            variant = plan.variant
            if variant.cell.name in cells and (variant.model, variant.prompt_style) not in seen:
                seen.add((variant.model, variant.prompt_style))
                text = prompt_of(run, store, plan, example)
                title = unmarked(f"{variant.prompt_style}, {variant.model}")
                if text is None:
                    st.caption(f"{title}: its style or chat template is not in this store; `harness preview` shows it.")
                else:
                    verbatim(title, text)


def _answers(
    result: Result,
    answers: pd.DataFrame,
    values: pd.DataFrame,
    cells: list[str],
    replies: dict[str, list[tuple[str, str]]],
) -> None:
    names = labels(row.cell for row in result.rows)
    st.subheader("Responses")
    for start in range(0, len(cells), SIDE_BY_SIDE):
        row = cells[start : start + SIDE_BY_SIDE]
        for column, cell in zip(st.columns(SIDE_BY_SIDE), row, strict=False):
            with column.container(border=True, height="stretch"):
                mine = answers[answers["cell"] == cell]
                if len(mine):
                    answer = mine.iloc[0]
                    _answer(names[cell], answer, result, values[values["variant"] == answer["variant"]])
                    _replies(replies[answer["variant"]])
                else:
                    st.markdown(f"**{unmarked(names[cell])}**")
                    st.caption("No response in the store.")


def _answer(label: str, answer: pd.Series[Any], result: Result, values: pd.DataFrame) -> None:
    seed = "" if pd.isna(answer["seed"]) else f" #{int(answer['seed'])}"
    st.markdown(f"**{unmarked(label + seed)}**")
    st.code(visible(answer["text"], LONGEST_SHOWN) or "(empty)", language=None, wrap_lines=True)
    st.caption(ending_words(answer["finish_reason"], int(answer["tokens"])))
    by_measure = {row["measure"]: row for _, row in values.iterrows()}
    lines = "".join(_score_line(m, by_measure.get(m.name), places_in(result, m)) for m in result.measures)
    st.html(f"<table style='width:100%;border-collapse:collapse;font-size:.875rem'>{lines}</table>")


def ending_words(reason: str, tokens: int) -> str:
    """How a response ended; of one that was made elsewhere that, and often its length, is not known."""
    counted = f"{tokens} tokens" if tokens else "tokens not counted"
    if reason == "unknown":
        return f"{counted}, how it ended is not known"
    ending = "cut off at the longest length" if reason == "length" else "ended by itself"
    return f"{tokens} tokens, {ending}"


def _replies(replies: list[tuple[str, str]]) -> None:
    """Each judge's reply, unread."""
    if replies:
        with st.expander("What the judges replied"):
            for judge, text in replies:
                verbatim(unmarked(judge), text)


def _all_cells(result: Result, means: pd.DataFrame, example_id: str, measure: MeasureInfo) -> None:
    """Every cell's value on the item, best first."""
    if example_id not in means.index:
        return
    names = labels(row.cell for row in result.rows)
    row: pd.Series[float] = means.T[example_id].dropna()
    row = row.sort_values(ascending=not measure.higher_is_better)
    table = pd.DataFrame({"cell": [names.get(str(cell), str(cell)) for cell in row.index], "value": row.to_numpy()})
    st.subheader("Every cell on this item")
    st.caption(f"Means over seeds on {unmarked(measure.label)}, best first: {len(table)} cells with a score.")
    value = st.column_config.NumberColumn(f"{measure.label}, {measure.unit}", format=f"%.{places_in(result, measure)}f")
    config = {"cell": st.column_config.TextColumn("Cell", width="large"), "value": value}
    st.dataframe(table, hide_index=True, column_config=config, height="content" if len(table) <= 15 else 400)


def _score_line(measure: MeasureInfo, row: pd.Series[Any] | None, decimals: int) -> str:
    """One measure's value on the response, or why there is none; greyed for an untrusted judge."""
    if row is None:
        said = "–"
    elif row["outcome"] == "scored":
        said = figure(float(row["value"]), decimals)
    else:
        said = f"{row['outcome']}: {visible(row['reason'], 200)}"
    style = "" if measure.trusted else "color:#8a9199;font-style:italic"
    right = "padding:2px 0;border:0;text-align:right;font-variant-numeric:tabular-nums"
    return (
        f"<tr style='{style}'><td style='padding:2px 8px 2px 0;border:0'>{escape(measure_label(measure))}</td>"
        f"<td style='{right}'>{escape(said)}</td></tr>"
    )
