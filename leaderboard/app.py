"""Streamlit shell: the pages and their links. `harness leaderboard` runs it through pages/entry.py (see launch.py)."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import streamlit as st

from leaderboard.session import store_root

STYLE = (
    "<style>.stMainBlockContainer{padding:3rem 2.5rem 3rem;max-width:1500px}"
    ".stMainBlockContainer h1{font-size:2.1rem;overflow-wrap:anywhere}"
    ".stMainBlockContainer h3{font-size:1.4rem}</style>"
)
PAGES = {
    "Results": [
        ("Leaderboard", "board", "board"),
        ("Answer", "answer", "answer"),
        ("Compare two", "compare", "compare"),
        ("Items", "items", "items"),
    ],
    "Evidence": [
        ("Judges", "judges", "trust"),
        ("Training", "training", "training"),
        ("Masks", "masks", "masks"),
        ("Data", "data", "data"),
    ],
    "Store": [("Runs", "runs", "runs")],
}
"""Section -> (title, path of the link, module)."""


def main() -> None:
    """Draw the page that the link names.

    Pages have no icons: Streamlit would fetch the browser tab's from a font server, and this app asks nothing of the
    network.
    """
    st.set_page_config(page_title="sft-harness leaderboard", layout="wide")
    st.html(STYLE)
    root = store_root(tuple(sys.argv[1:]))
    pages = {
        section: [
            st.Page(partial(_show, module, root), title=title, url_path=path, default=path == "board")
            for title, path, module in entries
        ]
        for section, entries in PAGES.items()
    }
    st.navigation(pages).run()


def _show(module: str, root: Path) -> None:
    """Draw a page; its module is loaded when it is first asked for, so that the first page waits for no other's."""
    import_module(f"leaderboard.pages.{module}").show(root)
