"""An example and a style become segments of text: the one function through which every prompt is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from harness.errors import DataError
from harness.prompts.chat_template import render_chat_template
from harness.prompts.segments import Exchange, Role, Segment, conversation
from harness.records.data import Example
from harness.records.rows import Cut
from harness.records.style import PLACEHOLDERS, ChatTemplateStyle, PromptStyle, TextStyle
from harness.thoughts import without_thoughts


def render(style: PromptStyle, example: Example, tokenizer: Any = None) -> tuple[Segment, ...]:
    """Segments of the whole conversation, in order; an empty input leaves no trace.

    `tokenizer` brings the template of the style `chat-template`; other styles need none. Raises DataError for a
    conversation that the style cannot put, ModelError for a tokenizer without a usable template.
    """
    if isinstance(style, ChatTemplateStyle):
        return render_chat_template(example, tokenizer)
    return _render_text(style, example)


def inference_prompt(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments before the last answer: what a model is given to answer."""
    last = max(index for index, segment in enumerate(segments) if segment.role == "response")
    return tuple(segments[:last])


def stop_strings(style: PromptStyle) -> tuple[str, ...]:
    """Strings at which a response has ended."""
    if isinstance(style, ChatTemplateStyle):
        return ()
    end = style.end.rstrip() or style.end  # white space before it may tell it from an answer's own words
    return tuple(dict.fromkeys(text for text in (end, *style.stop) if text))


LEAST_HEADER = 5
"""Characters of the shortest header of a style that is told apart from an answer's own words: `USER:`."""
PREAMBLE = 40
"""Characters of a default system message by which it is known where a model writes it, in whichever version."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and what was cut off it."""

    text: str
    cuts: tuple[Cut, ...] = ()


def answer(style: PromptStyle, generated: str) -> Answer:
    """The answer inside generated text, without the thoughts before it and what the style puts around it.

    It ends at the first stop string. A model that goes on with the template is cut by rule: the answer's own header at
    its start, and from a line on that repeats a header or opens the next question.
    """
    text = without_thoughts(generated)
    cuts: list[Cut] = ["thoughts"] if text != generated else []
    if isinstance(style, ChatTemplateStyle):
        return Answer(text, tuple(cuts))
    before, after = style.response.split("{output}")
    found = [place for stop in stop_strings(style) if (place := text.find(stop)) >= 0]
    if found:
        text = text[: min(found)]
        cuts.append("stop")
    text = text.removeprefix(before).removesuffix(after)
    own = _without_template(style, text)
    return Answer(own, (*cuts, "template") if own != text else tuple(cuts))


def _without_template(style: TextStyle, text: str) -> str:
    header = style.assistant.strip()
    if len(header) >= LEAST_HEADER and text.lstrip().startswith(header):
        text = text.lstrip().removeprefix(header).lstrip()
    again = _template_again(style)
    found = again.search(text) if again else None
    return text[: found.start()].rstrip() if found else text


@lru_cache(maxsize=256)
def _template_again(style: TextStyle) -> re.Pattern[str] | None:
    """The start of a line with which a model repeats the template; None where the style has no words of its own.

    A header that the style puts on a line of its own is one there only.
    """
    headers = [style.user.split("{")[0].strip(), style.default_system[:PREAMBLE]]
    starts = [re.escape(header) for header in headers if len(header) >= LEAST_HEADER]
    for template in (style.input.split("{")[0], style.assistant):
        header, alone = template.strip(), template.rstrip(" \t").endswith("\n")
        if len(header) >= LEAST_HEADER:
            starts.append(re.escape(header) + (r"[ \t]*$" if alone else ""))
    return re.compile(rf"^[ \t]*(?:{'|'.join(starts)})", re.MULTILINE) if starts else None


Piece = tuple[str, bool]
"""Text, and whether an entry says it (and not the style)."""
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


@lru_cache(maxsize=256)
def split_template(template: str) -> tuple[tuple[str, bool], ...]:
    """(text or a placeholder's name, whether it is a placeholder), in order."""
    return tuple((part, bool(index % 2)) for index, part in enumerate(_PLACEHOLDER.split(template)))


def _fill(template: str, **values: list[Piece]) -> list[Piece]:
    """The template with all placeholders replaced in one pass: nothing that an entry says is read as a template."""
    pieces: list[Piece] = []
    for text, is_placeholder in split_template(template):
        pieces += values[text] if is_placeholder else [(text, False)]
    return pieces


def _segment(pieces: Sequence[Piece], role: Role, *, past: bool) -> Segment:
    end, literal = 0, []
    for text, said in pieces:
        start, end = end, end + len(text)
        if said and text:
            literal.append((start, end))
    return Segment("".join([text for text, _ in pieces]), role, past, tuple(literal))


@lru_cache(maxsize=256)
def _own(text: str, role: Role, *, past: bool) -> Segment:
    """A segment of nothing but the style's text."""
    return Segment(text, role, past)


def _render_text(style: TextStyle, example: Example) -> tuple[Segment, ...]:
    system, exchanges = conversation(example)
    if system is not None and not style.system:
        raise DataError(
            f"the prompt style {style.name!r} has no place for a system message",
            where=f"example {example.id}",
            hint="add `system:` to the style's file, or choose another style",
        )
    opening = _system(style, system)
    segments: list[Segment] = []
    for number, exchange in enumerate(exchanges):
        past = number < len(exchanges) - 1
        prompt = _question(style, exchange, opening if number == 0 else [])
        if number > 0:
            prompt = [(style.separator, False), *prompt]
        segments += [
            _segment(prompt, "prompt", past=past),
            *(replace(each, silent=True) if exchange.silent else each for each in _answer(style, exchange, past=past)),
        ]
    return tuple(segments)


def _answer(style: TextStyle, exchange: Exchange, *, past: bool) -> tuple[Segment, Segment, Segment]:
    return (
        _own(style.assistant, "header", past=past),
        _segment(_fill(style.response, output=[(exchange.output, True)]), "response", past=past),
        _own(style.end, "end", past=past),
    )


def _system(style: TextStyle, system: str | None) -> list[Piece]:
    if system is not None:
        return _fill(style.system, system=[(system, True)])
    return _fill(style.system, system=[(style.default_system, False)]) if style.default_system else []


def _question(style: TextStyle, exchange: Exchange, system: list[Piece]) -> list[Piece]:
    given = _fill(style.input, input=[(exchange.input, True)]) if exchange.input else []
    inside = "{system}" in style.user
    user = _fill(style.user, instruction=[(exchange.instruction, True)], input=given, system=system if inside else [])
    return user if inside else [*system, *user]
