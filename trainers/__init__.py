"""The masked-loss SFT trainer."""

__distribution__ = "sft-harness"  # read as text by `harness.ownership`
