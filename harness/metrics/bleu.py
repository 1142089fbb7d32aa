"""BLEU (Papineni et al. 2002), computed by sacrebleu (Post 2018): corpus figure from summed n-gram counts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from harness.metrics.base import FloatArray, ItemScore, Language, Pair

ORDER = 4
"""Longest n-gram. Counts of an item: hypothesis length, reference length, ORDER matches, ORDER totals (k = 10)."""


class Bleu:
    """An item's value is sacrebleu's sentence BLEU (effective order); the corpus figure is sacrebleu's corpus BLEU."""

    name = "bleu"
    label = "BLEU"
    unit = "0–100"
    corpus = True
    higher_is_better = True

    def __init__(self, language: Language = "en") -> None:
        self.tokenizer = "zh" if language == "zh" else "13a"

    def signature(self) -> str:
        """As sacrebleu's own, with a word on the items' values."""
        return (
            f"nrefs:1|case:mixed|eff:no|tok:{self.tokenizer}|smooth:exp|version:{version('sacrebleu')}"
            "|items:sentence-bleu,eff:yes"
        )

    def rows(self, pairs: Sequence[Pair]) -> list[ItemScore]:
        """Sentence BLEU and the ten counts of each (hypothesis, reference)."""
        from sacrebleu.metrics import BLEU

        # force: no warning about text that looks tokenised; a model's response is scored as it is.
        bleu = BLEU(tokenize=self.tokenizer, effective_order=True, force=True)
        found: list[ItemScore] = []
        for hypothesis, reference in pairs:
            score = bleu.sentence_score(hypothesis, [reference])
            counts = (score.sys_len, score.ref_len, *score.counts, *score.totals)
            found.append((float(score.score), tuple(float(count) for count in counts)))
        return found

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., 10) -> (...): sacrebleu's `compute_bleu` with exponential smoothing, for many sums."""
        hypothesis, reference = counts_sum[..., 0], counts_sum[..., 1]
        log_precision = np.zeros(counts_sum.shape[:-1])
        misses = np.zeros(counts_sum.shape[:-1])
        possible = hypothesis > 0
        # A loop over the orders: reductions along so short an axis would take most of the time of a resampling run.
        for order in range(ORDER):
            matches, totals = counts_sum[..., 2 + order], counts_sum[..., 2 + ORDER + order]
            missing = matches == 0
            misses += missing
            # NIST smoothing: the j-th order without a match counts as 2^-j matches.
            smoothed = np.where(missing, np.exp2(-misses), matches)
            log_precision += np.log(smoothed / np.where(totals > 0, totals, 1.0))
            possible &= totals > 0
        penalty = np.minimum(1 - reference / np.where(hypothesis > 0, hypothesis, 1.0), 0.0)
        score = 100 * np.exp(penalty + log_precision / ORDER)
        return np.where(possible & (misses < ORDER), score, 0.0)
