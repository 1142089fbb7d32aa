"""Streamlit shell: the pages and their links. `harness leaderboard` runs it through pages/entry.py (see launch.py)."""

from __future__ import annotations

import sys

import streamlit as st

from leaderboard.pages import board, masks, responses, trust
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
    pages = [
        st.Page(lambda: board.show(root), title="Leaderboard", url_path="board", default=True),
        st.Page(lambda: responses.show(root), title="Responses", url_path="responses"),
        st.Page(lambda: trust.show(root), title="Judges", url_path="judges"),
        st.Page(lambda: masks.show(root), title="Masks", url_path="masks"),
    ]
    st.navigation(pages).run()
