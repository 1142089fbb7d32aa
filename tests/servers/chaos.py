"""An OpenAI-compatible server that fails a share of its calls in every way that servers do."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from tests.servers.loopback import Asked, Said

SHARE = 0.3
SLOW = 1.5
"""Seconds that a call hangs: longer than the tests' client waits."""


def completion(text: str, prompt_tokens: int = 100, completion_tokens: int = 5) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": 105},
    }  # fmt: skip


def fault_of(asked: Asked, share: float = SHARE) -> str | None:
    """Which fault meets this call: drawn from the question and how often it has come, so that retries draw again."""
    text = json.dumps(asked.body["messages"]) + str(asked.nth)
    draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    if draw % 10_000 >= share * 10_000:
        return None
    kind = draw // 10_000
    return DEAR[kind // 50 % len(DEAR)] if kind % 50 == 0 else CHEAP[kind % len(CHEAP)]


GOOD = completion('{"score": 3}')
JSON = {"Content-Type": "application/json"}
RESPONSES = {
    "429": Said.of({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429),
    "429 with Retry-After": Said.of({"error": {"message": "slow down"}}, 429, **{"Retry-After": "0.01"}),
    "500": Said.of({"error": {"message": "internal"}}, 500),
    "503": Said(503, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "time-out": Said.of(GOOD),
    "half a reply": Said(200, json.dumps(GOOD).encode()[:100], JSON, promised=300),
    "connection cut": Said(cut=True),
    "bad JSON": Said(200, b'{"choices": [{"mess', JSON),
    "wrong envelope": Said.of({"result": "fine"}),
    "wrong schema": Said.of(completion('{"grade": "A"}')),
    "empty": Said.of(completion("")),
    "10 MB": Said.of(completion("blah " * 2_000_000, completion_tokens=2_000_000)),
}

DEAR = ["time-out", "10 MB"]
"""Faults that take long to meet: one in fifty."""
CHEAP = [fault for fault in RESPONSES if fault not in DEAR]


def chaos(asked: Asked) -> Said:
    """A score of 3, or a fault."""
    fault = fault_of(asked)
    if fault == "time-out":
        time.sleep(SLOW)
    return Said.of(GOOD) if fault is None else RESPONSES[fault]
