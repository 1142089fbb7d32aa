"""Anthropic's documented Messages API, with a llama.cpp server behind it: what the official client is tested against.

After the API's reference: POST /v1/messages with the header anthropic-version and a key (`x-api-key`, or as a bearer,
as newer clients send it); `max_tokens` must be given; a system message stands beside the messages; errors are
`{"type": "error", "error": {"type", "message"}}`, 529 where the service is overloaded. A schema of `output_config` may
hold no minimum and maximum.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.servers.loopback import Asked, Said

MODEL = "claude-test-1"
KEY = "planted-anthropic-key"
STOPS = {"stop": "end_turn", "length": "max_tokens"}


def refusal(status: int, kind: str, message: str, **headers: str) -> Said:
    """An error as the API words it."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return Said.of(body, status, **headers)


def anthropic(engine: str, busy: int = 0, refused: tuple[str, ...] = ()) -> Callable[[Asked], Said]:
    """A server's answers. `busy`: each question is first refused so often; `refused`: parameters it will not take."""

    def answer(asked: Asked) -> Said:  # noqa: PLR0911 - one a rule of the API
        body = asked.body
        if asked.path != "/v1/messages" or "anthropic-version" not in asked.headers:
            return refusal(404, "not_found_error", "no such path")
        if key_of(asked) != KEY:
            return refusal(401, "authentication_error", "invalid x-api-key")
        if body.get("model") != MODEL:
            return refusal(404, "not_found_error", f"model: {body.get('model')}")
        for name in refused:
            if name in body:
                return refusal(400, "invalid_request_error", f"`{name}` is not supported by this model.")
        if not isinstance(body.get("max_tokens"), int):
            return refusal(400, "invalid_request_error", "max_tokens: Field required")
        if "maximum" in json.dumps(schema_of(body)).replace("maximum:", ""):
            return refusal(400, "invalid_request_error", "output_config.format.schema: 'maximum' is not supported")
        if asked.nth <= busy:
            return refusal(529, "overloaded_error", "Overloaded", **{"Retry-After": "0.05"})
        return _message(engine, body)

    return answer


def key_of(asked: Asked) -> str:
    """The key that a request carries."""
    return asked.headers.get("x-api-key") or asked.headers.get("authorization", "").removeprefix("Bearer ")


def schema_of(body: dict[str, Any]) -> Any:
    """The JSON schema that a request asks for; None where it asks for none."""
    return ((body.get("output_config") or {}).get("format") or {}).get("schema")


def _message(engine: str, body: dict[str, Any]) -> Said:
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    asked: dict[str, Any] = {
        "messages": [*system, *body["messages"]],
        "max_tokens": body["max_tokens"],
        "temperature": body.get("temperature", 1.0),
        "seed": 0,
    }
    if schema_of(body) is not None:
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema_of(body)}}
    request = urllib.request.Request(
        f"{engine}/v1/chat/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        reply = json.load(response)
    choice, usage = reply["choices"][0], reply["usage"]
    return Said.of(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": choice["message"]["content"]}],
            "stop_reason": STOPS[choice["finish_reason"]],
            "stop_sequence": None,
            "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
        }
    )
