"""Reply text -> Judgment. Pure: the same reply and rubric give the same judgment, whichever backend it came from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.records.rows import Failed, Judgment, NoReply, Refused, Reply, ReplyRow, Scored, Unparsed
from judges.rubric import JsonParser, Rubric, Scale

LOOK_AT = 20_000
"""Characters read from a reply's end: a verdict comes last, and an endless reply must not cost endless time."""

REFUSALS = re.compile(
    r"\b(?:as an ai|i(?:['’]m| am) sorry|i apologi[sz]e|i (?:can['’]t|cannot|can not|won['’]t|am unable|am not able)"
    r"|unable to (?:rate|grade|score|judge|evaluate|assess))\b|抱歉|对不起|我无法|我不能|不能评|无法评",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_]|\.[0-9])")


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """Why a reply holds no verdict."""

    reason: str


def parse(row: ReplyRow, rubric: Rubric) -> Judgment:
    """Exactly one outcome for each row; never a default score."""
    place: dict[str, Any] = {"example_id": row.example_id, "sample": row.sample, "repeat": row.repeat}
    if isinstance(row, NoReply):
        return Failed(**place, reason=f"{row.reason} (after {row.attempts} attempts)")
    verdict = read_verdict(row, rubric)
    if isinstance(verdict, float):
        return Scored(**place, value=verdict)
    refusal = REFUSALS.search(row.text[-LOOK_AT:])
    if refusal and verdict.reason.startswith("no "):
        return Refused(**place, reason=f"it says {refusal[0]!r}")
    return Unparsed(**place, reason=verdict.reason)


def read_verdict(reply: Reply, rubric: Rubric) -> float | NoVerdict:
    """The last verdict in the reply, if it lies on the rubric's scale; what it quotes before that does not count."""
    text = reply.text[-LOOK_AT:].strip()
    if not text:
        return NoVerdict("empty reply")
    if isinstance(rubric.parser, JsonParser):
        verdict = _json_verdict(text, rubric.parser.key)
    else:
        verdict = _integer_verdict(text, rubric.scale, cut_off=reply.finish_reason == "length")
    return verdict if isinstance(verdict, NoVerdict) else _on_scale(verdict, rubric.scale)


def _json_verdict(text: str, key: str) -> float | NoVerdict:
    found = [each[key] for each in _objects(text) if key in each]
    if not found:
        return NoVerdict(f"no JSON object with {key!r}: {_excerpt(text)}")
    value = found[-1]
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NoVerdict(f"{key!r} is not a number: {_excerpt(json.dumps(value, ensure_ascii=False))}")
    return _float(value)


def _float(value: int | float) -> float | NoVerdict:
    try:
        return float(value)
    except OverflowError:
        return NoVerdict("the number is too large")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, outermost ones, in order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _integer_verdict(text: str, scale: Scale, *, cut_off: bool) -> float | NoVerdict:
    bare = re.sub(rf"(?<=\d)\s*(?:/|out of)\s*{scale.high}(?!\d)", "", text, flags=re.IGNORECASE)
    found = list(_NUMBER.finditer(bare))
    if not found:
        return NoVerdict(f"no number: {_excerpt(text)}")
    if cut_off and found[-1].end() == len(bare) and bare == text:
        return NoVerdict(f"cut off within or after its number: {_excerpt(text)}")
    return float(found[-1][0])


def _on_scale(value: float, scale: Scale) -> float | NoVerdict:
    if not math.isfinite(value) or not scale.low <= value <= scale.high:
        return NoVerdict(f"{value:g} lies outside {scale.low}–{scale.high}")
    if value != round(value):
        return NoVerdict(f"{value:g} is not a whole number")
    return value


def _excerpt(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
