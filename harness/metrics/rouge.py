"""ROUGE-1, ROUGE-2, ROUGE-L (Lin 2004), computed by rouge-score: F1 in points, the corpus figure is the items' mean."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from harness.metrics.base import CJK, FloatArray, ItemScore, Language, Pair, no_corpus_score


class _Rouge:
    """rouge-score with the Porter stemmer. Its own tokenizer keeps only a–z and 0–9, so Chinese gets another one."""

    name: str
    label: str
    unit = "0–100"
    corpus = False
    higher_is_better = True

    def __init__(self, language: Language = "en") -> None:
        self.language = language

    def signature(self) -> str:
        """Type, tokenizer, stemmer, and version of rouge-score."""
        tokenizer = "cjk-characters+default" if self.language == "zh" else "default"
        return f"{self.name}|f1|tok:{tokenizer}|stemmer:porter|version:rouge-score-{version('rouge-score')}"

    def rows(self, pairs: Sequence[Pair]) -> list[ItemScore]:
        """F1 × 100 of each (hypothesis, reference); no counts."""
        scorer = _scorer(self.name, self.language)
        return [(100 * float(scorer.score(reference, text)[self.name].fmeasure), ()) for text, reference in pairs]

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """ROUGE has no counts: raises HarnessError."""
        raise no_corpus_score(self.name)


class Rouge1(_Rouge):
    """Overlap of single words."""

    name = "rouge1"
    label = "ROUGE-1"


class Rouge2(_Rouge):
    """Overlap of word pairs."""

    name = "rouge2"
    label = "ROUGE-2"


class RougeL(_Rouge):
    """Longest common subsequence of words."""

    name = "rougeL"
    label = "ROUGE-L"


def _scorer(rouge_type: str, language: Language) -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([rouge_type], use_stemmer=True, tokenizer=_Tokenizer(language))


class _Tokenizer:
    """rouge-score's default tokens, remembered (stemming is slow); for Chinese each CJK character is one."""

    def __init__(self, language: Language) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        default = DefaultTokenizer(use_stemmer=True)
        self._split_cjk = language == "zh"
        # Three metrics and many variants see the same references; the bound keeps memory small on big test sets.
        self._words = lru_cache(maxsize=20_000)(default.tokenize)

    def tokenize(self, text: str) -> list[str]:
        """Tokens in order of the text."""
        if not self._split_cjk:
            return list(self._words(text))
        tokens: list[str] = []
        end = 0
        for found in CJK.finditer(text):
            tokens += self._words(text[end : found.start()])
            tokens.append(found.group())
            end = found.end()
        return tokens + list(self._words(text[end:]))
