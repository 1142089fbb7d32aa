"""Reply text -> Judgment. Pure: the same reply and rubric give the same judgment, whichever backend it came from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.records.rows import Failed, Judgment, NoReply, Refused, Reply, ReplyRow, Same, Scored, Unparsed
from harness.thoughts import THOUGHT, THOUGHT_END
from judges.expected import expected_score
from judges.rubric import ChecklistParser, IntegerParser, JsonParser, LabelParser, Rubric, Scale
from judges.verdict import NoVerdict, Verdict

LOOK_AT = 20_000
"""Characters read from a reply's end: a verdict comes last, and an endless reply must not cost endless time."""

REFUSALS = re.compile(
    r"\b(?:as an ai|i(?:['’]m| am) sorry|i apologi[sz]e|i (?:can['’]t|cannot|can not|won['’]t|am unable|am not able)"
    r"|unable to (?:rate|grade|score|judge|evaluate|assess))\b|抱歉|对不起|我无法|我不能|不能评|无法评",
    re.IGNORECASE,
)
FILTERED = "content_filter"
"""Finish reason by which a service says that it held the reply back."""

_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_]|\.[0-9])")
_END = r"[\s*_`]{0,5}(?P<%s>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?![0-9]|[.,][0-9])"
_TO = r"\s{0,3}(?:to|and|[-–—])\s{0,3}"
_SCALE = re.compile(
    rf"(?:/|\bout\s{{1,3}}of(?:\s{{1,3}}(?:an?|possible|maximum|total|of)\b){{0,4}}|满分[为是]?){_END % 'of'}"
    rf"|\bscale\s{{1,3}}(?:(?:from|of|between)\s{{1,3}})?-?[0-9]{{1,9}}{_TO}{_END % 'to'}"
    rf"|\bscale\s{{1,3}}(?:of|up\sto){_END % 'up_to'}"
    rf"|(?<![0-9.])-?[0-9]{{1,9}}{_TO}{_END % 'named'}[\s-]{{1,3}}(?:point\s)?scale\b"
    rf"|\b(?:where|and){_END % 'worth'}\s{{1,3}}(?:is|means|being)\s{{1,3}}(?:the\s)?"
    r"(?:best|highest|top|perfect|maximum|worst|lowest|minimum)\b",
    re.IGNORECASE,
)
"""What a reply says of its scale instead of on it. Each group is the scale's end."""

_OPENING = re.compile(r"[\s*_`\"'#>]*(?:(?:score|rating|得分|评分|分数)[\s*_`:：=]*)?", re.IGNORECASE)
_ALONE = re.compile(
    r"[\s*_`\"']{0,99}(?:points?\b|分)?[\s*_`\"']{0,9}(?=[.,;:!?()\[–—。，；：！（-]|[A-Z]|\Z)|[ \t*_`\"']{0,99}\n"
)
"""What stands before and after a number with which a reply begins and says all: `**85.** The answer`, not `4 of 5`."""

_LIST = re.compile(r"1[.)][ \t].*?^[ \t]*2[.)][ \t]", re.DOTALL | re.MULTILINE)
_JOINED = re.compile(r"(?<![0-9])[0-9]+(?:,[0-9]+)+")
_YES, _NO = {"yes", "true", "y"}, {"no", "false", "n"}


def parse(row: ReplyRow, rubric: Rubric, *, expected: bool = False) -> Judgment:
    """Exactly one outcome for each row; never a default score.

    `expected`: where the reply's log-probabilities tell, the value is the mean over what the judge might have said
    instead of what it happened to say. Of a pairwise rubric, the value is that of the answer that was judged, in
    whichever place it stood.
    """
    place: dict[str, Any] = {"example_id": row.example_id, "sample": row.sample, "repeat": row.repeat}
    if isinstance(row, NoReply):
        return Failed(**place, reason=f"{row.reason} (after {row.attempts} attempts)")
    if isinstance(row, Same):
        return Scored(**place, value=(rubric.scale.low + rubric.scale.high) / 2, same=True)
    if row.finish_reason == FILTERED:
        return Refused(**place, reason="the service's content filter held the reply back")
    verdict = read_verdict(row, rubric)
    if isinstance(verdict, Verdict):
        found = expected_score(row.tokens, row.text, verdict, rubric) if expected else None
        value = verdict.value if found is None else found
        return Scored(**place, value=_own(value, row, rubric), fallback=expected and found is None)
    refusal = REFUSALS.search(_said(row))
    if refusal and verdict.reason.startswith("no "):
        return Refused(**place, reason=f"it says {refusal[0]!r}")
    return Unparsed(**place, reason=verdict.reason)


