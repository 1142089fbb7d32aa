"""Reply -> Judgment. Pure: the same reply is always read the same way, and a new parser needs no new replies."""

from __future__ import annotations

import json
import re
from typing import Any

from harness.records import Failed, Judgment, NoReply, Refused, Reply, Scored, Unparsed
from judges.rubric import Rubric

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?!\w)")
OUT_OF = re.compile(r"(\d(?:\.\d+)?)\s*(?:/|out of)\s*\d+")
OBJECT = re.compile(r"\{[^{}]*\}")
REFUSAL = re.compile(
    r"\b(?:i\s+(?:can(?:no|')t|can not|won't|will not|am unable|am not able|must decline)"
    r"|unable to (?:evaluate|grade|judge|score)|i'm (?:sorry|unable))|抱歉|无法评|不能评",
    re.IGNORECASE,
)
KEYS = ("score", "grade", "rating", "verdict", "value")
QUOTED = 60


def parse(reply: Reply | NoReply, rubric: Rubric) -> Judgment:
    """Read one reply by its rubric. The last verdict counts, not one that the judge quotes from the answer."""
    place: dict[str, Any] = {"example_id": reply.example_id, "sample": reply.sample, "repeat": reply.repeat}
    if isinstance(reply, NoReply):
        return Failed(reason=reply.reason, **place)
    value = last_number(reply.text)
    if value is None:
        if REFUSAL.search(reply.text):
            return Refused(reason=reply.text[:QUOTED], **place)
        return Unparsed(reason=f"no number in {reply.text[:QUOTED]!r}", **place)
    if not rubric.scale.low <= value <= rubric.scale.high:
        reason = f"{value:g} is outside {rubric.scale.low:g}–{rubric.scale.high:g}"
        return Unparsed(reason=reason, **place)
    return Scored(value=value, **place)


def last_number(text: str) -> float | None:
    """The verdict: a JSON value if the whole text or its last object is one, else the last number of the text."""
    for candidate in (text, *reversed(OBJECT.findall(text))):
        found = json_number(candidate)
        if found is not None:
            return found
    numbers = NUMBER.findall(OUT_OF.sub(r"\1", text))
    return float(numbers[-1]) if numbers else None


def json_number(text: str) -> float | None:
    """A number, or the number under a verdict's key; None for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if isinstance(value, dict):
        value = next((value[key] for key in KEYS if key in value), None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
