"""Exact match, raw or after a light normalisation: 100 or 0 an item."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.base import Item, ItemScore, MeanMetric, MetricOptions, Options, References, read_options


class ExactMatch(MeanMetric):
    """Equal to one of the references but for case and white space; punctuation counts."""

    name = "exact_match"
    label = "exact match"

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)

    def signature(self) -> str:
        """The normalisation, by its steps."""
        return "exact_match|norm:strip,collapse-whitespace,casefold|version:1"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """100 for a match, else 0."""
        return [
            ItemScore(100.0 if self.form(item.response) in map(self.form, item.references) else 0.0) for item in items
        ]

    def form(self, text: str) -> str:
        """Outer white space off, inner runs of it to one space, case folded."""
        return " ".join(text.split()).casefold()


class ExactMatchRaw(ExactMatch):
    """Equal to one of the references, character by character."""

    name = "exact_match_raw"
    label = "exact match, raw"

    def signature(self) -> str:
        """No normalisation."""
        return "exact_match_raw|norm:none|version:1"

    def form(self, text: str) -> str:
        """As it is."""
        return text
