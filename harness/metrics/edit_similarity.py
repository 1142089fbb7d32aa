"""Edit similarity: 100 less the Levenshtein distance in percent of the longer text's characters, by rapidfuzz."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options


class EditSimilarity(MeanMetric):
    """Characters as they are: case, punctuation and white space count. Fits any script."""

    name = "edit_similarity"
    label = "edit similarity"

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)
        self._references = references

    def signature(self) -> str:
        """Distance, unit, and the package's version."""
        return f"edit_similarity|{self._references.number}|levenshtein|characters|rapidfuzz-{version('rapidfuzz')}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """The similarity to the nearest reference."""
        from rapidfuzz.distance import Levenshtein

        return [
            ItemScore(
                100 * max(Levenshtein.normalized_similarity(item.response, reference) for reference in item.references)
            )
            for item in items
        ]
