"""What the fields of a row mean: known shapes of instruction data, or a field map; conversations as entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    "Dolly": FieldMap(instruction="instruction", input="context", output="response"),
}
"""Known shapes; the first for whose required fields a row has values is its shape."""
NOTHING: frozenset[str] = frozenset()
BESIDE: dict[str, type] = {"system": str, "history": list}
"""What may stand beside an exchange under these names, as in LLaMA-Factory: a system message; questions and answers."""
ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant",
}  # fmt: skip


PLAIN = str | int | float | bool
"""What is kept of a row's further fields, as text."""


NO_KEY = "no key "
"""How the reason begins of a row that lacks a field of its shape."""


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
    filled = {name for name, value in row.items() if value is not None}
    for names in (filled, row.keys()):
        for fields in SHAPES.values():
            if names >= set(Shape(fields).required):
                return fields.model_copy(update={"system": given.system, "references": given.references})
    return None


class Shape:
    """The fields of a source. `required`: those that each row must have; `named`: all that mean something; `beside`: of
    BESIDE, those that mean something where they hold it: both in rows of one exchange with an input, as Alpaca's, and
    the system message in ShareGPT's.
    """

    def __init__(self, fields: FieldMap) -> None:
        """Settled once: a million rows are held against it."""
        self.fields = fields
        self.required = [name for name in (fields.instruction, fields.output, fields.messages) if name is not None]
        self.named = frozenset(name for name in fields.model_dump().values() if name is not None)
        taken = self.named if fields.system is None else self.named | {"system"}
        known = BESIDE if fields.input else {"system"} if fields.messages == "conversations" else ()
        self.beside = tuple(name for name in known if name not in taken)

    def found_beside(self, row: dict[str, Any]) -> frozenset[str]:
        """The names of `beside` under which the row has something."""
        if row.keys().isdisjoint(self.beside):  # most rows, of which there may be millions
            return NOTHING
        return frozenset(name for name in self.beside if isinstance(row.get(name), BESIDE[name]) and row[name])


def entry(row: Any, shape: Shape) -> Entry:
    """A row's texts. Raises BadRow."""
    fields = shape.fields
    if isinstance(row, Broken):
        raise BadRow(row.reason)
    if not isinstance(row, dict):
        raise BadRow(f"a row is an object with keys, not {type(row).__name__}")
    for name in shape.required:
        if row.get(name) is None:
            raise BadRow(f"{NO_KEY}`{name}`; the row has: {', '.join(map(str, row)) or 'none'}")
    beside = shape.found_beside(row)
    meaning = shape.named | beside if beside else shape.named
    meta = {str(k): str(v) for k, v in row.items() if k not in meaning and isinstance(v, PLAIN)}
    speaks = "system" if "system" in beside else fields.system
    system = text(row, speaks) if speaks else ""
    opening = (Turn(role="system", text=system),) if system.strip() else ()
    if "history" in beside:
        opening = (*opening, *pairs(row["history"], "history"))
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
    said = [turn(message, f"{name}[{number}]") for number, message in enumerate(messages)]
    turns = [each for each in said if each is not None]
    turns = turns if opening == tuple(turns[:1]) else [*opening, *turns]
    check_order(turns, name)
    if not turns[-1].weight:
        raise BadRow(f"the last answer of `{name}` has weight 0: there is nothing to learn from it, and to test by")
    return Entry(turns[-2].text, "", turns[-1].text, history=tuple(turns[:-2]), meta=meta)


def pairs(history: list[Any], name: str) -> Iterator[Turn]:
    """Earlier exchanges, a list of question and answer each."""
    for number, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise BadRow(f"`{name}[{number}]` is not a pair of question and answer")
        if not all(each.strip() for each in pair):
            raise BadRow(f"`{name}[{number}]` is empty")
        yield Turn(role="user", text=pair[0])
        yield Turn(role="assistant", text=pair[1])


def turn(message: Any, where: str) -> Turn | None:
    """One message: role and content (OpenAI), or from and value (ShareGPT); None for an empty system message."""
    if not isinstance(message, dict):
        raise BadRow(f"`{where}` is {type(message).__name__}, not an object")
    speaker = message.get("role", message.get("from"))
    role = ROLES.get(speaker.casefold()) if isinstance(speaker, str) else None
    if role is None:
        raise BadRow(f"`{where}` has role {speaker!r}; known: {', '.join(ROLES)}")
    content = joined(message.get("content", message.get("value")), where)
    if not content.strip():
        if role == "system":
            return None
        raise BadRow(f"`{where}` is empty")
    weight = message.get("weight")
    if role != "assistant" or weight is None:
        return Turn(role=role, text=content)
    if weight not in (0, 1):
        raise BadRow(f"`{where}` has weight {weight!r}; known: 0, 1")
    return Turn(role=role, text=content, weight=0 if weight == 0 else 1)


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
