"""A conversation as exchanges, and a rendered text as stretches with one role each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import DataError
from harness.records.data import Example

Role = Literal["prompt", "header", "response", "end"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with one role. Tokenised apart and joined, so that a mask is exact by construction.

    `prompt`: whatever is asked; `header`: the marker that opens an answer; `response`: the answer; `end`: what closes
    it (the last one, and one without text, is followed by the end-of-sequence token). `past`: part of an exchange
    before the last. `literal`: (start, end) of what the entry itself says; no control token is read there. `silent`: it
    carries no loss, whatever the masking.
    """

    text: str
    role: Role
    past: bool = False
    literal: tuple[tuple[int, int], ...] = ()
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer; nobody is to learn one that is `silent`."""

    instruction: str
    input: str
    output: str
    silent: bool = False


def conversation(example: Example) -> tuple[str | None, tuple[Exchange, ...]]:
    """(system message, exchanges). Raises DataError where user and assistant do not take turns."""
    turns = list(example.history)
    system = turns.pop(0).text if turns and turns[0].role == "system" else None
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2):
        raise DataError(
            f"the turns before the last question are {', '.join(roles)}; user and assistant have to take turns",
            where=f"example {example.id}",
            hint="drop the entry, or mend the order of its messages",
        )
    past = [Exchange(turns[i].text, "", turns[i + 1].text, turns[i + 1].weight == 0) for i in range(0, len(turns), 2)]
    return system, (*past, Exchange(example.instruction, example.input, example.output))
