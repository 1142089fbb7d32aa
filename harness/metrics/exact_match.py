"""Exact match after a light normalisation: 100 or 0 for each item, the corpus figure is the share of matches."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.base import FloatArray, ItemScore, Language, Pair, no_corpus_score


class ExactMatch:
    """Equal but for case and white space; punctuation counts. Two empty texts match, one empty text does not."""

    name = "exact_match"
    label = "exact match"
    unit = "0–100"
    corpus = False
    higher_is_better = True

    def __init__(self, language: Language = "en") -> None:
        self.language = language

    def signature(self) -> str:
        """The normalisation, by its steps."""
        return "exact_match|norm:strip,collapse-whitespace,casefold|version:1"

    def rows(self, pairs: Sequence[Pair]) -> list[ItemScore]:
        """100 for a match, else 0; no counts."""
        return [(100.0 if normalise(text) == normalise(reference) else 0.0, ()) for text, reference in pairs]

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """Exact match has no counts: raises HarnessError."""
        raise no_corpus_score(self.name)


def normalise(text: str) -> str:
    """Outer white space off, inner runs of it to one space, case folded."""
    return " ".join(text.split()).casefold()
