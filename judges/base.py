"""What a judge backend is: it turns a request into text, and nothing else.

Prompts, parsing, retries, storing and statistics are other modules' business. A backend is a class with the shape of
`Judge` and a name: the one it is registered under in the entry-point group `sft_harness.judges`, or `module:Class`. Its
module imports its SDK inside the class: planning asks the class for an identity before anything heavy may be loaded.
`harness judges test NAME` holds a backend to this contract (see judges.contract).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import HarnessError, JudgeError, trouble_at, trouble_inside
from harness.records.rows import ReplyToken

Options = Mapping[str, str | int | float | bool]

GROUP = "sft_harness.judges"
BUILT_IN = {
    "anthropic": "judges.anthropic_judge:AnthropicJudge",
    "litellm": "judges.litellm_judge:LiteLLMJudge",
    "llamacpp": "judges.llamacpp_judge:LlamaCppJudge",
    "ollama": "judges.ollama_judge:OllamaJudge",
    "openai": "judges.openai_judge:OpenAIJudge",
    "scripted": "judges.scripted_judge:ScriptedJudge",
    "transformers": "judges.transformers_judge:TransformersJudge",
}
"""Ours, so that they are found in a checkout that is not installed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a judge. `schema`: the JSON schema that the reply should follow, if any."""

    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0

    @property
    def messages(self) -> list[dict[str, str]]:
        """As chat servers take them; an empty system message would take the place of the model's own."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}]

    @property
    def digest(self) -> str:
        """sha256 (64 hex digits) of the request's content."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `tokens`: the reply's tokens with the candidates for each, where the engine tells them."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    tokens: tuple[ReplyToken, ...] = ()


class Busy(Exception):
    """The backend cannot answer now; asking again may help.

    `retry_after`: seconds it wishes to be left alone; `overloaded`: fewer requests at once would help.
    """

    def __init__(self, reason: str, retry_after: float | None = None, *, overloaded: bool = True) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.overloaded = overloaded


class RequestFailed(Exception):
    """One request that can never be answered (longer than the context, say); asking again does not help."""


class Forbidden(RequestFailed):
    """A 403, which means this request (its text was flagged) or every one; `of_all`: what it is then."""

    def __init__(self, reason: str, of_all: JudgeError) -> None:
        super().__init__(reason)
        self.of_all = of_all


class Judge(Protocol):
    """A backend, loaded. `answer` is called from several threads at once, at most `concurrency` of them.

    More that a backend may have: `preflight(model, options)`, a class method that raises JudgeError where asking is
    bound to fail (no key, no such model), so that hours of training do not come first; `transport`, the names of its
    options that decide no reply (a time-out, a number of connections); and `batches` (see judges.batches), which is
    asked instead of `answer` unless it is None.
    """

    concurrency: int

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError, ModelError or MissingExtra where the judge cannot be set up."""

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """What answers, by content (a hash of the weights, a pinned version); loads nothing heavy."""

    def answer(self, request: Request) -> Answer:
        """Raises Busy, TimeoutError or ConnectionError (asked again), RequestFailed (given up)."""

    def close(self) -> None:
        """Free memory, processes, sockets. Called once."""


class BackendOptions(BaseModel):
    """Base of a backend's options: those that go into every request."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    temperature: float = 0.0
    seed: int = 0
    max_completion_tokens: int | None = Field(
        None, ge=1, description="Longest thought and reply of a judge, in tokens; default: the rubric's max_tokens."
    )


OptionsT = TypeVar("OptionsT", bound=BackendOptions)


def read_options(kind: type[OptionsT], options: Options, backend: str) -> OptionsT:
    """The options as typed values. Raises JudgeError that names each unknown or ill-typed one."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as e:
        known = ", ".join(kind.model_fields)
        problems = [_option_problem(str(error["loc"][0]), error, kind) for error in e.errors()]
        raise JudgeError(
            f"judge backend {backend!r}: " + "; ".join(problems), where="options", hint=f"options it knows: {known}"
        ) from e


def _option_problem(name: str, error: Any, kind: type[BackendOptions]) -> str:
    if error["type"] != "extra_forbidden":
        return f"option {name!r}: {error['msg']}, got {error['input']!r}"
    return f"unknown option {name!r}" + _did_you_mean(name, list(kind.model_fields))


def load_judge(backend: str, model: str, options: Options) -> Judge:
    """The backend, ready to answer.

    Raises:
        JudgeError: unknown backend or option, or the engine does not start.
        MissingExtra: the backend's package is not installed.
        ModelError: the model is not found.
    """
    with _setting_up(backend):
        return _backend(backend)(model, options)


def identity(backend: str, model: str, options: Options) -> str:
    """What will answer, by content, e.g. `gguf:<sha256>`; checks the options. Light: no SDK, no model is loaded.

    Raises as `load_judge` does, as far as it can be known without loading.
    """
    with _setting_up(backend):
        return _backend(backend).identity(model, options)


def preflight(backend: str, model: str, options: Options) -> None:
    """Raises JudgeError where asking this judge now is bound to fail; a backend that cannot tell passes."""
    check = getattr(_backend(backend), "preflight", None)
    if check is not None:
        with _setting_up(backend):
            check(model, options)


@contextmanager
def _setting_up(backend: str) -> Iterator[None]:
    """A class of a user's own may raise anything: it becomes a JudgeError that says where."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as e:
        raise JudgeError(f"judge backend {backend!r} cannot be set up: {trouble_at(e)}", hint="docs/judges.md") from e


def deciding_options(backend: str, options: Options) -> dict[str, str | int | float | bool]:
    """The options without those that decide no reply: what a reply's identity hangs on."""
    transport: frozenset[str] = getattr(_backend(backend), "transport", frozenset())
    return {name: value for name, value in options.items() if name not in transport}


def known_backends() -> tuple[str, ...]:
    """Names that `load_judge` takes: ours, and those of installed packages."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def _backend(name: str) -> type[Judge]:
    if name in BUILT_IN:
        point = EntryPoint(name, BUILT_IN[name], GROUP)
    elif ":" in name:
        point = EntryPoint(name, name, GROUP)
    else:
        found = tuple(entry_points(group=GROUP, name=name))
        if not found and name == "human":
            raise JudgeError("people are no backend of a matrix", hint="they rate its answers with `harness rate`")
        if not found:
            known = known_backends()
            raise JudgeError(
                f"unknown judge backend {name!r}" + _did_you_mean(name, known), hint="known: " + ", ".join(known)
            )
        point = found[0]
    try:
        loaded: type[Judge] = point.load()
    except Exception as e:  # a module of a user's own may raise anything
        inside = trouble_inside(e)
        raise JudgeError(
            f"judge backend {name!r} cannot be imported from {point.value}: {inside or e}",
            hint=None if inside else "module:Class, where the module is installed or its folder is in PYTHONPATH",
        ) from e
    missing = [each for each in ("identity", "answer", "close") if not hasattr(loaded, each)]
    if not isinstance(loaded, type) or missing:
        raise JudgeError(f"{point.value} is no judge backend: it lacks {', '.join(missing) or 'a class'}")
    return loaded


def _did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
