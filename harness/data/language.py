"""Which language a text is in, by py3langid (Lui and Baldwin 2012, "langid.py"), offline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

KNOWN = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "lt", "lv", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "sw", "ta", "te",
    "th", "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
"""Languages told apart; the model's rare ones draw short English texts to themselves."""
SURE = 0.9
"""Probability below which a text's language is unclear."""
UNCLEAR = "unclear"


@lru_cache(maxsize=1)
def identifier() -> Any:
    """The model, loaded once (about a second)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages(KNOWN)
    return model


def language(text: str) -> str:
    """ISO 639-1 code, or `unclear`."""
    code, probability = identifier().classify(text)
    return str(code) if probability >= SURE else UNCLEAR
