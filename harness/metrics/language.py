"""The language of each reference: by its script where that tells, else by py3langid, leaning to what most are in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.records.data import Example

CJK_SHARE = 0.3
"""Of a text's letters, from which Han, kana or Hangul settle its language. A Chinese character carries about as much
as a short English word, hence below one half."""
AUTO = "auto"

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
_KANA = re.compile("[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
_BY_SCRIPT = ("zh", "ja", "ko")
_NO_LETTERS = re.compile(r"[\W\d_]*")


def script_language(text: str) -> str | None:
    """`zh`, `ja` or `ko` for a text of which at least `CJK_SHARE` is in their scripts; None for any other."""
    if text.isascii():
        return None
    return _settled(*_counts(text))


def _counts(text: str) -> tuple[int, int, int, int]:
    """Letters and digits, and of these Han, kana, Hangul."""
    letters = sum(map(str.isalnum, text))
    if text.isascii():
        return letters, 0, 0, 0
    return letters, len(_HAN.findall(text)), len(_KANA.findall(text)), len(_HANGUL.findall(text))


def _settled(letters: int, han: int, kana: int, hangul: int) -> str | None:
    if not letters or (han + kana + hangul) / letters < CJK_SHARE:
        return None
    if hangul > han + kana:
        return "ko"
    return "ja" if kana > 0.1 * (han + kana) else "zh"


def main_language(references: Iterable[str]) -> str:
    """`zh`, `ja` or `ko` where the references as a whole are in their scripts, else `en`. Loads nothing."""
    whole = [0, 0, 0, 0]
    for text in references:
        whole = [a + b for a, b in zip(whole, _counts(text), strict=True)]
    return _settled(*whole) or "en"


def languages(references: Sequence[str]) -> list[str]:
    """ISO 639-1 code of each. One that is unclear, as short ones are, is taken to be in what most of them are in."""
    from harness.data.language import UNCLEAR, language

    found = [
        script_language(text) or (UNCLEAR if _NO_LETTERS.fullmatch(text) else _by_words(language(text)))
        for text in references
    ]
    sure = Counter(code for code in found if code != UNCLEAR)
    main = min(sure, key=lambda code: (-sure[code], code), default="en")
    if main == "ja":  # a short Japanese text may be all kanji
        found = ["ja" if code == "zh" else code for code in found]
    return [main if code == UNCLEAR else code for code in found]


def item_languages(tests: Sequence[Example], given: str | None) -> dict[str, str]:
    """Example id -> language of its reference: the one that is given, else as detected."""
    codes = [given] * len(tests) if given is not None else languages([example.output for example in tests])
    return {example.id: code for example, code in zip(tests, codes, strict=True)}


def _by_words(code: str) -> str:
    """A few characters quoted in a text of another script do not make it Chinese."""
    from harness.data.language import UNCLEAR

    return UNCLEAR if code in _BY_SCRIPT else code
