"""Two texts side by side with the words marked that only one of them has."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from markupsafe import Markup, escape

from reports.wording import LONGEST_SHOWN, visible

LONGEST = 4_000
"""Characters of a text that are compared; comparing takes time that grows with the square of the words."""
CSS = """
.diff { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; font-size: .875rem; line-height: 1.6;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Noto Sans Mono", "Noto Sans Mono CJK SC", monospace; }
.diff mark { color: inherit; border-radius: 3px; padding: 0 1px; }
.diff .a { background: #0072b233; text-decoration: underline solid #0072b2 2px; text-underline-offset: 3px; }
.diff .b { background: #e69f0040; text-decoration: underline dashed #c77700 2px; text-underline-offset: 3px; }
"""
"""Told by colour and by the line below, so that it shows without colour and in both schemes."""
_WORDS = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]|\w+|\s+|[^\w\s]")
"""A Chinese, Japanese or Korean character counts as a word."""


def marked(a: str, b: str) -> tuple[Markup, Markup]:
    """HTML of both texts: foreign text escaped, invisible characters shown, words that the other lacks marked.

    Texts beyond LONGEST characters are shown (up to LONGEST_SHOWN) without marks.
    """
    if max(len(a), len(b)) > LONGEST:
        return _box(escape(visible(a, LONGEST_SHOWN))), _box(escape(visible(b, LONGEST_SHOWN)))
    left, right = _WORDS.findall(visible(a)), _WORDS.findall(visible(b))
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    shown_a = Markup("").join(_piece(left[i:j], "a", same=tag == "equal") for tag, i, j, _, _ in blocks)
    shown_b = Markup("").join(_piece(right[i:j], "b", same=tag == "equal") for tag, _, _, i, j in blocks)
    return _box(shown_a), _box(shown_b)


def _piece(words: list[str], side: str, *, same: bool) -> Markup:
    text = escape("".join(words))
    return text if same or not words else Markup('<mark class="{}">{}</mark>').format(side, text)


def _box(shown: Markup) -> Markup:
    return Markup('<div class="diff" dir="auto">{}</div>').format(shown or "(empty)")
