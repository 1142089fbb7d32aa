"""Length of the responses in percent of the references': neither more nor less is better, so that it ranks nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.metrics.base import FloatArray, Item, ItemScore, MetricOptions, Options, References, read_options


class LengthRatio:
    """In characters, the reference nearest in length. Counts of an item: both lengths (k = 2)."""

    name = "length_ratio"
    label = "length ratio"
    unit = "0–100+"
    corpus = True
    higher_is_better = True
    descriptive = True

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)
        self._references = references

    def signature(self) -> str:
        """What is counted."""
        return f"length_ratio|{self._references.number}|characters|response/reference|version:1"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """Response over reference, in percent."""
        found = []
        for item in items:
            length = len(item.response)
            reference = min((len(text) for text in item.references), key=lambda other: (abs(other - length), other))
            found.append(ItemScore(100 * length / max(reference, 1), (float(length), float(reference))))
        return found

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., 2) -> (...): all characters over all characters."""
        return np.asarray(100 * counts_sum[..., 0] / np.maximum(counts_sum[..., 1], 1))
