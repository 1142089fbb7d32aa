"""Translation edit rate (Snover et al. 2006), computed by sacrebleu: edits a word of the reference, in percent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from harness.metrics.base import FloatArray, Item, ItemScore, MetricOptions, Options, References, read_options
from harness.metrics.language import script_language


class TerOptions(MetricOptions):
    """sacrebleu's. `normalized`: as Tercom tokenises, East Asian text by characters; default: for such text only."""

    normalized: bool | None = None
    no_punct: bool = False
    case_sensitive: bool = False


class Ter:
    """The fewest insertions, deletions, substitutions and shifts. Less is better; an empty response has 100.

    Counts of an item: edits to the nearest reference, mean length of the references (k = 2).
    """

    name = "ter"
    label = "TER"
    unit = "0–100+"
    corpus = True
    higher_is_better = False

    def __init__(self, references: References, options: Options) -> None:
        self._references = references
        self._options = read_options(TerOptions, options, self.name)

    def signature(self) -> str:
        """As sacrebleu's own, with a word on East Asian items where they are treated apart."""
        o = self._options
        asian = self._asian(self._references.language)
        return (
            f"{self._references.number}|case:{'mixed' if o.case_sensitive else 'lc'}|tok:tercom"
            f"|norm:{_yes(o.normalized is True or asian)}|punct:{_yes(not o.no_punct)}|asian:{_yes(asian)}"
            f"|version:{version('sacrebleu')}" + ("|zh,ja,ko:norm:yes,asian:yes" if self._by_item else "")
        )

    @property
    def _by_item(self) -> bool:
        return self._options.normalized is not False and not self._references.given

    def _asian(self, language: str | None) -> bool:
        return self._options.normalized is not False and language in ("zh", "ja", "ko")

    def rows(self, items: Sequence[Item]) -> list[ItemScore]:
        """Sentence TER and the two counts of each."""
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> ItemScore:
        o = self._options
        language = script_language(item.references[0]) if self._by_item else self._references.language
        asian = self._asian(language)
        own = _scorer(o.normalized is True or asian, o.no_punct, asian, o.case_sensitive)
        score = own.sentence_score(item.response, list(item.references))
        return ItemScore(float(score.score), (float(score.num_edits), float(score.ref_length)))

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """(..., 2) -> (...): all edits over all words; without any word 100 for some edits, else 0."""
        edits, length = counts_sum[..., 0], counts_sum[..., 1]
        some = length > 0
        return np.asarray(100 * np.where(some, edits / np.where(some, length, 1), edits > 0))


def _yes(what: bool) -> str:
    return "yes" if what else "no"


@lru_cache(maxsize=4)
def _scorer(normalized: bool, no_punct: bool, asian: bool, case_sensitive: bool) -> Any:
    from sacrebleu.metrics import TER

    return TER(normalized=normalized, no_punct=no_punct, asian_support=asian, case_sensitive=case_sensitive)
