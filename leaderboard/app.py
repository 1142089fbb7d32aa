"""Streamlit shell: the pages and their links. `harness leaderboard` runs it through pages/entry.py (see launch.py)."""

from __future__ import annotations

import sys
from functools import partial

import streamlit as st

from leaderboard.pages import answer, board, compare, data, items, masks, runs, training, trust
from leaderboard.session import store_root

STYLE = (
    "<style>.stMainBlockContainer{padding:3rem 2.5rem 3rem;max-width:1500px}"
    ".stMainBlockContainer h1{font-size:2.1rem;overflow-wrap:anywhere}"
    ".stMainBlockContainer h3{font-size:1.4rem}</style>"
)


def main() -> None:
    """Draw the page that the link names.

    Pages have no icons: Streamlit would fetch the browser tab's from a font server, and this app asks nothing of the
    network.
    """
    st.set_page_config(page_title="sft-harness leaderboard", layout="wide")
    st.html(STYLE)
    root = store_root(tuple(sys.argv[1:]))
    shown = {
        "Results": [
            ("Leaderboard", "board", board.show),
            ("Answer", "answer", answer.show),
            ("Compare two", "compare", compare.show),
            ("Items", "items", items.show),
        ],
        "Evidence": [
            ("Judges", "judges", trust.show),
            ("Training", "training", training.show),
            ("Masks", "masks", masks.show),
            ("Data", "data", data.show),
        ],
        "Store": [("Runs", "runs", runs.show)],
    }
    pages = {
        section: [
            st.Page(partial(show, root), title=title, url_path=path, default=path == "board")
            for title, path, show in entries
        ]
        for section, entries in shown.items()
    }
    st.navigation(pages).run()
