"""JSON schema -> what a reply is forced to be: the known beginning, a grammar for the rest, and the known end.

A model that may only say `{"score": 4}` need not be asked for `{"score": `: given as the beginning of its reply, that
costs no generation, and the first token that the model chooses is the verdict itself: its log-probabilities tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_CHOICES = 1001
"""A range of integers is spelled out, number by number, up to this many."""


@dataclass(frozen=True, slots=True)
class Forced:
    """`prefix` + whatever `grammar` (GBNF, llama.cpp's notation) allows + `suffix` follows the schema."""

    prefix: str
    grammar: str
    suffix: str


def forced(schema: Mapping[str, Any]) -> Forced | None:
    """None for a schema beyond what is read here: bounded integer, enum, boolean, string; flat objects of them."""
    if schema.get("type") != "object":
        rule = _value(schema)
        return None if rule is None else Forced("", f"root ::= {rule}\n", "")
    properties: Mapping[str, Any] = schema.get("properties", {})
    rules = [_value(each) for each in properties.values()]
    if not rules or None in rules or set(schema.get("required", ())) != set(properties):
        return None
    keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in properties]
    parts = [f"({rules[0]})"]
    for key, rule in zip(keys[1:], rules[1:], strict=True):
        parts += [_literal(f", {key}"), f"({rule})"]
    return Forced("{" + keys[0], f"root ::= {' '.join(parts)}\n", "}")


def _value(schema: Mapping[str, Any]) -> str | None:
    """The right side of a grammar rule for one plain value."""
    if "enum" in schema:
        return " | ".join(_literal(json.dumps(each, ensure_ascii=False)) for each in schema["enum"])
    match schema.get("type"):
        case "integer":
            return _integers(schema.get("minimum"), schema.get("maximum"))
        case "boolean":
            return '"true" | "false"'
        case "string":
            return r'"\"" ([^"\\\x00-\x1F] | "\\" ["\\/bfnrt])* "\""'
        case _:
            return None


def _integers(low: int | None, high: int | None) -> str | None:
    if low is None or high is None or not 0 <= high - low < MOST_CHOICES:
        return None
    return " | ".join(_literal(str(number)) for number in range(low, high + 1))


def _literal(text: str) -> str:
    """A GBNF string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
