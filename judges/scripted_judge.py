"""A judge without a model, for tests and demos: NOT an LLM. It scores by word overlap, and can be told to misbehave.

Score: F1 of the words of answer and reference (single characters for scripts without spaces), 0 to 1, spread over the
scale of the request's schema (0–100 where the schema names none) and rounded.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import Field

from judges.base import Answer, BackendOptions, Busy, Options, Request, read_options
from judges.fence import fenced_part, quoted_parts

RULE_VERSION = "word-overlap-f1/1"
"""Raised when the same request would get another reply."""

GOOD = 0.5
"""Share of words from which on it says yes."""

_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")


class ScriptedOptions(BackendOptions):
    """Faults. Each hits one request in n, chosen by the request's content, so that reruns meet the same ones."""

    garbage: int | None = Field(None, ge=1, description="One reply in n is prose without a verdict.")
    refuse: int | None = Field(None, ge=1, description="One reply in n is a refusal.")
    empty: int | None = Field(None, ge=1, description="One reply in n is empty.")
    busy: int | None = Field(None, ge=1, description="One request in n finds the judge busy once, then is answered.")
    dead: int | None = Field(None, ge=1, description="One request in n always times out.")
    crash: int | None = Field(None, ge=1, description="One request in n makes the backend raise an unforeseen error.")
    slots: int = Field(4, ge=1, le=64, description="Requests at once.")


class ScriptedJudge:
    """Deterministic and instant. `model` means nothing here."""

    transport = frozenset({"slots"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError for an unknown option."""
        self.options = read_options(ScriptedOptions, options, "scripted")
        self.concurrency = self.options.slots
        self._turned_away: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """The rule's name and version; the model plays no part."""
        read_options(ScriptedOptions, options, "scripted")
        return f"scripted:{RULE_VERSION}"

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError, RuntimeError where its options say so."""
        if self._hit(request, "crash"):
            _crash()
        if self._hit(request, "dead"):
            raise TimeoutError("the scripted judge does not answer this request")
        self._turn_away_once(request)
        text = self._text(request)
        return Answer(text, "stop", len(_words(request.system + request.user)), len(_words(text)))

    def close(self) -> None:
        """Nothing to free."""

    def _text(self, request: Request) -> str:
        if self._hit(request, "garbage"):
            return "A fine piece of writing, on the whole."
        if self._hit(request, "refuse"):
            return "I'm sorry, but I cannot grade this."
        if self._hit(request, "empty"):
            return ""
        return _verdict(request.schema, _share(request))

    def _hit(self, request: Request, fault: str) -> bool:
        every: int | None = getattr(self.options, fault)
        draw = hashlib.sha256(f"{fault}:{request.digest}".encode()).digest()
        return every is not None and int.from_bytes(draw[:8], "big") % every == 0

    def _turn_away_once(self, request: Request) -> None:
        with self._lock:
            if not self._hit(request, "busy") or request.digest in self._turned_away:
                return
            self._turned_away.add(request.digest)
        raise Busy("the scripted judge is busy", retry_after=0.01)


def _share(request: Request) -> float:
    """How good the answer is, 0 to 1; of two, how much better the first one is, 0.5 for a tie."""
    if "</answer" not in request.user and len(quoted := quoted_parts(request.user)) == 3:
        return overlap(quoted[1], quoted[2])  # task, reference, answer between backticks
    reference = _part(request, "reference")
    if fenced_part("answer_a", request.user) is None:
        return overlap(reference, _part(request, "answer"))
    ahead = overlap(reference, _part(request, "answer_a")) - overlap(reference, _part(request, "answer_b"))
    return 0.5 + (ahead > 0) / 2 - (ahead < 0) / 2


def overlap(reference: str, answer: str) -> float:
    """F1 of the two texts' words as bags, 0 to 1; 0 where one is empty."""
    ours, theirs = Counter(_words(reference)), Counter(_words(answer))
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def _part(request: Request, name: str) -> str:
    return fenced_part(name, request.user) or ""


def _verdict(schema: Mapping[str, Any] | None, share: float) -> str:
    """The share of the way from low to high, as JSON of the schema's shape, or as a bare integer."""
    schema = schema or {}
    if "properties" in schema:
        return json.dumps({key: _value(value, share) for key, value in schema["properties"].items()})
    return str(_on_scale(schema, share))


def _value(schema: Mapping[str, Any], share: float) -> int | str | bool:
    """One property. Of words, the first is best, and two words stand for good and bad."""
    if "enum" in schema:
        words: list[str] = schema["enum"]
        if words == ["A", "B", "tie"]:
            words = ["A", "tie", "B"]
        return words[round((1 - share) * (len(words) - 1))]
    return share >= GOOD if schema.get("type") == "boolean" else _on_scale(schema, share)


def _on_scale(schema: Mapping[str, Any], share: float) -> int:
    low: int = schema.get("minimum", 0)
    high: int = schema.get("maximum", 100)
    return round(low + share * (high - low))


def _crash() -> NoReturn:
    raise RuntimeError("the scripted judge was told to crash")
