"""Foreign text in Markdown that only shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.wording import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def escape(text: str) -> str:
    """Foreign text as one line of Markdown that only shows it: no heading, link, HTML, mathematics, nobody called."""
    return _SPECIAL.sub(r"\\\1", " ".join(visible(text).split())).replace("@", "@\u200b")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns left-aligned, the others right-aligned. Cells are already escaped."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *rows))