def read_replies(rows: Sequence[ReplyRow], rubric: Rubric, *, expected: bool = False) -> list[Judgment]:
    """A judgment a row, in their order. Of a pair that was asked about in two orders, both have a verdict or neither.

    A verdict in one order only would count the place for the answer.
    """
    found = [parse(row, rubric, expected=expected) for row in rows]
    if rubric.mode == "pointwise":
        return found
    by_place = {(each.example_id, each.sample, each.repeat): each for each in found}
    return [_with_other(each, by_place.get((each.example_id, each.sample, each.repeat ^ 1))) for each in found]


def _with_other(one: Judgment, other: Judgment | None) -> Judgment:
    """The judgment, unscored where the one with the answers swapped is."""
    if not isinstance(one, Scored) or isinstance(other, Scored):
        return one
    place: dict[str, Any] = {"example_id": one.example_id, "sample": one.sample, "repeat": one.repeat}
    if other is None:
        return Unparsed(**place, reason="not asked with the answers swapped")
    return type(other)(**place, reason=f"with the answers swapped: {other.reason}")


def _own(value: float, reply: Reply, rubric: Rubric) -> float:
    """The value for the answer that is judged: mirrored where it stood second."""
    swapped = rubric.mode == "pairwise" and reply.repeat % 2 == 1
    return rubric.scale.low + rubric.scale.high - value if swapped else value


def read_verdict(reply: Reply, rubric: Rubric) -> Verdict | NoVerdict:
    """The last verdict in the reply, if it lies on the rubric's scale; what it quotes before that does not count."""
    text = _said(reply)
    if not text.strip():
        cut = reply.finish_reason == "length"
        return NoVerdict("cut off at max_tokens before any text" if cut else "empty reply")
    if reply.text.rpartition(THOUGHT_END)[2].lstrip().startswith(THOUGHT):
        return NoVerdict("its thoughts have no end")
    found = _found(text, rubric, cut_off=reply.finish_reason == "length")
    if isinstance(found, NoVerdict):
        return found
    moved = len(reply.text) - len(text)
    return Verdict(found.value, found.start + moved, found.end + moved)


def _said(reply: Reply) -> str:
    """The end of a reply, without the thoughts before it."""
    return reply.text.rpartition(THOUGHT_END)[2][-LOOK_AT:]


def _found(text: str, rubric: Rubric, *, cut_off: bool) -> Verdict | NoVerdict:
    match rubric.parser:
        case JsonParser(key=key):
            verdict = _json_verdict(text, key)
        case IntegerParser():
            verdict = _integer_verdict(text, rubric.scale, cut_off=cut_off)
        case LabelParser() as parser:
            return _label_verdict(text, parser)
        case ChecklistParser() as parser:
            return _checklist_verdict(text, parser, rubric.scale)
    return verdict if isinstance(verdict, NoVerdict) else _on_scale(verdict, rubric.scale)


def _json_verdict(text: str, key: str) -> Verdict | NoVerdict:
    found = [each for each in _objects(text) if key in each.content]
    if not found:
        return NoVerdict(f"no JSON object with {key!r}: {_excerpt(text)}")
    value = found[-1].content[key]
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NoVerdict(f"{key!r} is not a number: {_excerpt(json.dumps(value, ensure_ascii=False))}")
    try:
        return Verdict(float(value), *_value_span(text, found[-1], key))
    except OverflowError:
        return NoVerdict("the number is too large")


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object in a text, and where."""

    content: dict[str, Any]
    start: int
    end: int


def _objects(text: str) -> Iterator[_Object]:
    """JSON objects in a text, outermost ones, in order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield _Object(value, at, end)
        at = text.find("{", end)


def _value_span(text: str, found: _Object, key: str) -> tuple[int, int]:
    """Where the value of `key` stands, without its quotes; the object's end where its key is written in escapes."""
    places = list(re.finditer(rf'"{re.escape(key)}"\s*:\s*"?', text[found.start : found.end]))
    start = found.start + places[-1].end() if places else found.end
    end = re.compile(r'[\s",}]|$').search(text, start)
    return start, end.start() if end else start


