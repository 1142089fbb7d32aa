"""Ollama's documented protocol, with a llama.cpp server behind it: what the official client is tested against.

After Ollama's API reference: /api/chat and /api/generate (streamed as NDJSON unless `stream` is false), /api/tags,
/api/show, /api/version; 404 for a model that is not there, 503 while one is being loaded.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.servers.loopback import Asked, Said

MODEL = "smollm2:135m"
DIGEST = "9077fe9d2ae1a4a41a868836b56b8163731a8fe16621397028c2c76f838c6907"
CREATED = "2026-01-02T03:04:05.678901Z"
VERSION = "0.13.0"
DETAILS = {"format": "gguf", "family": "llama", "parameter_size": "134.52M", "quantization_level": "Q4_1"}


def ollama(engine: str, busy: int = 0) -> Callable[[Asked], Said]:
    """A server's answers. `engine`: address of the llama.cpp server; each question is first refused `busy` times."""

    def answer(asked: Asked) -> Said:
        match asked.path:
            case "/api/version":
                return Said.of({"version": VERSION})
            case "/api/tags":
                model = {"name": MODEL, "model": MODEL, "digest": DIGEST, "size": 98_000_000, "details": DETAILS}
                return Said.of({"models": [model]})
            case "/api/show" | "/api/chat" | "/api/generate" if asked.body.get("model") != MODEL:
                return Said.of({"error": f"model '{asked.body.get('model')}' not found"}, 404)
            case "/api/show":
                return Said.of({"details": DETAILS, "model_info": {"general.architecture": "llama"}})
            case "/api/chat" | "/api/generate" if asked.nth <= busy:
                return Said.of({"error": "server busy, please try again"}, 503, **{"Retry-After": "0.05"})
            case "/api/chat":
                return _reply(engine, asked.body, asked.body["messages"], lambda text: {"message": _said(text)})
            case "/api/generate":
                messages = [{"role": "user", "content": asked.body["prompt"]}]
                return _reply(engine, asked.body, messages, lambda text: {"response": text})
            case _:
                return Said(404, b"404 page not found")

    return answer


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _reply(engine: str, body: dict[str, Any], messages: Any, shaped: Callable[[str], dict[str, Any]]) -> Said:
    reply = _completion(engine, body, messages)
    choice = reply["choices"][0]
    text = choice["message"]["content"]
    last = {
        "done": True,
        "done_reason": choice["finish_reason"],
        "total_duration": 4_000_000,
        "prompt_eval_count": reply["usage"]["prompt_tokens"],
        "eval_count": reply["usage"]["completion_tokens"],
    }
    head = {"model": MODEL, "created_at": CREATED}
    tokens = (choice.get("logprobs") or {}).get("content")
    logprobs = {"logprobs": tokens} if tokens else {}
    if body.get("stream", True):
        half = len(text) // 2
        parts = [shaped(text[:half]) | {"done": False}, shaped(text[half:]) | {"done": False}, shaped("") | last]
        lines = "".join(json.dumps(head | part) + "\n" for part in parts)
        return Said(200, lines.encode(), {"Content-Type": "application/x-ndjson"})
    return Said.of(head | shaped(text) | logprobs | last)


def _completion(engine: str, body: dict[str, Any], messages: Any) -> dict[str, Any]:
    """The same question in OpenAI's words; Ollama defaults temperature to 0.8 and takes no limit from the prompt."""
    options = body.get("options") or {}
    asked: dict[str, Any] = {
        "messages": messages,
        "temperature": options.get("temperature", 0.8),
        "seed": options.get("seed", 0),
        "max_tokens": options.get("num_predict", 32),
    }
    form = body.get("format")
    if isinstance(form, dict):
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "format", "schema": form}}
    elif form == "json":
        asked["response_format"] = {"type": "json_object"}
    if body.get("logprobs"):
        asked |= {"logprobs": True, "top_logprobs": body.get("top_logprobs", 0)}
    request = urllib.request.Request(
        f"{engine}/v1/chat/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        reply: dict[str, Any] = json.load(response)
    return reply
