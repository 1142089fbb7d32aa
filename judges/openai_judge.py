"""A judge behind any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, LM Studio, …

Servers differ in what they take. A request asks for everything (JSON schema, log-probabilities, seed); what a server
refuses by name is left out, and the same question is put again (see judges.service.Refusals).
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from typing import Any, Literal, TypeVar

from pydantic import Field

from harness.credentials import redact
from harness.errors import JudgeError, MissingExtra
from judges.base import Answer, BackendOptions, Busy, Options, Request, read_options
from judges.completion import answer_of
from judges.openai_batches import OpenAIBatches
from judges.service import HALF_REPLIES, BaseUrl, Refusals, Refused, key_for, meaning, names_parameter

OPENAI = "https://api.openai.com/v1"
TOP_LOGPROBS = 20
WITHOUT: dict[str, tuple[str, ...]] = {
    "schema": (),
    "object": ("json_schema",),
    "none": ("json_schema", "response_format"),
}
"""What each `json_output` leaves out."""

OF_JSON = ("response_format", "json", "schema")
WORDS = {
    "max_tokens": ("max_completion_tokens",),
    "logprobs": ("logprob",),
    "json_schema": OF_JSON,
    "response_format": OF_JSON,
    "temperature": ("temperature",),
    "seed": ("seed",),
}
"""What may be left out, and the words of a refusal that is about it."""

T = TypeVar("T")


class OpenAIOptions(BackendOptions):
    """Options of `backend: openai`."""

    base_url: BaseUrl = Field(OPENAI, description="The server, e.g. http://127.0.0.1:8000/v1.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable (or keyring entry) of the key.")
    json_output: Literal["schema", "object", "none"] = Field(
        "schema", description="How a reply's form is asked for; what a server refuses is weakened by itself."
    )
    logprobs: bool = Field(True, description="Ask for log-probabilities (for expected scores).")
    reasoning_effort: str | None = Field(None, description="How long a reasoning model thinks: minimal, low, …")
    timeout: float = Field(
        120.0, gt=0, description="Seconds without a word from the server after which a call is given up."
    )
    concurrency: int = Field(32, ge=1, le=512, description="Most requests at once; how many adapts.")
    batch: bool = Field(False, description="Ask by the Batch API: answers within a day, at half the price.")
    batch_poll: float = Field(30.0, gt=0, description="Seconds between two looks at a batch.")


class OpenAIJudge:
    """One model of one server, through the official client."""

    transport = frozenset({"base_url", "api_key_env", "timeout", "concurrency", "batch", "batch_poll"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option, no key), MissingExtra."""
        self._options = read_options(OpenAIOptions, options, "openai")
        self.concurrency = self._options.concurrency
        self.model = model
        left_out = (*WITHOUT[self._options.json_output], *(() if self._options.logprobs else ("logprobs",)))
        self.refusals = Refusals(left_out, WORDS)
        try:
            import openai
        except ImportError as e:
            raise MissingExtra("judge backend 'openai'", "openai", command="pip install openai") from e
        self._sdk = openai
        self._client = openai.OpenAI(
            api_key=_key(self._options), base_url=self._options.base_url, timeout=self._options.timeout, max_retries=0
        )
        self.batches = OpenAIBatches(self, self._options.batch_poll) if self._options.batch else None

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
        return self.refusals.answer(partial(self.body, request), lambda body: self.call(partial(_completed, body)))

    def body(self, request: Request, left_out: Set[str]) -> dict[str, Any]:
        """The request as it is sent. `max_tokens` left out: by its newer name."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.messages,
            "max_completion_tokens" if "max_tokens" in left_out else "max_tokens": request.max_tokens,
            **{name: getattr(request, name) for name in ("seed", "temperature") if name not in left_out},
        }
        if self._options.reasoning_effort is not None:
            body["reasoning_effort"] = self._options.reasoning_effort
        if "logprobs" not in left_out:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if request.schema is None or "response_format" in left_out:
            return body
        if "json_schema" not in left_out:
            schema = {"name": "verdict", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema.get("type") == "object":
            body["response_format"] = {"type": "json_object"}
        return body

    def call(self, what: Callable[[Any], T]) -> T:
        """What the client gives. Raises as `answer`, and Refused for a status that may be about one parameter."""
        try:
            return what(self._client)
        except self._sdk.APITimeoutError:
            raise TimeoutError(f"no answer within {self._options.timeout:g} s") from None
        except self._sdk.APIConnectionError as e:
            raise ConnectionError(redact(f"{e} {e.__cause__ or ''}".strip())) from None
        except self._sdk.APIStatusError as e:
            if names_parameter(e.status_code, _message(e), e.code):
                raise Refused(_message(e), self._translated(e)) from None
            raise self._translated(e) from None
        except HALF_REPLIES as e:
            raise Busy(f"not a chat completion: {type(e).__name__}", overloaded=False) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _translated(self, error: Any) -> Exception:
        """What a status means; a quota that is used up ends the asking."""
        if error.code == "insufficient_quota":
            return JudgeError(
                redact(f"{self._options.base_url}: {_message(error)}"),
                hint="what was answered is kept; run again later",
            )
        return meaning(
            error.status_code,
            _message(error),
            error.response.headers,
            server=self._options.base_url,
            model=self.model,
            key=self._options.api_key_env,
        )


def _completed(body: dict[str, Any], client: Any) -> Answer:
    return answer_of(client.chat.completions.create(**body))


def _key(options: OpenAIOptions) -> str:
    return key_for("openai", options.api_key_env, options.base_url, OPENAI)


def _message(error: Any) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message)
