"""A judge on an Ollama server, here or elsewhere, through the official client."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from harness.credentials import redact
from harness.errors import JudgeError, MissingExtra, ModelError
from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import Answer, BackendOptions, Busy, Options, Request, RequestFailed, read_options
from judges.retry_after import retry_after

DEFAULT_PORT = 11434
DEFAULT_HOST = f"http://127.0.0.1:{DEFAULT_PORT}"
TOP_LOGPROBS = 20
LOOK_SECONDS = 5.0
"""How long planning waits for the server to say which model it has."""


class OllamaOptions(BackendOptions):
    """Options of `backend: ollama`. Those of the engine are really sent with each request."""

    host: str | None = Field(None, description=f"The server; default: OLLAMA_HOST, else {DEFAULT_HOST}.")
    num_ctx: int = Field(4096, ge=256, description="Context in tokens; Ollama cuts off what does not fit, silently.")
    num_gpu: int | None = Field(None, description="Layers on the GPU; default: Ollama's choice.")
    keep_alive: str = Field("10m", description="How long the model stays loaded after a request.")
    think: bool | str | None = Field(
        None, description="Let a thinking model think, or how long: low, medium, high; default: its own."
    )
    digest: str | None = Field(
        None,
        pattern=r"^(sha256:)?[0-9a-f]{12,64}$",
        description="sha256 of the model, as `ollama list` shows its beginning: planning then asks no server.",
    )
    timeout: float = Field(
        300.0, gt=0, description="Seconds without a word from the server; the first call loads the model."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Most requests at once (see OLLAMA_NUM_PARALLEL).")


class OllamaJudge:
    """One model of one Ollama server."""

    transport = frozenset({"host", "keep_alive", "timeout", "concurrency", "digest", "num_gpu"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option, server not there), ModelError (not pulled), MissingExtra."""
        self._options = read_options(OllamaOptions, options, "ollama")
        self.concurrency = self._options.concurrency
        self._model = model
        self._host = _host(self._options)
        self._heard = threading.local()
        try:
            import ollama
        except ImportError as e:
            raise MissingExtra("judge backend 'ollama'", "ollama", command="pip install ollama") from e
        found = _digest(model, self._host)
        if self._options.digest is not None and not found.startswith(self._options.digest.removeprefix("sha256:")):
            raise ModelError(
                f"{self._host} has another {model!r} ({found[:12]}) than `digest` says", hint="pull the one you mean"
            )
        self._sdk = ollama
        self._client = ollama.Client(
            self._host, timeout=self._options.timeout, event_hooks={"response": [self._note_headers]}
        )

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """`ollama:<sha256 of the model's manifest>`: the server is asked, unless the options name a `digest`."""
        settings = read_options(OllamaOptions, options, "ollama")
        return f"ollama:{(settings.digest or _digest(model, _host(settings))).removeprefix('sha256:')[:12]}"

    @classmethod
    def preflight(cls, model: str, options: Options) -> None:
        """Raises JudgeError where no server answers, ModelError where it lacks the model."""
        _digest(model, _host(read_options(OllamaOptions, options, "ollama")))

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError, ConnectionError, RequestFailed, ModelError (the model has gone)."""
        import httpx

        self._heard.retry_after = None
        try:
            return _answer(self._client.chat(**self._body(request)))
        except self._sdk.ResponseError as e:
            raise self._translated(e) from None
        except httpx.TimeoutException:
            raise TimeoutError(f"no answer within {self._options.timeout:g} s") from None
        except (httpx.TransportError, ConnectionError) as e:
            raise ConnectionError(redact(str(e) or type(e).__name__)) from None
        except (ValueError, TypeError) as e:
            raise Busy(f"not a chat reply: {type(e).__name__}", overloaded=False) from None

    def close(self) -> None:
        """Close the connections; Ollama unloads the model after `keep_alive`."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _body(self, request: Request) -> dict[str, Any]:
        engine: dict[str, Any] = {
            "seed": request.seed,
            "temperature": request.temperature,
            "num_ctx": self._options.num_ctx,
            "num_predict": request.max_tokens,
        }
        if self._options.num_gpu is not None:
            engine["num_gpu"] = self._options.num_gpu
        return {
            "model": self._model,
            "messages": request.messages,
            "format": dict(request.schema) if request.schema is not None else None,
            "options": engine,
            "keep_alive": self._options.keep_alive,
            "think": self._options.think,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }

    def _note_headers(self, response: Any) -> None:
        """The client's error knows no headers."""
        self._heard.retry_after = retry_after(response.headers)

    def _translated(self, error: Any) -> Exception:
        message = redact(f"Ollama: {error.error} (HTTP {error.status_code})")[:500]
        if error.status_code == 404:
            return _not_pulled(self._model, self._host)
        if error.status_code in (401, 403):
            return JudgeError(message, hint="for a server that asks for a key: export OLLAMA_API_KEY=…")
        if error.status_code in (408, 429) or error.status_code >= 500:
            return Busy(message, self._heard.retry_after, overloaded=error.status_code in (408, 429, 503))
        return RequestFailed(message)


def _host(options: OllamaOptions) -> str:
    """The address, read as the official client does: Ollama's port where there is no scheme. Raises JudgeError."""
    given = options.host or os.environ.get("OLLAMA_HOST") or ""
    try:
        split = urlsplit(given if "://" in given else f"http://{given}")
        port = split.port or (None if "://" in given else DEFAULT_PORT)
    except ValueError as e:
        raise JudgeError(f"{given!r} is no address of an Ollama server: {e}", hint=f"e.g. {DEFAULT_HOST}") from None
    host = split.hostname or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    return f"{split.scheme}://{host}{f':{port}' if port else ''}{split.path.rstrip('/')}"


def _digest(model: str, host: str) -> str:
    """The model's digest as the server lists it. Without the client: planning loads no SDK."""
    wanted = model if ":" in model else f"{model}:latest"
    request = urllib.request.Request(f"{host}/api/tags")  # noqa: S310 - the user's own server
    if key := os.environ.get("OLLAMA_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=LOOK_SECONDS) as response:  # noqa: S310
            listed = json.load(response)["models"]
        found = {str(each.get("model") or each["name"]): str(each["digest"]) for each in listed}
    except (HTTPException, OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise JudgeError(
            redact(f"no Ollama server answers at {host}: {getattr(e, 'reason', e)}"),
            hint="start it (`ollama serve`), or name it with the option `host` or OLLAMA_HOST",
            unreachable=True,
        ) from None
    if wanted not in found:
        raise _not_pulled(model, host)
    return found[wanted].removeprefix("sha256:")


def _not_pulled(model: str, host: str) -> ModelError:
    where = "" if host == DEFAULT_HOST else f"OLLAMA_HOST={host} "
    return ModelError(f"{host} has no model {model!r}", hint=f"{where}ollama pull {model}")


def _answer(reply: Any) -> Answer:
    return Answer(
        text=reply.message.content or "",
        finish_reason=reply.done_reason or "stop",
        prompt_tokens=reply.prompt_eval_count or 0,
        completion_tokens=reply.eval_count or 0,
        tokens=tuple(_token(each) for each in reply.logprobs or ()),
    )


def _token(entry: Any) -> ReplyToken:
    candidates = tuple(TokenLogprob(token=each.token, logprob=each.logprob) for each in entry.top_logprobs or ())
    return ReplyToken(text=entry.token, candidates=candidates)
