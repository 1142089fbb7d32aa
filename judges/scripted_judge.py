"""A judge without a model, for tests and demos: it grades by word overlap, and can misbehave on demand."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import ClassVar

from judges.base import Answer, Backend, Busy, Options, Request

RULE = "1: F1 of the words of the answer and the reference, the last two JSON strings of the request, onto the scale"
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
FAULTS = ("busy_every", "garbage_every", "refuse_every", "fail_every")


class ScriptedJudge(Backend):
    """Not an LLM. Faults strike every n-th request, chosen by its content: `busy_every` only once a request."""

    name: ClassVar[str] = "scripted"
    known: ClassVar[dict[str, str | int | float | bool]] = dict.fromkeys(FAULTS, 0)

    def __init__(self, model: str, options: Options) -> None:
        """`model` means nothing here."""
        self.faults: dict[str, int] = self.checked(options)
        self.slots = 4
        self.block = 1
        self._was_busy: set[str] = set()

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """The rule itself."""
        cls.checked(options)
        return RULE

    def begin_block(self) -> None:
        """Nothing is left behind between requests."""

    def ask(self, request: Request) -> Answer:
        """Grade, or misbehave."""
        if self._strikes("busy_every", request) and request.digest not in self._was_busy:
            self._was_busy.add(request.digest)
            raise Busy("scripted: busy", retry_after=0.0)
        if self._strikes("fail_every", request):
            raise RuntimeError("scripted: failure")
        text = self._verdict(request)
        if self._strikes("garbage_every", request):
            text = "scripted garbage"
        elif self._strikes("refuse_every", request):
            text = "I cannot grade this."
        return Answer(text, "stop", len(request.user.split()), 1)

    def _strikes(self, fault: str, request: Request) -> bool:
        every = self.faults[fault]
        # another eight digits of the digest for each fault, so that they strike apart
        place = 8 * FAULTS.index(fault)
        return every > 0 and int(request.digest[place : place + 8], 16) % every == 0

    def _verdict(self, request: Request) -> str:
        texts = [str(json.loads(text)) for text in STRING.findall(request.user)]
        reference, answer = texts[-2:] if len(texts) >= 2 else ("", "")
        low, high = scale(request.schema)
        return str(round(low + (high - low) * overlap(reference, answer)))


def scale(schema: str | None) -> tuple[float, float]:
    """Smallest and largest answer that the schema allows; 0 and 100 without one."""
    parsed = json.loads(schema) if schema else {}
    if "enum" in parsed:
        return min(parsed["enum"]), max(parsed["enum"])
    return parsed.get("minimum", 0), parsed.get("maximum", 100)


def overlap(reference: str, answer: str) -> float:
    """F1 of the two texts' words, in [0, 1]; a CJK character is a word."""
    ours, theirs = (Counter(re.findall(r"[一-鿿]|[^\W一-鿿]+", text.casefold())) for text in (answer, reference))
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0