def _integer_verdict(text: str, scale: Scale, *, cut_off: bool) -> Verdict | NoVerdict:
    elsewhere = [found.span() for found in _JOINED.finditer(text)]

    def blank(phrase: re.Match[str]) -> str:
        end = float(phrase[phrase.lastgroup]) if phrase.lastgroup else scale.high
        if end == scale.high or (end == scale.low and phrase.lastgroup == "worth"):
            return " " * len(phrase[0])
        elsewhere.append(phrase.span())
        return phrase[0]

    own = re.compile(rf"(?<![0-9.]){scale.low}{_TO}{scale.high}(?![0-9]|[.,][0-9])", re.IGNORECASE)
    bare = own.sub(blank, _SCALE.sub(blank, text))
    found = list(_NUMBER.finditer(bare))
    if not found:
        return NoVerdict(f"no number: {_excerpt(text)}")
    last = found[-1]
    if any(start <= last.start() < end for start, end in elsewhere):
        return NoVerdict(f"not one number of this scale: {_excerpt(text[max(0, last.start() - 20) :])}")
    if cut_off and last.end() == len(text.rstrip()):
        return NoVerdict(f"cut off within or after its number: {_excerpt(text)}")
    if _begins_with(found[0], bare) and float(found[0][0]) != float(last[0]):
        return NoVerdict(f"two numbers: {_excerpt(text)}")
    return Verdict(float(last[0]), *last.span())


def _begins_with(first: re.Match[str], text: str) -> bool:
    """Whether the reply begins with this number as with its verdict, and not with a list or a sentence about it."""
    opening = _OPENING.fullmatch(text, 0, first.start())
    return bool(opening and _ALONE.match(text, first.end()) and not _LIST.match(text, first.start()))


def _label_verdict(text: str, parser: LabelParser) -> Verdict | NoVerdict:
    worth = {label.casefold(): value for label, value in parser.labels.items()}
    if parser.key is not None:
        objects = [each for each in _objects(text) if parser.key in each.content]
        if not objects:
            return NoVerdict(f"no JSON object with {parser.key!r}: {_excerpt(text)}")
        said = str(objects[-1].content[parser.key]).strip()
        if said.casefold() not in worth:
            return NoVerdict(f"{_excerpt(said)} is none of {', '.join(parser.labels)}")
        return Verdict(worth[said.casefold()], *_value_span(text, objects[-1], parser.key))
    words = "|".join(re.escape(label) for label in sorted(parser.labels, key=len, reverse=True))
    found = list(re.finditer(rf"(?<!\w)(?:{words})(?!\w)", text, flags=re.IGNORECASE))
    if not found:
        return NoVerdict(f"no verdict of {', '.join(parser.labels)}: {_excerpt(text)}")
    return Verdict(worth[found[-1][0].casefold()], *found[-1].span())


def _checklist_verdict(text: str, parser: ChecklistParser, scale: Scale) -> Verdict | NoVerdict:
    found = [each for each in _objects(text) if all(key in each.content for key in parser.keys)]
    if not found:
        return NoVerdict(f"no JSON object with {', '.join(map(repr, parser.keys))}: {_excerpt(text)}")
    yes = 0
    for key in parser.keys:
        said = str(found[-1].content[key]).strip().casefold()
        if said not in _YES | _NO:
            return NoVerdict(f"{key!r} is neither yes nor no: {_excerpt(said)}")
        yes += said in _YES
    value = scale.low + (scale.high - scale.low) * yes / len(parser.keys)
    return Verdict(value, found[-1].start, found[-1].end)


def _on_scale(verdict: Verdict, scale: Scale) -> Verdict | NoVerdict:
    value = verdict.value
    if not math.isfinite(value) or not scale.low <= value <= scale.high:
        return NoVerdict(f"{value:g} lies outside {scale.low}–{scale.high}")
    if value != round(value):
        return NoVerdict(f"{value:g} is not a whole number")
    return verdict


def _excerpt(text: str, most: int = 80) -> str:
    text = text.strip()
    return repr(text if len(text) <= most else text[: most - 1] + "…")
