"""A prompt style as a chat template in Jinja: other programs then put a conversation as training did."""

from __future__ import annotations

import json

from harness.prompts.rendering import split_template
from harness.records.style import TextStyle

ORDER = "The roles have to take turns, user first; a system message may only open the conversation."


def as_chat_template(style: TextStyle, *, eos: str, opens_with_bos: bool) -> str:
    """A template for `tokenizer.chat_template` that renders messages as `render` does, the content as instruction.

    `eos`: the tokenizer's end-of-sequence token, which closes the last answer, and earlier ones where the style has no
    end of its own. `opens_with_bos`: whether the tokenizer puts BOS before a text; a template has to do it itself.
    """
    opening = (
        "{%- set system = messages[0]['role'] == 'system' -%}"
        "{%- set turns = messages[1:] if system else messages -%}" + _opening(style)
    )
    turns = (
        "{%- for message in turns -%}"
        "{%- set first = loop.first -%}"
        "{%- if message['role'] != ('user' if loop.index0 % 2 == 0 else 'assistant') -%}"
        f"{{{{- raise_exception({_literal(ORDER)}) -}}}}"
        "{%- elif message['role'] == 'user' -%}"
        f"{{{{- {_question(style)} -}}}}"
        "{%- else -%}"
        f"{{{{- {_answer(style, eos)} -}}}}"
        "{%- endif -%}"
        "{%- endfor -%}"
    )
    header = f"{{%- if add_generation_prompt -%}}{{{{- {_literal(style.assistant)} -}}}}{{%- endif -%}}"
    return opening + ("{{- bos_token -}}" if opens_with_bos else "") + turns + header


def _opening(style: TextStyle) -> str:
    """Sets `opening`: what the first question begins with."""
    if not style.system:
        refusal = _literal(f"The prompt style {style.name!r} has no place for a system message.")
        return f"{{%- if system -%}}{{{{- raise_exception({refusal}) -}}}}{{%- endif -%}}{{%- set opening = '' -%}}"
    default = style.system.replace("{system}", style.default_system) if style.default_system else ""
    given = _concatenated(style.system, system="messages[0]['content']")
    return f"{{%- set opening = ({given}) if system else {_literal(default)} -%}}"


def _question(style: TextStyle) -> str:
    inside = "{system}" in style.user
    opening = "(opening if first else '')"
    user = _concatenated(style.user, instruction="message['content']", system=opening)
    parts = [f"('' if first else {_literal(style.separator)})", *([] if inside else [opening]), user]
    return " + ".join(parts)


def _answer(style: TextStyle, eos: str) -> str:
    response = _concatenated(style.response, output="message['content']")
    return f"{_literal(style.assistant)} + {response} + {_end(style.end, eos)}"


def _end(end: str, eos: str) -> str:
    if not end:
        return "eos_token"
    return _literal(end) if end.endswith(eos) else f"{_literal(end)} + (eos_token if loop.last else '')"


def _concatenated(template: str, **values: str) -> str:
    """A Jinja expression for the template; placeholders without an expression are left empty."""
    pieces = [
        values.get(text) if is_placeholder else _literal(text) if text else None
        for text, is_placeholder in split_template(template)
    ]
    return " + ".join(piece for piece in pieces if piece) or "''"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
