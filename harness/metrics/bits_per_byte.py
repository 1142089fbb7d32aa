"""Bits per byte (Gao et al. 2021, arXiv 2101.00027): how surprised a variant is by the reference answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.errors import HarnessError
from harness.metrics.base import FloatArray, Item, MetricOptions, Options, Outcome, References, read_options


class BitsPerByte:
    """Negative log-likelihood of the first reference under the variant, given its prompt, over the UTF-8 bytes of it.

    Other than a loss a token it compares models of different tokenizers. The end of the answer is not counted; what a
    style puts around every answer counts in bits, and not in bytes. It is asked of weights, not of responses:
    `harness.generators.likelihood` computes the items.
    """

    name = "bits_per_byte"
    label = "bits per byte"
    unit = "bits"
    corpus = True
    higher_is_better = False
    of_weights = True

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)

    def signature(self) -> str:
        """What is counted."""
        return "bits_per_byte|first-reference|bytes:utf-8|end:no|version:2"

    def rows(self, items: Sequence[Item]) -> list[Outcome]:
        """Raises HarnessError where there are any: a text alone tells no likelihood."""
        if items:
            raise HarnessError("bits_per_byte is asked of a variant's weights, not of responses")
        return []

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., 2) -> (...): all bits over all bytes."""
        return np.asarray(counts_sum[..., 0] / np.maximum(counts_sum[..., 1], 1))
