"""YAML text -> one record. Problems come all together, each with its line; a key that stands twice is one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from harness.errors import SpecError
from harness.records.base import Record

Location = tuple[str | int, ...]
PYDANTIC_ERRORS = frozenset(get_args(ErrorType))
"""Kinds of errors that pydantic itself raises; others carry a message of ours."""
R = TypeVar("R", bound=Record)


def parse_record(  # noqa: PLR0913 - how one kind of file is read and spoken of
    text: str,
    where: str,
    record: type[R],
    what: str,
    *,
    hint: str | None = None,
    check: Callable[[Any, str], None] = lambda root, where: None,
) -> R:
    """The record that YAML text spells out; `where` names the text in messages, `what` says what it is.

    `check` sees the YAML node before anything of it is quoted in a message, and may raise SpecError.

    Raises SpecError with every problem: `FILE:LINE: axes.masking[0]: …; did you mean …?`
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
        json.dumps(raw, default=str, skipkeys=True)  # what holds itself (by an anchor) is a ValueError
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        said = getattr(e, "problem", None) or str(e)
        if r"'\t'" in said:
            said = "a tab, where only spaces may stand; write spaces"
        raise SpecError([f"{where}{line}: not YAML: {said}"]) from e
    except ValueError as e:  # a date that is none
        raise SpecError([f"{where}: not YAML: {e}"]) from e
    if not isinstance(raw, dict):
        raise SpecError([f"{where}:1: {what} is a mapping with the keys {', '.join(record.model_fields)}"])
    check(root, where)
    problems = [(line, f"{where}:{line}: {place}: listed twice") for line, place in repeated_keys(root)]
    try:
        made = record.model_validate(raw)
    except ValidationError as e:
        errors = root_causes(e.errors(include_url=False))
        problems += [problem(error, root, where, record, what) for error in errors]
    if problems:
        raise SpecError([text for _, text in sorted(problems)], hint=hint)
    return made


def root_causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Errors without those that only echo another: a list of one bad item is also reported as too short."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(place != error["loc"] and place[: len(error["loc"])] == error["loc"] for place in places)
        if not of_another_form(error, places)
    ]


def of_another_form(error: ErrorDetails, places: list[Location]) -> bool:
    """Whether it only says that a list is none of the words allowed in its place, and another what ails the list."""
    loc = error["loc"]
    if error["type"] != "literal_error" or not isinstance(error["input"], list) or "[" not in str(loc[-1]):
        return False
    return any(place != loc and place[: len(loc) - 1] == loc[:-1] for place in places)


def problem(error: ErrorDetails, root: Any, where: str, record: type[BaseModel], what: str) -> tuple[int, str]:
    """(line, message) for one pydantic error."""
    location = tuple(part for part in error["loc"] if not (isinstance(part, str) and "[" in part))
    if error["type"] == "missing" and location:
        line = line_of(root, location[:-1])
        return line, f"{where}:{line}: {spoken(location[:-1]) or what}: `{location[-1]}` is missing"
    line = line_of(root, location)
    said = message(error, location, record)
    return line, f"{where}:{line}: {spoken(location)}: {said}" if location else f"{where}:{line}: {said}"


def message(error: ErrorDetails, location: Location, record: type[BaseModel]) -> str:  # noqa: PLR0911 - one a kind
    """What is wrong with a value, the value, and the nearest right one."""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key{nearest(str(location[-1]), keys_at(location[:-1], record))}"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
            return f"{error['input']!r} is not allowed{nearest(str(error['input']), allowed)}"
        case "too_short":
            return "no value; give at least one"
        case "tuple_type":
            return f"a list is expected, with a dash before each item: `- {first_of(error['input'])}`"
        case "model_type":
            key = keys_at(location, record)[0]
            return f"a mapping with keys such as `{key}: …` is expected, not {error['input']!r}"
        case "string_pattern_mismatch":
            told = model_at(location[:-1], record).model_fields[str(location[-1])].description
            return f"{error['input']!r} does not fit. {told}"
        case kind if kind not in PYDANTIC_ERRORS:
            return error["msg"]
        case _:
            return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def nearest(given: str, known: list[str]) -> str:
    """`; did you mean 'x'? known: …`"""
    near = get_close_matches(given, known, n=1, cutoff=0.5)
    return (f"; did you mean '{near[0]}'?" if near else ";") + f" known: {', '.join(known)}"


def first_of(value: Any) -> str:
    """How an item begins that was written where a list should stand."""
    match value:
        case dict() if value:
            return f"{next(iter(value))}: …"
        case None | dict():
            return "…"
        case _:
            return str(value)


def keys_at(location: Location, record: type[BaseModel]) -> list[str]:
    """Keys that the record knows at a place of its file."""
    return list(model_at(location, record).model_fields)


def model_at(location: Location, record: type[BaseModel]) -> type[BaseModel]:
    """The model of what stands at a place of a record's file."""
    model = record
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = innermost_model(model.model_fields[part].annotation) or model
    return model


def innermost_model(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `tuple[X, ...]`, `X | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for arg in get_args(annotation) if (model := innermost_model(arg))), None)


def spoken(location: Location) -> str:
    """axes.masking[0]."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def line_of(root: Any, location: Location) -> int:
    """1-based line of the deepest node on the way to a location; for a key, the key's line."""
    node, line = root, int(root.start_mark.line) + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def repeated_keys(node: Any, place: Location = ()) -> list[tuple[int, str]]:
    """(line, place) of every key that stands twice in one mapping; YAML would silently take the last."""
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((key.start_mark.line + 1, spoken((*place, key.value))))
            seen.add(key.value)
            found += repeated_keys(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += repeated_keys(value, (*place, index))
    return found
