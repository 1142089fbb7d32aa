"""Edit similarity: 100 less the Levenshtein distance in percent of the longer text's characters, by rapidfuzz."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options


class EditSimilarity(MeanMetric):
    """Characters as they are: case, punctuation and white space count, but of nothing else. Fits any script."""

    name = "edit_similarity"
    label = "edit similarity"

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)
        self._references = references

    def signature(self) -> str:
        """Distance, unit, what a blank response has, and the package's version."""
        package = f"rapidfuzz-{version('rapidfuzz')}"
        return f"edit_similarity|{self._references.number}|levenshtein|characters|blank:0|{package}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """The similarity to the nearest reference."""
        return [ItemScore(100 * _similarity(item) if item.response.strip() else 0.0) for item in items]


def _similarity(item: Item) -> float:
    from rapidfuzz.distance import Levenshtein

    return max(Levenshtein.normalized_similarity(item.response, reference) for reference in item.references)
