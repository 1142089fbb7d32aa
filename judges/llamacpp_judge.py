"""A judge embedded in this process: a GGUF model run by llama.cpp's own server engine, through the package xllamacpp.

Replies must be the same bit for bit whenever and in whatever order requests are asked, or a resumed run would end
otherwise than an unbroken one. Measured with SmolLM2-135M (Q4_1) on 2 CPU cores: the same requests of 131 to 145
tokens, half of them the rubric's head, asked in three or four orders; how many replies had other log-probabilities
than at first:

| one slot, prompt cache off                                      |  0 of 16 |                      |
| one slot, llama.cpp's own prompt cache                          |  4 of 60 |                      |
| **one slot, put back to the saved state of the head (default)** |  0 of 60 | 0.90 CPU s a request |
| four slots, put back to the saved state of the head             | 27 of 60 | 0.90 CPU s a request |
| four slots, prompt cache off                                    | 36 of 60 | 1.80 CPU s a request |

They differed by up to 0.28 nats. New processes gave the same bits again, and so did one engine of two threads instead
of two engines of one (30 requests). On these cores, shared with other work, two engines of one thread answered 1.0 to
1.9 requests a second and one engine of two threads 0.3 to 1.2: its threads wait for each other. So a small model runs
as one single-threaded engine a CPU, each with one slot.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from harness.errors import JudgeError, MissingExtra
from harness.gguf import file_sha256, locate_gguf
from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import Answer, BackendOptions, Busy, Options, Request, RequestFailed, read_options
from judges.grammar import Forced, forced

TOP_LOGPROBS = 20
QUIET = -1
HTTP_BUSY = (429, 500, 503)
SMALL_BYTES = 500_000_000
"""Up to this size of file, engines of one thread each, side by side, beat one engine of many threads."""

MOST_ENGINES = 8
"""Engines beyond this are started only when asked for: each takes memory for its context, and a second to load."""


class LlamaCppOptions(BackendOptions):
    """Options of `backend: llamacpp`."""

    engines: int | None = Field(
        None, ge=1, le=64, description="Copies of the engine; default: one a CPU for a small model, else one in all."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads an engine; default: all CPUs, shared out.")
    slots: int = Field(
        1, ge=1, le=64, description="Requests at once an engine. More than 1: replies may differ from run to run."
    )
    context: int = Field(2048, ge=128, description="Longest prompt and reply together, in tokens.")
    reuse_head: bool = Field(True, description="Compute the rubric's head (system message) once, not for each request.")


class LlamaCppJudge:
    """One model, loaded. `model`: a packaged model's name or the path of a .gguf file (see harness.gguf)."""

    transport = frozenset({"engines", "threads"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises MissingExtra (xllamacpp or the model), ModelError (no such file), JudgeError (does not load)."""
        settings = read_options(LlamaCppOptions, options, "llamacpp")
        path = locate_gguf(model)
        cpus = _cpus()
        engines = settings.engines or (min(cpus, MOST_ENGINES) if path.stat().st_size <= SMALL_BYTES else 1)
        threads = settings.threads or max(1, cpus // engines)
        self._engines = [_Engine(path, settings, threads) for _ in range(engines)]
        self._free: SimpleQueue[tuple[_Engine, int]] = SimpleQueue()
        for slot in range(settings.slots):
            for engine in self._engines:
                self._free.put((engine, slot))
        self.concurrency = engines * settings.slots

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """`gguf:<sha256 of the file>`. Raises as the constructor, without loading anything."""
        read_options(LlamaCppOptions, options, "llamacpp")
        return f"gguf:{file_sha256(locate_gguf(model))}"

    @classmethod
    def preflight(cls, model: str, options: Options) -> None:
        """Raises MissingExtra."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra("judge backend 'llamacpp'", "judges-llamacpp")

    def answer(self, request: Request) -> Answer:
        """Raises Busy, or RequestFailed where the request does not fit the context."""
        frame = forced(request.schema) if request.schema is not None else None
        engine, slot = self._free.get()
        try:
            reply = engine.complete(request.system, _body(request, frame), slot)
        finally:
            self._free.put((engine, slot))
        return _answer(_checked(reply), frame)

    def close(self) -> None:
        """Stop the engines and free the model."""
        while self._engines:
            self._engines.pop().close()
        self._free = SimpleQueue()


def _cpus() -> int:
    """CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class _Engine:
    """One llama.cpp server. It listens on loopback, where only the holder of a random key may speak to it."""

    def __init__(self, path: Path, options: LlamaCppOptions, threads: int) -> None:
        key = secrets.token_hex(16)
        self._folder = tempfile.TemporaryDirectory(prefix="sft-harness-heads-")
        try:
            self._server = _start(path, options, threads, Path(self._folder.name), key)
        except BaseException:
            self._folder.cleanup()
            raise
        self._heads = _Heads(self._server, key) if options.reuse_head else None

    def complete(self, system: str, body: dict[str, Any], slot: int) -> dict[str, Any]:
        """llama.cpp's reply to a chat completion request, or its error."""
        reuse = self._heads is not None and system != "" and self._heads.restore(system, slot)
        reply: dict[str, Any] = self._server.handle_chat_completions({**body, "id_slot": slot, "cache_prompt": reuse})
        return reply

    def close(self) -> None:
        self._heads = self._server = None
        self._folder.cleanup()


def _start(path: Path, options: LlamaCppOptions, threads: int, heads: Path, key: str) -> Any:
    try:
        import xllamacpp
    except ImportError as e:
        raise MissingExtra("judge backend 'llamacpp'", "judges-llamacpp") from e
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.verbosity = QUIET
    params.ui = False
    params.warmup = False
    params.api_keys = [key]
    params.slot_save_path = f"{heads}{os.sep}"
    params.cache_ram_mib = 0  # a cache of earlier prompts would make a reply depend on what was asked before
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    try:
        return xllamacpp.Server(params)
    except Exception as e:
        raise JudgeError(
            f"llama.cpp cannot load {path}: {e}",
            hint="is it a whole GGUF file of a chat model, and does it fit memory?",
        ) from e


class _Heads:
    """The state after the system message, computed once a rubric and put back before each request.

    llama.cpp's own prompt cache keeps whatever the last request left, so that a reply's last digits depend on the order
    of requests; from a restored state each reply depends on its own request only.
    """

    def __init__(self, server: Any, key: str) -> None:
        self._server = server
        self._key = key
        self._saved: set[str] = set()
        self._lock = threading.Lock()
        self._works = True

    def restore(self, system: str, slot: int) -> bool:
        """Whether the slot now holds the state after `system`; False where this model's state cannot be saved."""
        name = hashlib.sha256(system.encode()).hexdigest()
        with self._lock:
            if self._works and name not in self._saved:
                self._works = self._compute(system, slot) and self._slot("save", name, slot)
                self._saved.add(name)
        return self._works and self._slot("restore", name, slot)

    def _compute(self, system: str, slot: int) -> bool:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
        body = {"messages": messages, "max_tokens": 1, "temperature": 0, "id_slot": slot, "cache_prompt": False}
        return "error" not in self._server.handle_chat_completions(body)

    def _slot(self, action: str, name: str, slot: int) -> bool:
        address = urlsplit(self._server.listening_address)
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
            connection.request("POST", f"/slots/{slot}?action={action}", json.dumps({"filename": name}), headers)
            response = connection.getresponse()
            response.read()
            return response.status == http.client.OK
        finally:
            connection.close()


def _body(request: Request, frame: Forced | None) -> dict[str, Any]:
    messages = request.messages
    body: dict[str, Any] = {
        "messages": messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "logprobs": True,
        "top_logprobs": TOP_LOGPROBS,
    }
    if frame is not None:
        body["grammar"] = frame.grammar
        if frame.prefix:
            messages.append({"role": "assistant", "content": frame.prefix})
    elif request.schema is not None:
        schema = {"name": "verdict", "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    if "error" not in reply:
        return reply
    error = reply["error"]
    message = f"llama.cpp: {error.get('message', error)}"
    if error.get("code") in HTTP_BUSY:
        raise Busy(message)
    raise RequestFailed(message)


def _answer(reply: dict[str, Any], frame: Forced | None) -> Answer:
    choice = reply["choices"][0]
    text = choice["message"]["content"] or ""
    tokens = [_token(each) for each in (choice.get("logprobs") or {}).get("content") or ()]
    if frame is not None and choice["finish_reason"] == "stop":
        text += frame.suffix
        tokens.append(ReplyToken(text=frame.suffix))
    return Answer(
        text=text,
        finish_reason=choice["finish_reason"],
        prompt_tokens=reply["usage"]["prompt_tokens"],
        completion_tokens=reply["usage"]["completion_tokens"],
        tokens=tuple(tokens),
    )


def _token(entry: dict[str, Any]) -> ReplyToken:
    candidates = tuple(TokenLogprob(token=each["token"], logprob=each["logprob"]) for each in entry["top_logprobs"])
    return ReplyToken(text=entry["token"], candidates=candidates)
