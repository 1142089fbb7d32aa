"""The contracts and the orchestration of sft-harness; loads no torch, no SDK, no streamlit."""

__distribution__ = "sft-harness"  # read as text by `harness.ownership`: tells our packages from others of the same name
__version__ = "0.1.0"
