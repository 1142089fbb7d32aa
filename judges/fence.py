"""Delimiters that a text cannot leave: nothing that a model or a data set says can pass for part of the prompt."""

from __future__ import annotations

import re

FENCE_VERSION = 1
"""Part of every prompt's identity; raised when the same text would be fenced differently."""

_OPENS = re.compile(r"<(?=\s*[/|｜!]|[A-Za-z_])|\[(?=/?INST\])")
"""Whatever could open a tag or a chat template's control token: `<tag`, `</tag`, `<|token|>`, `[INST]`; not `a < b`.

Of Mistral's tokens in brackets only this one: `[TOOL_CALLS]` and its like stay until FENCE_VERSION is raised anyway.
"""

_ESCAPES = {"<": "&lt;", "[": "&#91;"}


_TICKS = re.compile(r"`+")
_QUOTED = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)|``", re.DOTALL)


def fence(name: str, text: str) -> str:
    """`<name>text</name>`, where every `<` in the text that could open a tag is written `&lt;`."""
    return f"<{name}>{escape(text)}</{name}>"


def escape(text: str) -> str:
    """The text without anything that could open a tag or a control token; most texts come back as they are."""
    return _OPENS.sub(lambda match: _ESCAPES[match[0]], text)


def quote(text: str) -> str:
    """The text between backticks, more of them than stand together anywhere in it: no text can end its own quotation.

    As in CommonMark's code spans, a space keeps a backtick at either end of the text apart from the delimiter.
    """
    text = escape(text)
    ticks = "`" * (1 + max(map(len, _TICKS.findall(text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def quoted_parts(prompt: str) -> list[str]:
    """What `quote` put into a prompt (still escaped), in order."""
    return [found[2] or "" for found in _QUOTED.finditer(prompt)]


def fenced_part(name: str, prompt: str) -> str | None:
    """What `fence(name, …)` put into a prompt (still escaped), the last one; None where there is none."""
    found: list[str] = re.findall(rf"<{name}>(.*?)</{name}>", prompt, flags=re.DOTALL)
    return found[-1] if found else None
