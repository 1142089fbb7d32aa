"""What a reference metric is, and the list of those that ship with the harness."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from harness.errors import HarnessError

if TYPE_CHECKING:  # the list of names is part of the spec, and `harness --help` should not wait for numpy
    import numpy as np
    import numpy.typing as npt

Language = Literal["en", "zh"]
FloatArray: TypeAlias = "npt.NDArray[np.floating]"
"""Single or double precision: a corpus figure keeps that of its counts."""
Pair = tuple[str, str]
"""(hypothesis, reference)."""
ItemScore = tuple[float, tuple[float, ...]]
"""(the item's value in points, its sufficient statistics; empty where the corpus figure is the mean of the values)."""


class Metric(Protocol):
    """A reference metric: a value per item, sufficient statistics, a signature. All values are points on 0–100.

    Making one is cheap: packages are imported when the first item is scored.
    """

    name: str
    label: str
    """As a reader sees it, e.g. `ROUGE-L`."""
    unit: str
    corpus: bool
    """True: the corpus figure is formed from summed statistics (BLEU, chrF), not from the mean of the items' values."""
    higher_is_better: bool

    def signature(self) -> str:
        """Everything that decides a value: settings, tokenizer, and versions of the packages that compute it."""
        ...

    def rows(self, pairs: Sequence[Pair]) -> list[ItemScore]:
        """Score each (hypothesis, reference), in order. An empty hypothesis scores 0."""
        ...

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """Corpus figure of summed statistics: (..., k) -> (...). Raises HarnessError where `corpus` is False."""
        ...


_METRICS = {
    "bleu": "harness.metrics.bleu:Bleu",
    "chrf": "harness.metrics.chrf:Chrf",
    "rouge1": "harness.metrics.rouge:Rouge1",
    "rouge2": "harness.metrics.rouge:Rouge2",
    "rougeL": "harness.metrics.rouge:RougeL",
    "exact_match": "harness.metrics.exact_match:ExactMatch",
}


def known_metrics() -> tuple[str, ...]:
    """Names that `load_metric` accepts."""
    return tuple(_METRICS)


def load_metric(name: str, language: Language = "en") -> Metric:
    """The metric of that name, with the tokenizer for `language`.

    Raises HarnessError for a name that is not in `known_metrics`, with the nearest one that is.
    """
    if name not in _METRICS:
        near = _nearest(name)
        raise HarnessError(
            f"unknown metric {name!r}" + (f"; did you mean {near!r}?" if near else ""),
            hint="known: " + ", ".join(_METRICS),
        )
    module, attribute = _METRICS[name].split(":")
    return cast(Metric, getattr(import_module(module), attribute)(language))


def _nearest(name: str) -> str | None:
    by_plain = {known.lower().replace("_", ""): known for known in _METRICS}
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    found = get_close_matches(plain, by_plain, n=1)
    return by_plain[found[0]] if found else None


def no_corpus_score(name: str) -> HarnessError:
    """The error of asking a mean-of-items metric for a figure from counts."""
    return HarnessError(f"metric {name!r} has no counts", hint="its corpus figure is the mean of its items' values")


# Han, kana, Hangul syllables and the compatibility ideographs: scripts that do not put spaces between words (or whose
# words rouge-score would drop).
CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002fa1f]")


def detect_language(references: Iterable[str], threshold: float = 0.3) -> Language:
    """`zh` where at least `threshold` of all word characters of the references are CJK, else `en`.

    A Chinese character carries about as much as a short English word, hence a threshold below one half.
    """
    letters = cjk = 0
    for reference in references:
        letters += sum(character.isalnum() for character in reference)
        cjk += len(CJK.findall(reference))
    return "zh" if letters and cjk / letters >= threshold else "en"
