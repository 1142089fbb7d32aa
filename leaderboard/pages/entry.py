"""The script that Streamlit runs.

It stands here and not beside `pages/`, because Streamlit takes a folder of that name next to its script for pages of
its older kind, and runs those files bare when a link to one of them is the first thing that a server is asked for.
"""

from leaderboard.app import main

main()
