"""Tables, Markdown and self-contained HTML made from a finished comparison."""

__distribution__ = "sft-harness"  # read as text by `harness.ownership`
