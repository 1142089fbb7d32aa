"""Which language a reference is in, for the tokenizers of metrics."""

from __future__ import annotations

import pytest

from harness.metrics.language import item_languages, languages, main_language, script_language
from harness.records.data import Example


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("北京是中国的首都。", "zh"),
        ("Python 是一种语言", "zh"),
        ("頑張って (Ganbatte)", "ja"),
        ("안녕하세요, 세계", "ko"),
        ("The Japanese translation of 'hello' is 'こんにちは' (Konnichiwa).", None),
        ("Résumé élève naïve", None),
        ("", None),
        ("!?", None),
    ],
)
def test_script_settles_east_asian_languages(text: str, language: str | None) -> None:
    assert script_language(text) == language


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["The cat sat.", "北京"], "en"),
        (["北京是中国的首都。", "Python 是一种语言"], "zh"),
        (["東京は日本の首都です。", "北京"], "ja"),
        ([], "en"),
    ],
)
def test_main_language(texts: list[str], language: str) -> None:
    assert main_language(texts) == language


def test_unclear_texts_are_in_what_most_are_in() -> None:
    french = ["Où est le restaurant le plus proche?", "Quel âge avez-vous aujourd'hui, Madame?", "Au.", "42", "北京"]
    assert languages(french) == ["fr", "fr", "fr", "fr", "zh"]
    assert languages(["東京は日本の首都です。", "日本国首都"]) == ["ja", "ja"]
    assert languages([]) == []


def test_a_few_quoted_characters_do_not_make_a_text_japanese() -> None:
    english = (
        "The Japanese translation of 'Thank you very much' is 'どうもありがとうございます' (Dōmo arigatōgozaimasu)."
    )
    assert languages([english, "The capital of the country is a large and beautiful city."]) == ["en", "en"]


def test_the_matrix_overrules() -> None:
    tests = [
        Example(id="a", instruction="i", output="The cat sat on the mat."),
        Example(id="b", instruction="i", output="北京"),
    ]
    assert item_languages(tests, "fr") == {"a": "fr", "b": "fr"}
    assert item_languages(tests, None) == {"a": "en", "b": "zh"}
