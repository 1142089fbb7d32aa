"""A judge behind Anthropic's Messages API, through the official client.

Models differ in what they take: newer ones refuse a temperature, older ones a schema. What is refused by name is left
out, and the same question is put again (see judges.service.Refusals). The API knows no seeds and no log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import partial
from importlib.util import find_spec
from typing import Any

from pydantic import Field

from harness.credentials import redact
from harness.errors import MissingExtra
from judges.base import Answer, BackendOptions, Busy, Options, Request, read_options
from judges.service import HALF_REPLIES, REFUSED, BaseUrl, Refusals, Refused, key_for, meaning

ANTHROPIC = "https://api.anthropic.com"
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Anthropic's words, and those by which replies are read."""

WORDS = {"temperature": ("temperature",), "output_config": ("output_config", "schema", "structured output")}
"""What may be left out, and the words of a refusal that is about it."""

MOST_LISTED = 100
"""A range of integers up to this wide is spelled out in a schema."""


class AnthropicOptions(BackendOptions):
    """Options of `backend: anthropic`. `seed` tells repeats apart in the store only: the API has none."""

    base_url: BaseUrl = Field(ANTHROPIC, description="The server.")
    api_key_env: str = Field("ANTHROPIC_API_KEY", description="Environment variable (or keyring entry) of the key.")
    json_output: bool = Field(True, description="Ask for replies that follow the rubric's JSON schema.")
    timeout: float = Field(
        120.0, gt=0, description="Seconds without a word from the server after which a call is given up."
    )
    concurrency: int = Field(16, ge=1, le=512, description="Most requests at once; how many adapts.")


class AnthropicJudge:
    """One model."""

    transport = frozenset({"base_url", "api_key_env", "timeout", "concurrency"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option, no key), MissingExtra."""
        self._options = read_options(AnthropicOptions, options, "anthropic")
        self.concurrency = self._options.concurrency
        self._model = model
        self._refusals = Refusals(() if self._options.json_output else ("output_config",), WORDS)
        try:
            import anthropic
        except ImportError as e:
            raise MissingExtra("judge backend 'anthropic'", "anthropic") from e
        self._sdk = anthropic
        self._client = anthropic.Anthropic(
            api_key=_key(self._options), base_url=self._options.base_url, timeout=self._options.timeout, max_retries=0
        )

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """The model's name at its server: what lies behind it cannot be seen from outside."""
        return f"served:{model}@{read_options(AnthropicOptions, options, 'anthropic').base_url.rstrip('/')}"

    @classmethod
    def preflight(cls, model: str, options: Options) -> None:
        """Raises JudgeError where the key is missing, MissingExtra."""
        _key(read_options(AnthropicOptions, options, "anthropic"))
        if find_spec("anthropic") is None:
            raise MissingExtra("judge backend 'anthropic'", "anthropic")

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError, ConnectionError, RequestFailed, JudgeError (key or model refused)."""
        return self._refusals.answer(partial(self._body, request), self._call)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, body: dict[str, Any]) -> Answer:
        """Raises as `answer`, and Refused for a status that may be about one parameter."""
        try:
            return _answer(self._client.messages.create(**body))
        except self._sdk.APITimeoutError:
            raise TimeoutError(f"no answer within {self._options.timeout:g} s") from None
        except self._sdk.APIConnectionError as e:
            raise ConnectionError(redact(f"{e} {e.__cause__ or ''}".strip())) from None
        except self._sdk.APIStatusError as e:
            if e.status_code in REFUSED:
                raise Refused(_message(e), self._translated(e)) from None
            raise self._translated(e) from None
        except (self._sdk.APIResponseValidationError, *HALF_REPLIES) as e:
            raise Busy(f"not a message: {type(e).__name__}", overloaded=False) from None

    def _body(self, request: Request, left_out: Set[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "messages": [{"role": "user", "content": request.user}],
        }
        if "temperature" not in left_out:
            body["extra_body"] = {"temperature": request.temperature}  # the client itself no longer has a name for it
        if request.system:
            body["system"] = request.system
        if "output_config" not in left_out and request.schema is not None and request.schema.get("type") == "object":
            schema = self._sdk.transform_schema(_spelled_out(request.schema))
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return body

    def _translated(self, error: Any) -> Exception:
        return meaning(
            error.status_code,
            _message(error),
            error.response.headers,
            server=self._options.base_url,
            model=self._model,
            key=self._options.api_key_env,
        )


def _key(options: AnthropicOptions) -> str:
    return key_for("anthropic", options.api_key_env, options.base_url, ANTHROPIC)


def _spelled_out(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with ranges of integers as lists: the API keeps to an enum, and knows no minimum and maximum."""
    return {**schema, "properties": {name: _listed(each) for name, each in schema.get("properties", {}).items()}}


def _listed(schema: Mapping[str, Any]) -> dict[str, Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") != "integer" or low is None or high is None or high - low > MOST_LISTED:
        return dict(schema)
    return {"type": "integer", "enum": list(range(low, high + 1))}


def _message(error: Any) -> str:
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return str(message or error.message)


def _answer(reply: Any) -> Answer:
    usage = reply.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return Answer(
        text="".join(block.text for block in reply.content if block.type == "text"),
        finish_reason=FINISH_REASONS.get(reply.stop_reason, reply.stop_reason) or "stop",
        prompt_tokens=usage.input_tokens + cached,
        completion_tokens=usage.output_tokens,
    )
