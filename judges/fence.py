"""Delimiters that a text cannot leave: nothing that a model or a data set says can pass for part of the prompt."""

from __future__ import annotations

import re

FENCE_VERSION = 1
"""Part of every prompt's identity; raised when the same text would be fenced differently."""

_OPENS = re.compile(r"<(?=\s*[/|｜!]|[A-Za-z_])|\[(?=/?INST\])")
"""Whatever could open a tag or a chat template's control token: `<tag`, `</tag`, `<|token|>`, `[INST]`; not `a < b`."""

_ESCAPES = {"<": "&lt;", "[": "&#91;"}


def fence(name: str, text: str) -> str:
    """`<name>text</name>`, where every `<` in the text that could open a tag is written `&lt;`."""
    return f"<{name}>{escape(text)}</{name}>"


def escape(text: str) -> str:
    """The text without anything that could open a tag or a control token; most texts come back as they are."""
    return _OPENS.sub(lambda match: _ESCAPES[match[0]], text)


def fenced_part(name: str, prompt: str) -> str | None:
    """What `fence(name, …)` put into a prompt (still escaped), the last one; None where there is none."""
    found: list[str] = re.findall(rf"<{name}>(.*?)</{name}>", prompt, flags=re.DOTALL)
    return found[-1] if found else None
