"""Which tokens carried loss: the same training rows under each prompt style and masking policy, side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from leaderboard.session import choose_run, offer
from reports.masks import CSS, LEGEND, CellMask, cards, cell_masks, token_rows


def show(root: Path) -> None:
    """Draw the page."""
    store, run, _ = choose_run(root)
    st.title("Masks")
    st.html(
        f"<style>{CSS}</style><p>Training rows token by token, as each training saw them. {LEGEND}. "
        "↵ is a line break; hover over a token for its id.</p>"
    )
    masks = cell_masks(run, store)
    if not masks:
        st.info("No training of this matrix recorded its masks. To see them without training:")
        st.code("harness preview matrix.yaml", language="bash")
        return
    number, ids = _choices(masks)
    kept = _filtered(masks)
    st.html(f"<style>{CSS}</style>{cards(kept, number, ids=ids)}")
    offer(f"{run.plan.matrix}-masks", lambda: pd.DataFrame(token_rows(kept)))


def _choices(masks: tuple[CellMask, ...]) -> tuple[int, bool]:
    rows = max(len(mask.preview.rows) for mask in masks)
    left, right = st.columns([1, 3], vertical_alignment="bottom")
    number = left.selectbox("Training row", [str(n) for n in range(1, rows + 1)], key="row", bind="query-params")
    ids = right.toggle("Show token ids", key="ids", bind="query-params")
    return int(number) - 1, ids


def _filtered(masks: tuple[CellMask, ...]) -> list[CellMask]:
    """Those of the chosen styles and policies; all where nothing is chosen."""
    styles = _chosen("Prompt style", [mask.preview.prompt_style for mask in masks], "style")
    policies = _chosen("Masking", [mask.preview.policy for mask in masks], "policy")
    return [
        mask
        for mask in masks
        if (not styles or mask.preview.prompt_style in styles) and (not policies or mask.preview.policy in policies)
    ]


def _chosen(label: str, names: list[str], key: str) -> list[str]:
    known = list(dict.fromkeys(names))
    if len(known) < 2:
        return []
    return list(st.sidebar.multiselect(label, known, key=key, bind="query-params", placeholder="all"))
