"""chrF (Popović 2015) and chrF++ (2017), computed by sacrebleu: n-gram F-score; corpus figure from summed counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from harness.metrics.base import FloatArray, Item, ItemScore, MetricOptions, Options, References, read_options

CHARACTERS = 6
"""Longest character n-gram. Counts of an item: (hypothesis, reference, match) for each order (k = 18; chrF++: 24)."""
BETA = 2


class Chrf:
    """An item's value is sacrebleu's sentence chrF; the corpus figure is sacrebleu's corpus chrF. Fits any script."""

    name = "chrf"
    label = "chrF"
    unit = "0–100"
    corpus = True
    higher_is_better = True
    words = 0
    """Longest word n-gram."""

    def __init__(self, references: References, options: Options) -> None:
        read_options(MetricOptions, options, self.name)
        self._references = references

    def signature(self) -> str:
        """As sacrebleu's own; the language plays no part."""
        settings = f"case:mixed|eff:yes|nc:{CHARACTERS}|nw:{self.words}|space:no"
        return f"{self._references.number}|{settings}|version:{version('sacrebleu')}"

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """Sentence chrF and the counts of each; of several references, those of the one that fits best."""
        # sacrebleu's scores do not carry chrF's counts, so its own extraction is called; a test holds the two together.
        own = _scorer(self.words)
        found = []
        for item in items:
            references = own._extract_reference_info(item.references)
            counts = own._compute_segment_statistics(item.response, references)
            found.append(ItemScore(float(own._compute_f_score(counts)), tuple(map(float, counts))))
        return found

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., k) -> (...): F-beta of precision and recall averaged over the orders that both sides have."""
        precision, recall, orders = (np.zeros_like(counts_sum[..., 0]) for _ in range(3))
        # A loop over the orders: reductions along so short an axis would take most of the time of a resampling run.
        for order in range(CHARACTERS + self.words):
            hypothesis, reference, match = (counts_sum[..., 3 * order + place] for place in range(3))
            both = (hypothesis > 0) & (reference > 0)
            precision += np.where(both, match, 0) / np.where(both, hypothesis, 1)
            recall += np.where(both, match, 0) / np.where(both, reference, 1)
            orders += both
        orders = np.maximum(orders, 1)
        precision, recall = precision / orders, recall / orders
        below = BETA**2 * precision + recall
        return np.asarray(100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1))


class ChrfPlusPlus(Chrf):
    """chrF with words and pairs of words besides: words are what white space parts."""

    name = "chrf++"
    label = "chrF++"
    words = 2


@lru_cache(maxsize=2)
def _scorer(words: int) -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=words)
