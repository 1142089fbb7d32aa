"""ROUGE-1, -2, -L and -Lsum (Lin 2004): F1 in points, the corpus figure is the items' mean.

The figures are rouge-score's to the last digit (a test holds them together), in a fraction of its time: a word is
stemmed once, and rapidfuzz finds the longest common subsequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

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
from harness.metrics.tokens import Tokenize, Tokenizer, need, rule, tokenizer_for


class RougeOptions(MetricOptions):
    """`tokenizer`: auto takes the one that fits the item's language; `stemmer`: Porter's, for English."""

    tokenizer: Tokenizer = "auto"
    stemmer: bool = True


class _Rouge(MeanMetric):
    """Of several references the one with the highest F1 counts, as in rouge-score."""

    def __init__(self, references: References, options: Options) -> None:
        """Raises MissingExtra where the tokenizer's package is not installed."""
        self._references = references
        self._options = read_options(RougeOptions, options, self.name)
        need(self._options.tokenizer)

    def signature(self) -> str:
        """Type, tokenizer, stemmer, and the version of rouge-score whose figures these are."""
        tokenizer = rule(self._options.tokenizer, self._references.language, given=self._references.given)
        stemmer = "porter(en)" if self._options.stemmer else "no"
        number = f"{self._references.number}|" if self._references.several else ""
        return f"{self.name}|f1|{number}{tokenizer}|stemmer:{stemmer}|version:rouge-score-{version('rouge-score')}"

    def rows(self, items: Sequence[Item]) -> list[Outcome]:
        """F1 × 100 of each."""
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome:
        o = self._options
        scores = []
        for reference in item.references:
            tokenize = tokenizer_for(
                item.language, reference, o.tokenizer, given=self._references.given, stemmer=o.stemmer
            )
            if (found := self.f1(item.response, reference, tokenize)) is not None:
                scores.append(found)
        return ItemScore(100 * max(scores)) if scores else NoScore("the reference has no words")

    def f1(self, response: str, reference: str, tokenize: Tokenize) -> float | None:
        """0 … 1; None for a reference without words."""
        target, predicted = tokenize(reference), tokenize(response)
        return self.overlap(target, predicted) if target else None

    def overlap(self, target: list[str], predicted: list[str]) -> float:
        """F1 of two lists of tokens, the target's not empty."""
        raise NotImplementedError


class Rouge1(_Rouge):
    """Overlap of single words."""

    name = "rouge1"
    label = "ROUGE-1"

    def overlap(self, target: list[str], predicted: list[str]) -> float:
        """Common words."""
        return _f1((Counter(target) & Counter(predicted)).total(), len(target), len(predicted))


class Rouge2(_Rouge):
    """Overlap of word pairs."""

    name = "rouge2"
    label = "ROUGE-2"

    def overlap(self, target: list[str], predicted: list[str]) -> float:
        """Common pairs of words; 0 where either side has a single word, as in rouge-score."""
        pairs = [Counter(zip(words, words[1:], strict=False)) for words in (target, predicted)]
        return _f1((pairs[0] & pairs[1]).total(), len(target) - 1, len(predicted) - 1)


class RougeL(_Rouge):
    """Longest common subsequence of words."""

    name = "rougeL"
    label = "ROUGE-L"

    def overlap(self, target: list[str], predicted: list[str]) -> float:
        """Words of the longest common subsequence."""
        from rapidfuzz.distance import LCSseq

        return _f1(LCSseq.similarity(target, predicted), len(target), len(predicted))


class RougeLsum(RougeL):
    """Longest common subsequences line by line, together: for texts of several lines (rouge-score's own code)."""

    name = "rougeLsum"
    label = "ROUGE-Lsum"

    def f1(self, response: str, reference: str, tokenize: Tokenize) -> float | None:
        """As ROUGE-L where neither text has lines."""
        if "\n" not in response and "\n" not in reference:
            return super().f1(response, reference, tokenize)
        from rouge_score.rouge_scorer import _summary_level_lcs

        targets = [tokenize(line) for line in reference.split("\n")]
        if not any(targets):
            return None
        return float(_summary_level_lcs(targets, [tokenize(line) for line in response.split("\n")]).fmeasure)


def _f1(common: int, target: int, predicted: int) -> float:
    """In rouge-score's order of operations."""
    precision, recall = common / max(predicted, 1), common / max(target, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
