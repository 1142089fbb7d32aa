"""Distinct-n (Li et al. 2016) of each response by itself: how many of its n-grams are different ones, in percent."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.base import (
    Item,
    ItemScore,
    MeanMetric,
    MetricOptions,
    NoScore,
    Options,
    Outcome,
    References,
    read_options,
)
from harness.metrics.tokens import words


class _Distinct(MeanMetric):
    """A response that repeats itself is low. Over all responses together it would be no mean of items."""

    n: int

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)

    def signature(self) -> str:
        """Within a response, over Unicode words."""
        return f"{self.name}|within-response|tok:unicode-words,cjk-characters|version:1"

    def rows(self, items: Sequence[Item]) -> list[Outcome]:
        """Different n-grams over all n-grams."""
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome:
        if not item.response.strip():
            return ItemScore(0.0)
        tokens = words(item.response)
        grams = list(zip(*(tokens[start:] for start in range(self.n)), strict=False))
        if not grams:
            return NoScore(f"the response has fewer than {self.n} words")
        return ItemScore(100 * len(set(grams)) / len(grams))


class Distinct1(_Distinct):
    """Different words."""

    name = "distinct_1"
    label = "distinct-1"
    n = 1


class Distinct2(_Distinct):
    """Different pairs of words."""

    name = "distinct_2"
    label = "distinct-2"
    n = 2
