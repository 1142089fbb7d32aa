"""The Streamlit leaderboard over a store."""

__distribution__ = "sft-harness"  # read as text by `harness.ownership`
