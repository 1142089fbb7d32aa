"""How an answer changed, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

_PIECES = re.compile(r"\s+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
LONGEST = 600
"""Characters of an answer that are compared; CI comments have little room."""


class Change(NamedTuple):
    """A stretch of text that both answers have, or only one of them."""

    kind: Literal["same", "removed", "added"]
    text: str


def changes(before: str, now: str) -> tuple[Change, ...]:
    """From the baseline's answer to the candidate's; scripts without spaces go by characters."""
    old, new = _PIECES.findall(_cut(before)), _PIECES.findall(_cut(now))
    found: list[Change] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            found.append(Change("same", "".join(old[a:b])))
            continue
        found += [Change("removed", "".join(old[a:b]))] * (a < b)
        found += [Change("added", "".join(new[c:d]))] * (c < d)
    return tuple(found)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
