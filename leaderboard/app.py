"""Streamlit shell: the pages and their links. Run by `harness leaderboard` (see launch.py)."""

from __future__ import annotations

import sys

import streamlit as st

from leaderboard.pages import board, judges, responses
from leaderboard.session import store_root


def main() -> None:
    """Draw the page that the link names."""
    st.set_page_config(page_title="sft-harness leaderboard", layout="wide")
    root = store_root(tuple(sys.argv[1:]))
    pages = [
        st.Page(lambda: board.show(root), title="Leaderboard", icon=":material/leaderboard:", url_path="board",
                default=True),
        st.Page(lambda: responses.show(root), title="Responses", icon=":material/forum:", url_path="responses"),
        st.Page(lambda: judges.show(root), title="Judges", icon=":material/gavel:", url_path="judges"),
    ]  # fmt: skip
    st.navigation(pages).run()


main()
