"""The backends anthropic and litellm through their official clients, and keys that a keyring keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.credentials import REMOVED, SERVICE, redact, secret
from harness.errors import JudgeError, MissingExtra
from judges.base import Busy, Judge, RequestFailed, deciding_options, identity, load_judge, preflight
from judges.contract import CHECKS, Trial, question
from tests.servers.anthropic import KEY, MODEL, anthropic, key_of, refusal, schema_of
from tests.servers.chaos import completion
from tests.servers.engine import needs_engine
from tests.servers.loopback import Asked, Said, serve

Open = Callable[..., Judge]
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "4"}], "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("LITELLM_TEST_KEY", "planted-litellm-key")


# ---------------------------------------------------------------- anthropic


@needs_engine
@pytest.mark.slow
def test_anthropic_keeps_the_contract(engine: str, open_judge: Open) -> None:
    with serve(anthropic(engine)) as server:
        options = {"base_url": server.address, "concurrency": 2}
        trial = Trial(open_judge("anthropic", MODEL, options), "anthropic", MODEL, options)
        problems = {check.__doc__: trial.run(check) for check in CHECKS}
        assert not {name: problem for name, problem in problems.items() if problem}
        assert {key_of(asked) for asked in server.asked} == {KEY}


@needs_engine
def test_what_a_model_refuses_is_left_out_and_learned_once(engine: str, open_judge: Open) -> None:
    with serve(anthropic(engine, refused=("temperature", "output_config"))) as server:
        judge = open_judge("anthropic", MODEL, {"base_url": server.address})
        judge.answer(question())
        asked = len(server.asked)
        judge.answer(question("Oslo"))
        assert len(server.asked) == asked + 1
        assert server.asked[-1].body.keys() == {"model", "max_tokens", "messages", "system"}


@pytest.mark.parametrize("first", [True, False])
def test_what_one_question_is_refused_for_changes_no_other(first: bool, open_judge: Open) -> None:
    bad = question("Oslo")

    def answer(asked: Asked) -> Said:
        if asked.body["messages"][0]["content"] == bad.user:
            return refusal(400, "invalid_request_error", "flagged: 'the temperature of a schema'")
        return Said.of(MESSAGE)

    with serve(answer) as server:
        judge = open_judge("anthropic", MODEL, {"base_url": server.address})
        if not first:
            judge.answer(question())
        with pytest.raises(RequestFailed, match="flagged"):
            judge.answer(bad)
        judge.answer(question())
    assert {"temperature", "output_config"} <= server.asked[-1].body.keys()


@needs_engine
def test_a_scale_is_spelled_out_and_an_overloaded_service_says_when(engine: str, open_judge: Open) -> None:
    with serve(anthropic(engine, busy=1)) as server:
        judge = open_judge("anthropic", MODEL, {"base_url": server.address})
        with pytest.raises(Busy, match="HTTP 529: Overloaded") as caught:
            judge.answer(question())
        assert (caught.value.retry_after, caught.value.overloaded) == (0.05, True)
        judge.answer(question())
        assert schema_of(server.asked[-1].body)["properties"] == {"score": {"enum": [1, 2, 3, 4, 5]}}


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (refusal(429, "rate_limit_error", "wait", **{"Retry-After": "7"}), Busy, "HTTP 429: wait"),
        (refusal(500, "api_error", "boom"), Busy, "HTTP 500"),
        (refusal(413, "request_too_large", "too large"), RequestFailed, "too large"),
        (refusal(400, "invalid_request_error", "prompt is too long"), RequestFailed, "too long"),
        (refusal(400, "invalid_request_error", "Your credit balance is too low to access"), JudgeError, "balance"),
        (refusal(401, "authentication_error", "invalid x-api-key"), JudgeError, "refuses the key"),
        (refusal(402, "billing_error", "no credit"), JudgeError, "no credit"),
        (refusal(404, "not_found_error", "model: m"), JudgeError, "no model 'm', or no such path"),
        (Said(200, b'{"type": "mess', {"Content-Type": "application/json"}), Busy, "not a message"),
        (Said.of({"type": "message"}), Busy, "not a message"),
        (Said(cut=True), ConnectionError, None),
    ],
)
def test_what_anthropics_statuses_mean(said: Said, error: type[Exception], match: str | None, open_judge: Open) -> None:
    with serve(lambda asked: said) as server, pytest.raises(error, match=match):
        open_judge("anthropic", "m", {"base_url": server.address}).answer(question())


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        (None, "stop"),
    ],
)
def test_anthropics_ends_of_a_reply_have_the_names_by_which_replies_are_read(
    stop_reason: str | None, finish_reason: str, open_judge: Open
) -> None:
    with serve(lambda asked: Said.of({**MESSAGE, "stop_reason": stop_reason})) as server:
        answer = open_judge("anthropic", "m", {"base_url": server.address}).answer(question())
    assert (answer.text, answer.finish_reason) == ("4", finish_reason)


def test_anthropic_itself_needs_a_key_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    for call in (load_judge, preflight):
        with pytest.raises(JudgeError, match="ANTHROPIC_API_KEY holds no key"):
            call("anthropic", "claude-haiku-4-5", {})
    assert identity("anthropic", "claude-haiku-4-5", {}) == "served:claude-haiku-4-5@https://api.anthropic.com"
    assert deciding_options("anthropic", {"base_url": "http://h", "seed": 1}) == {"seed": 1}


# ---------------------------------------------------------------- litellm


@needs_engine
@pytest.mark.slow
def test_litellm_keeps_the_contract(engine: str, open_judge: Open) -> None:
    options = {"base_url": f"{engine}/v1", "concurrency": 2, "api_key_env": "LITELLM_TEST_KEY", "logprobs": True}
    trial = Trial(open_judge("litellm", "openai/m", options), "litellm", "openai/m", options)
    problems = {check.__doc__: trial.run(check) for check in CHECKS}
    assert not {name: problem for name, problem in problems.items() if problem}
    assert trial.ask().tokens, "log-probabilities come through"


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (Said.of({"error": {"message": "wait"}}, 429, **{"Retry-After": "7"}), Busy, "HTTP 429"),
        (Said.of({"error": {"message": "boom"}}, 500), Busy, "HTTP 500"),
        (Said.of({"error": {"message": "too long"}}, 400), RequestFailed, "too long"),
        (Said.of({"error": {"message": "no"}}, 401), JudgeError, "refuses the key"),
        (Said.of({"error": {"message": "no"}}, 404), JudgeError, "no model 'openai/m', or no such path"),
        (Said.of({"choices": []}), Busy, "not a completion"),
        (Said(cut=True), Busy, "Connection error"),
    ],
)
def test_what_litellms_errors_mean(said: Said, error: type[Exception], match: str, open_judge: Open) -> None:
    options: dict[str, Any] = {"api_key_env": "LITELLM_TEST_KEY"}
    with serve(lambda asked: said) as server, pytest.raises(error, match=match) as caught:
        open_judge("litellm", "openai/m", {**options, "base_url": f"{server.address}/v1"}).answer(question())
    assert len(server.asked) == 1, "retrying is not litellm's business"
    if isinstance(caught.value, Busy) and "429" in str(caught.value):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize("backend", ["anthropic", "litellm"])
def test_a_missing_package_is_told_before_anything_is_asked(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    for call in (load_judge, preflight):
        with pytest.raises(MissingExtra, match=rf"sft-harness\[{backend}\]"):
            call(backend, "claude-haiku-4-5", {})


@pytest.mark.parametrize("options", [{}, {"base_url": "http://127.0.0.1:9/v1"}, {"api_key_env": "LITELLM_TEST_KEY"}])
@pytest.mark.parametrize("model", ["gpt4o-typo", "opnai/gpt-4o"])
def test_a_name_that_litellm_does_not_know_is_told_before_anything_is_asked(
    model: str, options: dict[str, Any]
) -> None:
    with pytest.raises(JudgeError, match=rf"litellm knows no service for '{model}'"):
        preflight("litellm", model, options)
    preflight("litellm", "openai/m", {"base_url": "http://127.0.0.1:9/v1"})


def test_litellm_says_which_key_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    with pytest.raises(JudgeError, match="needs MISTRAL_API_KEY in the environment"):
        preflight("litellm", "mistral/mistral-small", {})
    with pytest.raises(JudgeError, match="NO_SUCH_KEY holds no key"):
        load_judge("litellm", "mistral/mistral-small", {"api_key_env": "NO_SUCH_KEY"})
    assert identity("litellm", "mistral/mistral-small", {}) == "litellm:mistral/mistral-small"


# ---------------------------------------------------------------- keyring


def test_a_key_may_lie_in_the_keyring_and_is_kept_out_of_texts(
    monkeypatch: pytest.MonkeyPatch, open_judge: Open
) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Drawer(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return "kept-in-the-drawer" if (service, username) == (SERVICE, "DRAWER_KEY") else None

        def set_password(self, service: str, username: str, password: str) -> None: ...

        def delete_password(self, service: str, username: str) -> None: ...

    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    try:
        assert secret("NO_SUCH_KEY") is None
        with serve(lambda asked: Said.of(completion("3"))) as server:
            open_judge("openai", "m", {"base_url": server.address, "api_key_env": "DRAWER_KEY"}).answer(question())
            assert server.asked[0].headers["authorization"] == "Bearer kept-in-the-drawer"
        assert redact("it is kept-in-the-drawer", {}) == f"it is {REMOVED}"
        monkeypatch.setenv("DRAWER_KEY", "of-the-environment")
        assert secret("DRAWER_KEY") == "of-the-environment"
    finally:
        keyring.set_keyring(before)
