"""LLM judges: backends, rubrics, asking, parsing, trust."""

__distribution__ = "sft-harness"  # read as text by `harness.ownership`
