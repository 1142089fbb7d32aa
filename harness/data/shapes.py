"""What the fields of a row mean: known shapes of instruction data, or a field map; conversations as entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.data.formats import Broken
from harness.records.data import Turn
from harness.records.settings import FieldMap

Role = Literal["system", "user", "assistant"]
ALPACA = FieldMap(instruction="instruction", input="input", output="output")
SHAPES: dict[str, FieldMap] = {
    "Alpaca": ALPACA,
    "OpenAI messages": FieldMap(messages="messages"),
    "ShareGPT": FieldMap(messages="conversations"),
    "prompt and completion": FieldMap(instruction="prompt", output="completion"),
    "prompt and response": FieldMap(instruction="prompt", output="response"),
    "question and answer": FieldMap(instruction="question", output="answer"),
}
"""Known shapes; the first whose required fields a row has is its shape."""
ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant",
}  # fmt: skip


PLAIN = str | int | float | bool
"""What is kept of a row's further fields, as text."""


class BadRow(Exception):
    """A row that is no entry; its text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The texts of a row, before it has an id."""

    instruction: str
    input: str
    output: str
    alternatives: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)


def recognise(row: Any, given: FieldMap) -> FieldMap | None:
    """The fields of a row: those given, the rest as the known shape has them; None for a row of no known shape.

    A given field other than `system` and `references` settles the shape: Alpaca's, under the names given.
    """
    if given.messages is not None:
        return given
    if any((given.instruction, given.input, given.output)):
        return ALPACA.model_copy(update={k: v for k, v in given.model_dump().items() if v is not None})
    if not isinstance(row, dict):
        return None
    for fields in SHAPES.values():
        if all(name in row for name in Shape(fields).required):
            return fields.model_copy(update={"system": given.system, "references": given.references})
    return None


class Shape:
    """The fields of a source. `required`: those that each row must have; `named`: all that mean something."""

    def __init__(self, fields: FieldMap) -> None:
        """Settled once: a million rows are held against it."""
        self.fields = fields
        self.required = [name for name in (fields.instruction, fields.output, fields.messages) if name is not None]
        self.named = frozenset(name for name in fields.model_dump().values() if name is not None)


def entry(row: Any, shape: Shape) -> Entry:
    """A row's texts. Raises BadRow."""
    fields = shape.fields
    if isinstance(row, Broken):
        raise BadRow(row.reason)
    if not isinstance(row, dict):
        raise BadRow(f"a row is an object with keys, not {type(row).__name__}")
    for name in shape.required:
        if row.get(name) is None:
            raise BadRow(f"no key `{name}`; the row has: {', '.join(map(str, row)) or 'none'}")
    meta = {str(k): str(v) for k, v in row.items() if k not in shape.named and isinstance(v, PLAIN)}
    system = text(row, fields.system) if fields.system else ""
    opening = (Turn(role="system", text=system),) if system.strip() else ()
    if fields.messages is not None:
        found = conversation(row[fields.messages], fields.messages, opening, meta)
    else:
        found = single(row, fields, opening, meta)
    if fields.references is not None:
        found = replace(found, alternatives=(*found.alternatives, *answers(row, fields.references)))
    check_characters(found)
    return found


def single(row: dict[str, Any], fields: FieldMap, opening: tuple[Turn, ...], meta: dict[str, str]) -> Entry:
    """A row of one exchange; prompt and completion may also be lists of messages, as TRL has them."""
    assert fields.instruction is not None and fields.output is not None  # noqa: S101 - of a shape without messages
    prompt, answer = row[fields.instruction], row[fields.output]
    if isinstance(prompt, list) and isinstance(answer, list):
        return conversation([*prompt, *answer], fields.instruction, opening, meta)
    given = text(row, fields.input) if fields.input else ""
    instruction, outputs = text(row, fields.instruction), answers(row, fields.output)
    if not instruction.strip() or not outputs:
        raise BadRow(f"`{fields.output if instruction.strip() else fields.instruction}` is empty")
    return Entry(instruction, given, outputs[0], outputs[1:], opening, meta)


def answers(row: dict[str, Any], name: str) -> tuple[str, ...]:
    """A text, or each of a list of texts; none of them empty. Raises BadRow."""
    value = row.get(name)
    if not isinstance(value, list):
        return (given,) if (given := text(row, name)).strip() else ()
    for number, each in enumerate(value):
        if not isinstance(each, str) or not each.strip():
            what = "empty" if isinstance(each, str) else f"{type(each).__name__}, not text"
            raise BadRow(f"`{name}[{number}]` is {what}")
    return tuple(value)


def text(row: dict[str, Any], name: str) -> str:
    """A text field; empty where the row has none."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRow(f"`{name}` is {type(value).__name__}, not text")
    return value


# ---------------------------------------------------------------- conversations


def conversation(messages: Any, name: str, opening: tuple[Turn, ...], meta: dict[str, str]) -> Entry:
    """A list of messages: the last exchange is instruction and output, what came before is the history."""
    if not isinstance(messages, list):
        raise BadRow(f"`{name}` is {type(messages).__name__}, not a list of messages")
    turns = [*opening, *(turn(message, f"{name}[{number}]") for number, message in enumerate(messages))]
    check_order(turns, name)
    return Entry(turns[-2].text, "", turns[-1].text, history=tuple(turns[:-2]), meta=meta)


def turn(message: Any, where: str) -> Turn:
    """One message: role and content (OpenAI), or from and value (ShareGPT)."""
    if not isinstance(message, dict):
        raise BadRow(f"`{where}` is {type(message).__name__}, not an object")
    speaker = message.get("role", message.get("from"))
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise BadRow(f"`{where}` has role {speaker!r}; known: {', '.join(ROLES)}")
    content = joined(message.get("content", message.get("value")), where)
    if not content.strip():
        raise BadRow(f"`{where}` is empty")
    return Turn(role=role, text=content)


def joined(content: Any, where: str) -> str:
    """Content as text; a list of text pieces, as OpenAI also has it, is joined."""
    if isinstance(content, list) and all(
        isinstance(piece, dict) and piece.get("type") == "text" and isinstance(piece.get("text"), str)
        for piece in content
    ):
        return "".join(piece["text"] for piece in content)
    if not isinstance(content, str):
        raise BadRow(f"`{where}` has {type(content).__name__} for content, not text")
    return content


def check_order(turns: Sequence[Turn], name: str) -> None:
    """An optional system message, then user and assistant in turn, the assistant last. Raises BadRow."""
    roles = [each.role for each in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if len(spoken) < 2 or len(spoken) % 2 or spoken != ["user", "assistant"] * (len(spoken) // 2):
        said = ", ".join(roles[:8]) + (", …" if len(roles) > 8 else "")
        raise BadRow(f"`{name}` has the roles {said or 'of nobody'}; "
                     "expected: system or not, then user and assistant in turn, the assistant last")  # fmt: skip


def check_characters(found: Entry) -> None:
    """NUL bytes and lone surrogates break tokenizers and files. Raises BadRow."""
    whole = "".join(
        (
            found.instruction,
            found.input,
            found.output,
            *(t.text for t in found.history),
            *found.alternatives,
            *found.meta,
            *found.meta.values(),
        )
    )
    if "\0" in whole:
        raise BadRow("a NUL character in the text")
    if has_half_characters(whole):
        raise BadRow("a lone surrogate (half a character) in the text")


def has_half_characters(text: str) -> bool:
    """Whether it has lone surrogates, as JSON may: no file in UTF-8 can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
