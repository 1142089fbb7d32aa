"""chrF (Popović 2015), computed by sacrebleu: character n-gram F-score; corpus figure from summed counts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from harness.metrics.base import FloatArray, ItemScore, Language, Pair

ORDER = 6
"""Longest character n-gram. Counts of an item: (hypothesis, reference, match) for each order (k = 18)."""
BETA = 2


class Chrf:
    """An item's value is sacrebleu's sentence chrF; the corpus figure is sacrebleu's corpus chrF. Fits any script."""

    name = "chrf"
    label = "chrF"
    unit = "0–100"
    corpus = True
    higher_is_better = True

    def __init__(self, language: Language = "en") -> None:
        self.language = language

    def signature(self) -> str:
        """As sacrebleu's own; the language plays no part."""
        return f"nrefs:1|case:mixed|eff:yes|nc:{ORDER}|nw:0|space:no|version:{version('sacrebleu')}"

    def rows(self, pairs: Sequence[Pair]) -> list[ItemScore]:
        """Sentence chrF and the eighteen counts of each (hypothesis, reference)."""
        from sacrebleu.metrics import CHRF

        if not pairs:
            return []
        hypotheses = [hypothesis for hypothesis, _ in pairs]
        references = [[reference for _, reference in pairs]]
        # sacrebleu's scores do not carry chrF's counts, so its own extraction is called; a test holds the two together.
        statistics = np.asarray(CHRF()._extract_corpus_statistics(hypotheses, references), dtype=np.float64)
        values = self.corpus_score(statistics)
        return [(float(value), tuple(row.tolist())) for value, row in zip(values, statistics, strict=True)]

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., 18) -> (...): F-beta of precision and recall averaged over the orders that both sides have."""
        precision, recall, orders = (np.zeros_like(counts_sum[..., 0]) for _ in range(3))
        # A loop over the orders: reductions along so short an axis would take most of the time of a resampling run.
        for order in range(ORDER):
            hypothesis, reference, match = (counts_sum[..., 3 * order + place] for place in range(3))
            both = (hypothesis > 0) & (reference > 0)
            precision += np.where(both, match, 0) / np.where(both, hypothesis, 1)
            recall += np.where(both, match, 0) / np.where(both, reference, 1)
            orders += both
        orders = np.maximum(orders, 1)
        precision, recall = precision / orders, recall / orders
        below = BETA**2 * precision + recall
        return np.asarray(100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1))
