"""Token F1 of SQuAD (Rajpurkar et al. 2016), for any language: words in common, without order."""

from __future__ import annotations

import re
import string
from collections import Counter
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

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TokenF1(MeanMetric):
    """English as SQuAD has it: lower case, punctuation and articles off, words by white space.

    Other languages without articles, all Unicode punctuation off, and Han, kana and Hangul character by character.
    """

    name = "token_f1"
    label = "token F1"

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)
        self._references = references

    def signature(self) -> str:
        """The normalisation, and whether each item has its own language."""
        language = self._references.language if self._references.given else "auto"
        return (
            f"token_f1|{self._references.number}|lang:{language}|en:squad,else:unicode-words,cjk-characters|version:2"
        )

    def rows(self, items: Sequence[Item]) -> list[Outcome]:
        """F1 × 100 with the nearest reference."""
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome:
        tokenize = squad_words if item.language == "en" else words
        predicted = tokenize(item.response)
        if not any(map(words, item.references)):
            return NoScore("the reference has no words")
        targets = [target for target in map(tokenize, item.references) if target] or [[]]
        if not item.response.strip():  # which SQuAD 2.0 takes for a right answer to a reference without words
            return ItemScore(0.0)
        return ItemScore(100 * max(_f1(predicted, target) for target in targets))


def squad_words(text: str) -> list[str]:
    """Words as SQuAD's evaluation script has them."""
    return _ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split()


def _f1(predicted: list[str], target: list[str]) -> float:
    if not predicted or not target:  # as in SQuAD 2.0's script; the answer A, say, is an article
        return float(predicted == target)
    common = (Counter(predicted) & Counter(target)).total()
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(target)
    return 2 * precision * recall / (precision + recall)
