"""Examples and splits."""

from __future__ import annotations

from typing import Literal

from harness.records.base import Record


class Turn(Record):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


class Example(Record):
    """One instruction with its reference answer, and the conversation that came before it (mostly none)."""

    id: str
    """Content hash (12 hex digits); a repeated entry gets the suffix `-2`, `-3`, …"""
    instruction: str
    input: str = ""
    output: str
    history: tuple[Turn, ...] = ()
    """Turns before `instruction`, oldest first: an optional system message, then user and assistant in turn."""
    meta: dict[str, str] = {}
    """Any further text fields of the source row (family, language, …), for slices."""


SplitName = Literal["train", "validation", "test"]


class SplitExample(Record):
    """An example and the part of the split that it fell into. `index` is its 0-based row in the source."""

    split: SplitName
    index: int
    example: Example
