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
        matches = [counts_sum[..., 2 + order] for order in range(ORDER)]
        totals = [counts_sum[..., 2 + ORDER + order] for order in range(ORDER)]
        # Products and two square roots instead of four logarithms, and no reductions along the short axis: a resampling
        # run calls this a hundred million times.
        hits = matches[0] * matches[1] * matches[2] * matches[3]
        if not hits.size or float(hits.min()) > 0:
            precision = np.sqrt(np.sqrt(hits / (totals[0] * totals[1] * totals[2] * totals[3])))
            return np.asarray(precision * np.exp(np.minimum(1 - reference / hypothesis, 0)) * 100)
        return _smoothed(hypothesis, reference, matches, totals)


def _smoothed(
    hypothesis: FloatArray, reference: FloatArray, matches: list[FloatArray], totals: list[FloatArray]
) -> FloatArray:
    """BLEU where some order may have no match: NIST smoothing, the j-th such order counts as 2^-j matches."""
    precision, misses = np.ones_like(hypothesis), np.zeros_like(hypothesis)
    possible = hypothesis > 0
    for found, total in zip(matches, totals, strict=True):
        missing = found == 0
        misses += missing
        precision *= np.where(missing, np.exp2(-misses), found) / np.where(total > 0, total, 1)
        possible &= total > 0
    penalty = np.exp(np.minimum(1 - reference / np.where(hypothesis > 0, hypothesis, 1), 0))
    score = 100 * penalty * np.sqrt(np.sqrt(precision))
    return np.where(possible & (misses < ORDER), score, 0)
