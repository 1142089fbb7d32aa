"""Words of any language, for metrics that count words: rouge-score's own, Unicode words, characters, or jieba's."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

import regex

from harness.errors import MissingExtra

Tokenizer = Literal["auto", "rouge-score", "words", "characters", "jieba"]
Tokenize = Callable[[str], list[str]]

_SPACELESS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}々〆ー]\p{M}*"
"""A character of a script that is counted by characters, with its marks."""
_WORD = regex.compile(rf"{_SPACELESS}|(?:(?!{_SPACELESS})[\p{{L}}\p{{N}}]\p{{M}}*)+")
_CHARACTER = regex.compile(r"[\p{L}\p{N}]\p{M}*")
_NOT_ASCII = regex.compile(r"[^a-z0-9]+")
_LETTER = regex.compile(r"\p{L}")


def tokenizer_for(language: str, reference: str, tokenizer: Tokenizer, *, given: bool, stemmer: bool) -> Tokenize:
    """How this item's texts become tokens.

    `auto`: rouge-score's tokens for English, unless the reference has letters beyond a–z, which those drop; Unicode
    words for all else, Han, kana, Hangul, Thai and their like by characters. With `given` (the matrix names the
    language) English is always rouge-score's. `stemmer`: Porter's, on English words of four letters or more.
    """
    english = language == "en"
    if tokenizer == "auto":
        plain = english and (given or _only_ascii(reference))
        tokenizer = "rouge-score" if plain else "words"
    if tokenizer == "jieba" and language != "zh":
        tokenizer = "words"
    stem = stemmer and english
    match tokenizer:
        case "rouge-score":
            return ascii_stems if stem else ascii_words
        case "words":
            return word_stems if stem else words
        case "characters":
            return characters
        case _:
            return chinese_words


def rule(tokenizer: Tokenizer, language: str, *, given: bool) -> str:
    """`tokenizer_for` in a signature's words."""
    if tokenizer == "auto":
        if given:
            return "tok:rouge-score" if language == "en" else "tok:unicode-words,cjk-characters"
        return "tok:auto,en:rouge-score,else:unicode-words,cjk-characters"
    return f"tok:jieba-{version('jieba')}" if tokenizer == "jieba" else f"tok:{tokenizer}"


def need(tokenizer: Tokenizer) -> None:
    """Raises MissingExtra where the tokenizer's package is not installed."""
    if tokenizer == "jieba" and find_spec("jieba") is None:
        raise MissingExtra("tokenizer 'jieba'", "chinese")


def _only_ascii(text: str) -> bool:
    return text.isascii() or all(found[0].isascii() for found in _LETTER.finditer(text))


def ascii_words(text: str) -> list[str]:
    """rouge-score's tokens: lower case, runs of a–z and 0–9."""
    return str(_NOT_ASCII.sub(" ", text.lower())).split()


def ascii_stems(text: str) -> list[str]:
    """The same, stemmed."""
    return [_stem(word) for word in ascii_words(text)]


def words(text: str) -> list[str]:
    """Unicode words in lower case; the scripts that are counted by characters, character by character."""
    found: list[str] = _WORD.findall(_folded(text))
    return found


def word_stems(text: str) -> list[str]:
    """The same, with the words of a–z stemmed."""
    return [_stem(word) if word.isascii() else word for word in words(text)]


def characters(text: str) -> list[str]:
    """Letters and digits with their marks, one by one, in lower case."""
    found: list[str] = _CHARACTER.findall(_folded(text))
    return found


def chinese_words(text: str) -> list[str]:
    """Words of jieba's dictionary, without punctuation."""
    import jieba

    jieba.setLogLevel("ERROR")
    return [word for word in jieba.lcut(_folded(text)) if _CHARACTER.search(word)]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    """Porter's stem as rouge-score has it: NLTK's extensions, words of up to three letters as they are."""
    return str(_porter().stem(word)) if len(word) > 3 else word


@lru_cache(maxsize=1)
def _porter():  # type: ignore[no-untyped-def]  # noqa: ANN202 - nltk has no types
    from nltk.stem import porter

    return porter.PorterStemmer()
