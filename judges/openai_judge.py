"""A judge behind any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, LM Studio, …

Servers differ in what they take. A request asks for everything (JSON schema, log-probabilities, seed); what a server
refuses by name is left out from then on, and the same question is put again.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from harness.credentials import redact
from harness.errors import JudgeError, MissingExtra
from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import Answer, BackendOptions, Busy, Options, Request, RequestFailed, read_options
from judges.retry_after import retry_after

OPENAI = "https://api.openai.com/v1"
NO_KEY = "no-key"
"""Sent where a server of one's own asks for none: the client insists on something."""

TOP_LOGPROBS = 20
REFUSED = (400, 415, 422, 501)
"""Statuses by which servers say that they do not know a parameter."""

OVERLOADED = (408, 429, 503, 504, 529)
"""Statuses that fewer requests at once would mend."""


class OpenAIOptions(BackendOptions):
    """Options of `backend: openai`."""

    base_url: str = Field(OPENAI, description="The server, e.g. http://127.0.0.1:8000/v1.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    json_output: Literal["schema", "object", "none"] = Field(
        "schema", description="How a reply's form is asked for; what a server refuses is weakened by itself."
    )
    logprobs: bool = Field(True, description="Ask for log-probabilities (for expected scores).")
    timeout: float = Field(120.0, gt=0, description="Seconds that one call may take.")
    concurrency: int = Field(32, ge=1, le=512, description="Most requests at once; how many adapts.")


class OpenAIJudge:
    """One model of one server, through the official client."""

    transport = frozenset({"base_url", "api_key_env", "timeout", "concurrency"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option, no key), MissingExtra."""
        self._options = read_options(OpenAIOptions, options, "openai")
        self.concurrency = self._options.concurrency
        self._model = model
        self._features = _Features(self._options)
        try:
            import openai
        except ImportError as e:
            raise MissingExtra("judge backend 'openai'", "openai", command="pip install openai") from e
        self._sdk = openai
        self._client = openai.OpenAI(
            api_key=_key(self._options), base_url=self._options.base_url, timeout=self._options.timeout, max_retries=0
        )

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """The model's name at its server: what lies behind it cannot be seen from outside."""
        return f"served:{model}@{read_options(OpenAIOptions, options, 'openai').base_url.rstrip('/')}"

    @classmethod
    def preflight(cls, model: str, options: Options) -> None:
        """Raises JudgeError where the key is missing."""
        _key(read_options(OpenAIOptions, options, "openai"))

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError, ConnectionError, RequestFailed, JudgeError (key or model refused)."""
        while True:
            body, version = self._features.body(self._model, request)
            try:
                return _answer(self._client.chat.completions.create(**body))
            except self._sdk.APITimeoutError:
                raise TimeoutError(f"no answer within {self._options.timeout:g} s") from None
            except self._sdk.APIConnectionError as e:
                raise ConnectionError(redact(f"{e} {e.__cause__ or ''}".strip())) from None
            except self._sdk.APIStatusError as e:
                if not (e.status_code in REFUSED and self._features.give_up(_message(e), version)):
                    raise self._translated(e) from None
            except _HALF_REPLIES as e:
                raise Busy(f"not a chat completion: {type(e).__name__}", overloaded=False) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _translated(self, error: Any) -> Exception:
        """What a status means for this request, or for the whole judge. Never carries the request: it has the key."""
        message = redact(f"HTTP {error.status_code}: {_message(error)}")[:500]
        if error.status_code in (401, 403):
            return JudgeError(
                f"{self._options.base_url} refuses the key: {message}", hint=f"set {self._options.api_key_env}"
            )
        if error.status_code == 404:
            return JudgeError(f"{self._options.base_url} has no model {self._model!r}: {message}")
        if error.code == "insufficient_quota":
            return JudgeError(f"{self._options.base_url}: {message}", hint="what was answered is kept; run again later")
        if error.status_code in (408, 409, 429) or error.status_code >= 500:
            overloaded = error.status_code in OVERLOADED
            return Busy(message, retry_after(error.response.headers), overloaded=overloaded)
        return RequestFailed(message)


_HALF_REPLIES = (ValueError, TypeError, AttributeError, KeyError, IndexError)
"""What reading a broken reply raises: not JSON, or JSON of another shape."""


def _key(options: OpenAIOptions) -> str:
    key = os.environ.get(options.api_key_env)
    if key:
        return key
    if urlsplit(options.base_url).hostname == urlsplit(OPENAI).hostname:
        raise JudgeError(
            f"judge backend 'openai': the environment variable {options.api_key_env} holds no key",
            hint=f"export {options.api_key_env}=… (never in the matrix file), or give a base_url of your own server",
        )
    return NO_KEY


def _message(error: Any) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message)


class _Features:
    """What this server takes. Shared by all threads; each refusal is learned once."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._json = options.json_output
        self._logprobs = options.logprobs
        self._length = "max_tokens"
        self._sent = {"temperature", "seed"}
        self._version = 0
        self._lock = threading.Lock()

    def body(self, model: str, request: Request) -> tuple[dict[str, Any], int]:
        """(the request's body, the version of what is known)."""
        with self._lock:
            body: dict[str, Any] = {
                "model": model,
                "messages": request.messages,
                self._length: request.max_tokens,
                **{name: getattr(request, name) for name in sorted(self._sent)},
            }
            if self._logprobs:
                body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
            if request.schema is not None and self._json == "schema":
                schema = {"name": "verdict", "strict": True, "schema": dict(request.schema)}
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif request.schema is not None and self._json == "object" and request.schema.get("type") == "object":
                body["response_format"] = {"type": "json_object"}
            return body, self._version

    def give_up(self, message: str, version: int) -> bool:
        """Leave out what the refusal names; True where asking again is worth it."""
        said = message.lower()
        with self._lock:
            if version != self._version:
                return True  # another thread has learned it meanwhile
            if self._length == "max_tokens" and "max_tokens" in said and "max_completion_tokens" in said:
                self._length = "max_completion_tokens"
            elif self._logprobs and "logprob" in said:
                self._logprobs = False
            elif self._json != "none" and any(word in said for word in ("response_format", "json", "schema")):
                self._json = "object" if self._json == "schema" else "none"
            elif named := {name for name in self._sent if name in said}:
                self._sent -= named
            else:
                return False
            self._version += 1
            return True


def _answer(reply: Any) -> Answer:
    choice = reply.choices[0]
    usage = reply.usage
    entries = choice.logprobs.content if choice.logprobs is not None else None
    return Answer(
        text=choice.message.content or choice.message.refusal or "",
        finish_reason=choice.finish_reason or "stop",
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        tokens=tuple(_token(each) for each in entries or ()),
    )


def _token(entry: Any) -> ReplyToken:
    candidates = tuple(TokenLogprob(token=each.token, logprob=each.logprob) for each in entry.top_logprobs or ())
    return ReplyToken(text=entry.token, candidates=candidates)
