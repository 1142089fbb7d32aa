"""A judge at any of the services that litellm knows: Azure, Bedrock, Vertex, Mistral, … under litellm's names for them.

litellm leaves out by itself what a service does not take (`drop_params`), and finds the service's own variables.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field

from harness.credentials import redact, secret
from harness.errors import JudgeError, MissingExtra
from judges.base import Answer, BackendOptions, Busy, Options, Request, read_options
from judges.completion import answer_of
from judges.service import HALF_REPLIES, BaseUrl, meaning

TOP_LOGPROBS = 20


class LiteLLMOptions(BackendOptions):
    """Options of `backend: litellm`."""

    base_url: BaseUrl | None = Field(None, description="The server; default: the service's own.")
    api_key_env: str | None = Field(
        None, description="Environment variable (or keyring entry) of the key; default: those that litellm looks for."
    )
    logprobs: bool = Field(False, description="Ask for log-probabilities, where the service has them.")
    timeout: float = Field(
        120.0, gt=0, description="Seconds without a word from the server after which a call is given up."
    )
    concurrency: int = Field(16, ge=1, le=512, description="Most requests at once; how many adapts.")


class LiteLLMJudge:
    """One model of one service."""

    transport = frozenset({"base_url", "api_key_env", "timeout", "concurrency"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option, no key), MissingExtra."""
        self._options = read_options(LiteLLMOptions, options, "litellm")
        self.concurrency = self._options.concurrency
        self._model = model
        self._key = _key(self._options)
        self._sdk = _sdk()

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """The model by litellm's name, and the server where it is not the service's own."""
        settings = read_options(LiteLLMOptions, options, "litellm")
        return f"litellm:{model}" + (f"@{settings.base_url.rstrip('/')}" if settings.base_url else "")

    @classmethod
    def preflight(cls, model: str, options: Options) -> None:
        """Raises JudgeError where a key is missing or litellm knows no such service, MissingExtra."""
        settings = read_options(LiteLLMOptions, options, "litellm")
        key, sdk = _key(settings), _sdk()
        try:
            sdk.get_llm_provider(model, api_base=settings.base_url)
        except sdk.exceptions.BadRequestError:
            raise JudgeError(
                f"judge backend 'litellm': litellm knows no service for {model!r}",
                hint="its names are service/model, e.g. mistral/mistral-small: https://docs.litellm.ai/docs/providers",
            ) from None
        if key is None and settings.base_url is None:
            missing = sdk.validate_environment(model)["missing_keys"]
            if missing:
                raise JudgeError(
                    f"judge backend 'litellm': {model!r} needs {' and '.join(missing)} in the environment",
                    hint=f"export {missing[0]}=… (never in the matrix file), or name another variable by api_key_env",
                )

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError, ConnectionError, RequestFailed, JudgeError (key or model refused)."""
        errors = self._sdk.exceptions
        try:
            return answer_of(self._sdk.completion(**self._body(request)))
        except errors.Timeout:
            raise TimeoutError(f"no answer within {self._options.timeout:g} s") from None
        except errors.APIConnectionError as e:
            raise ConnectionError(redact(str(e))) from None
        except HALF_REPLIES as e:
            raise Busy(f"not a completion: {type(e).__name__}", overloaded=False) from None
        except Exception as e:  # litellm's errors share no class but OpenAI's
            status = getattr(e, "status_code", None)
            if not isinstance(status, int):
                raise
            raise self._translated(e, status) from None

    def close(self) -> None:
        """Forget the connections: litellm keeps its clients to itself."""
        self._sdk.in_memory_llm_clients_cache.flush_cache()

    def _body(self, request: Request) -> dict[str, Any]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [*system, {"role": "user", "content": request.user}],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "timeout": self._options.timeout,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
        }
        if self._options.base_url is not None:
            body["api_base"] = self._options.base_url
        if self._key is not None:
            body["api_key"] = self._key
        if self._options.logprobs:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if request.schema is not None and request.schema.get("type") == "object":
            schema = {"name": "verdict", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _translated(self, error: Any, status: int) -> Exception:
        return meaning(
            status,
            str(getattr(error, "message", error)),
            getattr(error, "litellm_response_headers", None) or {},
            server=self._options.base_url or "the service",
            model=self._model,
            key=self._options.api_key_env or "the service's key",
        )


def _key(options: LiteLLMOptions) -> str | None:
    if options.api_key_env is None:
        return None
    found = secret(options.api_key_env)
    if found is None:
        raise JudgeError(
            f"judge backend 'litellm': the environment variable {options.api_key_env} holds no key",
            hint=f"export {options.api_key_env}=… (never in the matrix file)",
        )
    return found


def _sdk() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the internet for prices
    try:
        import litellm
    except ImportError as e:
        raise MissingExtra("judge backend 'litellm'", "litellm") from e
    litellm.suppress_debug_info = True
    return litellm
