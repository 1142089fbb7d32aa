"""The backends openai and ollama through their official clients: a real llama.cpp server, and every refusal."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ollama as ollama_sdk
import pytest

from harness.errors import HarnessError, JudgeError, ModelError
from judges.ask import ask
from judges.base import (
    BUILT_IN,
    Busy,
    Forbidden,
    Judge,
    RequestFailed,
    deciding_options,
    identity,
    load_judge,
    preflight,
)
from judges.contract import CHECKS, Trial, question
from judges.ollama_judge import OllamaOptions, _host
from judges.parse import parse
from judges.questions import PlannedRequest, request_of
from judges.rubric import load_rubric
from tests.servers.chaos import completion
from tests.servers.engine import needs_engine
from tests.servers.loopback import Asked, Loopback, Said, serve
from tests.servers.ollama import DIGEST, MODEL, VERSION, ollama
from tests.servers.openai_batch import BatchServer
from tests.unit.test_judge_parse import reply

RUBRIC = load_rubric("correctness-5")
Open = Callable[..., Judge]


@pytest.fixture(scope="module")
def ollama_server(engine: str) -> Iterator[Loopback]:
    with serve(ollama(engine)) as server:
        yield server


def options_of(backend: str, engine: str, ollama_server: Loopback) -> dict[str, Any]:
    if backend == "openai":
        return {"base_url": f"{engine}/v1", "concurrency": 2}
    return {"host": ollama_server.address, "concurrency": 2, "num_ctx": 768}


# ---------------------------------------------------------------- the contract, on real engines


@needs_engine
@pytest.mark.parametrize("backend", ["openai", "ollama"])
def test_served_backends_keep_the_contract(
    backend: str, engine: str, ollama_server: Loopback, open_judge: Open
) -> None:
    options = options_of(backend, engine, ollama_server)
    judge = open_judge(backend, MODEL, options)
    trial = Trial(judge, backend, MODEL, options)
    problems = {check.__doc__: trial.run(check) for check in CHECKS}
    assert not {name: problem for name, problem in problems.items() if problem}


@needs_engine
@pytest.mark.parametrize("backend", ["openai", "ollama"])
def test_log_probabilities_give_an_expected_score(
    backend: str, engine: str, ollama_server: Loopback, open_judge: Open
) -> None:
    judge = open_judge(backend, MODEL, options_of(backend, engine, ollama_server))
    answer = judge.answer(question())
    row = reply(answer.text, answer.finish_reason).model_copy(update={"tokens": answer.tokens})
    plain, expected = parse(row, RUBRIC), parse(row, RUBRIC, expected=True)
    assert plain.kind == expected.kind == "scored"
    assert 1 <= expected.value <= 5


# ---------------------------------------------------------------- openai


@needs_engine
def test_a_question_beyond_the_context_fails_for_good(engine: str, open_judge: Open) -> None:
    judge = open_judge("openai", "m", {"base_url": f"{engine}/v1"})
    with pytest.raises(RequestFailed, match="context"):
        judge.answer(question("word " * 900))


@pytest.fixture
def openai_judge(open_judge: Open) -> Open:
    def at(server: Loopback, **options: Any) -> Judge:
        judge: Judge = open_judge("openai", "m", {"base_url": f"{server.address}/v1", "timeout": 5.0, **options})
        return judge

    return at


def refusing(*names: str) -> Any:
    """A server that refuses each of these parameters with a message like OpenAI's."""

    def answer(asked: Asked) -> Said:
        for name in names:
            if name in asked.body:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
                return Said.of({"error": {"message": message, "param": name}}, 400)
        return Said.of(completion('{"score": 4}'))

    return answer


def test_what_a_server_refuses_is_left_out_and_learned_once(openai_judge: Open) -> None:
    with serve(refusing("response_format", "logprobs", "seed", "max_tokens", "temperature")) as server:
        judge = openai_judge(server)
        assert judge.answer(question()).text == '{"score": 4}'
        asked = len(server.asked)
        assert judge.answer(question("Oslo")).text == '{"score": 4}'
        assert len(server.asked) == asked + 1
        assert server.asked[-1].body.keys() == {"model", "messages", "max_completion_tokens"}


FORBIDDEN = {"error": {"message": "You are not allowed to request logprobs from this model."}}


def test_a_model_that_forbids_log_probabilities_is_asked_without(openai_judge: Open) -> None:
    """As OpenAI's reasoning models do, by 403."""
    good, forbidden = Said.of(completion("4")), Said.of(FORBIDDEN, 403)
    with serve(lambda asked: forbidden if "logprobs" in asked.body else good) as server:
        assert openai_judge(server).answer(question()).text == "4"
    with (
        serve(lambda asked: Said.of({"error": {"message": "no access"}}, 403)) as server,
        pytest.raises(Forbidden, match="HTTP 403: no access"),
    ):
        openai_judge(server).answer(question())


def test_a_model_that_thinks_is_given_room_and_told_how_long(openai_judge: Open) -> None:
    options: dict[str, Any] = {"max_completion_tokens": 4000, "reasoning_effort": "low"}
    asked = request_of(RUBRIC, "Grade.", options, 0)
    with serve(refusing("max_tokens")) as server:
        openai_judge(server, **options).answer(asked)
        body = server.asked[-1].body
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (4000, "low")
    assert request_of(RUBRIC, "Grade.", {}, 0).max_tokens == RUBRIC.max_tokens


@pytest.mark.parametrize("backend", [name for name in BUILT_IN if name not in ("llamacpp", "transformers")])
def test_every_backend_gives_a_model_room_to_think(backend: str) -> None:
    options: dict[str, Any] = {"digest": DIGEST} if backend == "ollama" else {}
    room = options | {"max_completion_tokens": 4000}
    assert identity(backend, "openai/m", room) == identity(backend, "openai/m", options)
    assert deciding_options(backend, room) == {"max_completion_tokens": 4000}
    assert deciding_options(backend, options) == {}
    with pytest.raises(HarnessError, match="max_completion_tokens"):
        identity(backend, "openai/m", {"max_completion_tokens": 0})


@pytest.mark.parametrize("think", ["low", True, None])
def test_ollama_is_told_how_long_to_think(think: str | bool | None, open_judge: Open) -> None:
    listing = ollama("http://127.0.0.1:9")
    message = {"role": "assistant", "content": "", "thinking": "Well,"}
    thought = Said.of({"model": MODEL, "message": message, "done": True, "done_reason": "length", "eval_count": 8})
    options: dict[str, Any] = {"max_completion_tokens": 8} | ({} if think is None else {"think": think})
    with serve(lambda asked: listing(asked) if asked.path == "/api/tags" else thought) as server:
        answer = open_judge("ollama", MODEL, {"host": server.address, **options}).answer(
            request_of(RUBRIC, "Grade.", options, 0)
        )
    body = server.asked[-1].body
    assert (body.get("think"), body["options"]["num_predict"]) == (think, 8)
    outcome = parse(reply(answer.text, answer.finish_reason), RUBRIC)
    assert outcome.kind == "unparsed"
    assert outcome.reason == "cut off at max_tokens before any text"


def test_a_schema_falls_back_to_json_and_then_to_words(openai_judge: Open) -> None:
    def answer(asked: Asked) -> Said:
        if asked.body.get("response_format", {}).get("type") == "json_schema":
            return Said.of({"error": {"message": "response_format json_schema is not supported"}}, 400)
        return Said.of(completion('{"score": 4}'))

    with serve(answer) as server:
        judge = openai_judge(server)
        judge.answer(question())
        assert server.asked[0].body["response_format"]["json_schema"]["schema"] == RUBRIC.schema_
        assert server.asked[1].body["response_format"] == {"type": "json_object"}
        judge.answer(question(rubric="correctness-100"))
        assert "response_format" not in server.asked[2].body


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "We could not parse the JSON body of your request."},
        {"message": "Your prompt was flagged: 'what temperature has ice, and what seed has a response_format?'"},
        {"message": "Generated JSON does not match the expected schema.", "code": "json_validate_failed"},
    ],
)
def test_what_one_question_is_refused_for_changes_no_other(
    error: dict[str, str], first: bool, openai_judge: Open
) -> None:
    bad = question("Oslo")

    def answer(asked: Asked) -> Said:
        helped = "code" in error and "response_format" not in asked.body
        refused = asked.body["messages"] == bad.messages and not helped
        return Said.of({"error": error}, 400) if refused else Said.of(completion('{"score": 4}'))

    with serve(answer) as server:
        judge = openai_judge(server)
        if not first:
            judge.answer(question())
        with pytest.raises(RequestFailed, match=error["message"][:20]):
            judge.answer(bad)
        judge.answer(question())
    assert server.asked[-1].body.keys() == {
        "model", "messages", "max_tokens", "temperature", "seed", "logprobs", "top_logprobs", "response_format",
    }  # fmt: skip
    assert server.asked[-1].body["response_format"]["type"] == "json_schema"


def test_an_answer_without_what_others_were_answered_with_does_not_count(openai_judge: Open) -> None:
    """Both are under way at once: one is refused for its schema, and would be answered without."""
    slow, refused = question("Oslo"), question("Rome")
    under_way = threading.Event()

    def answer(asked: Asked) -> Said:
        if asked.body["messages"] == slow.messages:
            under_way.set()
            time.sleep(0.1)
        elif asked.body.get("response_format"):
            return Said.of({"error": {"message": "schema: recursion"}}, 400)
        else:
            time.sleep(0.3)
        return Said.of(completion('{"score": 4}'))

    with serve(answer) as server, ThreadPoolExecutor(1) as pool:
        judge = openai_judge(server, json_output="schema")
        other = pool.submit(judge.answer, slow)
        under_way.wait()
        with pytest.raises(RequestFailed, match="recursion"):
            judge.answer(refused)
        other.result()
        judge.answer(slow)
    assert server.asked[-1].body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (Said.of({"error": {"message": "wait"}}, 429, **{"Retry-After": "7"}), Busy, "HTTP 429: wait"),
        (Said.of({"error": {"message": "boom"}}, 500), Busy, "HTTP 500"),
        (Said(502, b"<html>"), Busy, "HTTP 502"),
        (Said(200, b'{"choi', {"Content-Type": "application/json"}), Busy, "not a chat completion"),
        (Said(200, b"hello", {"Content-Type": "text/plain"}), Busy, "not a chat completion"),
        (Said.of({"choices": []}), Busy, "not a chat completion"),
        (Said.of({"error": {"message": "no access"}}, 401), JudgeError, "refuses the key"),
        (
            Said.of({"error": {"message": "no such model"}}, 404),
            JudgeError,
            r"(?s)no model 'm', or no such path.* /v1",
        ),
        (Said.of({"error": {"message": "broke", "code": "insufficient_quota"}}, 429), JudgeError, "broke"),
        (Said.of({"error": {"message": "too long"}}, 400), RequestFailed, "too long"),
        (Said(cut=True), ConnectionError, None),
        (Said(200, b"{", {"Content-Type": "application/json"}, promised=500), ConnectionError, None),
    ],
)
def test_what_a_status_means(said: Said, error: type[Exception], match: str | None, openai_judge: Open) -> None:
    with serve(lambda asked: said) as server:
        with pytest.raises(error, match=match) as caught:
            openai_judge(server).answer(question())
        if isinstance(caught.value, Busy):
            assert caught.value.retry_after == (7.0 if match is not None and "wait" in match else None)


@pytest.mark.parametrize("batch", [False, True])
def test_a_reply_in_parts_or_without_counts_is_read(batch: bool, open_judge: Open) -> None:
    """As Mistral's thinking models send it, and proxies that count no tokens."""
    said = completion("")
    parts = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": '{"sco'},
        {"type": "text", "text": 're": 4}'},
    ]
    said["choices"][0]["message"]["content"] = parts
    said["usage"] = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    rows: list[Any] = []
    with serve(BatchServer(lambda body, nth: (200, said)) if batch else lambda asked: Said.of(said)) as server:
        judge = open_judge("openai", "m", {"base_url": f"{server.address}/v1", "batch": batch, "batch_poll": 0.005})
        ask(judge, [PlannedRequest(question(), "e", 0, 0)], on_reply=rows.append, name="object")
    [row] = rows
    assert (row.text, row.prompt_tokens, row.completion_tokens) == ('{"score": 4}', 0, 0)


@pytest.mark.parametrize("backend", ["openai", "anthropic", "litellm"])
@pytest.mark.parametrize("given", ["127.0.0.1:8000/v1", "localhost:8000/v1", "http://127.0.0.1:80800/v1", "http:///v1"])
def test_a_base_url_that_is_no_address_is_told_before_anything_is_asked(backend: str, given: str) -> None:
    with pytest.raises(JudgeError, match=f"'base_url'.*got '{given}'"):
        identity(backend, "m", {"base_url": given})


def test_a_silent_server_times_out_and_an_absent_one_is_no_connection(openai_judge: Open, open_judge: Open) -> None:
    with serve(lambda asked: time.sleep(0.6) or Said()) as server:  # type: ignore[func-returns-value]
        with pytest.raises(TimeoutError, match=r"0\.2 s"):
            openai_judge(server, timeout=0.2).answer(question())
        address = server.address
    with pytest.raises(ConnectionError):
        open_judge("openai", "m", {"base_url": address}).answer(question())


def test_the_key_comes_from_the_environment_and_openai_itself_needs_one(
    monkeypatch: pytest.MonkeyPatch, openai_judge: Open
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for call in (load_judge, preflight):
        with pytest.raises(JudgeError, match="OPENAI_API_KEY holds no key") as caught:
            call("openai", "gpt-4o-mini", {})
        assert "export OPENAI_API_KEY" in str(caught.value)
    assert identity("openai", "gpt-4o-mini", {}) == "served:gpt-4o-mini@https://api.openai.com/v1"
    monkeypatch.setenv("MY_KEY", "planted-key-12345")
    with serve(lambda asked: Said.of(completion("3"))) as server:
        openai_judge(server, api_key_env="MY_KEY").answer(question())
        assert server.asked[0].headers["authorization"] == "Bearer planted-key-12345"


def test_options_of_the_connection_decide_no_reply() -> None:
    options = {"base_url": "http://h/v1", "timeout": 3.0, "seed": 4, "concurrency": 2, "json_output": "none"}
    assert deciding_options("openai", options) == {"seed": 4, "json_output": "none"}
    assert deciding_options("ollama", {"host": "h", "num_ctx": 512, "keep_alive": "1m"}) == {"num_ctx": 512}
    layout = {"engines": 2, "threads": 1}
    assert deciding_options("llamacpp", {**layout, "slots": 2, "context": 512}) == {"slots": 2, "context": 512}
    assert deciding_options("scripted", {"slots": 8, "garbage": 3}) == {"garbage": 3}


# ---------------------------------------------------------------- ollama


@needs_engine
def test_ollama_is_really_sent_its_options(ollama_server: Loopback, open_judge: Open) -> None:
    options = {"host": ollama_server.address, "num_ctx": 512, "keep_alive": "3m", "think": False}
    judge = open_judge("ollama", MODEL, options)
    judge.answer(question())
    body = ollama_server.asked[-1].body
    assert body["options"] == {"seed": 0, "temperature": 0.0, "num_ctx": 512, "num_predict": 32}
    assert (body["format"], body["keep_alive"], body["think"]) == (RUBRIC.schema_, "3m", False)
    assert body["stream"] is False


def test_a_missing_model_names_the_pull_line_before_and_while_asking() -> None:
    with serve(ollama("http://127.0.0.1:9")) as server:
        for call in (identity, load_judge, preflight):
            with pytest.raises(ModelError) as caught:
                call("ollama", "llama3.2", {"host": server.address})
            assert f"OLLAMA_HOST={server.address} ollama pull llama3.2" in str(caught.value)
        assert identity("ollama", MODEL, {"host": server.address}) == f"ollama:{DIGEST[:12]}"
        for digest in (DIGEST, f"sha256:{DIGEST}", DIGEST[:12]):
            assert identity("ollama", "x", {"host": "nowhere", "digest": digest}) == f"ollama:{DIGEST[:12]}"
        for digest in (DIGEST[:11], "", "sha256:", DIGEST.upper()):
            with pytest.raises(JudgeError, match="option 'digest'"):
                identity("ollama", "x", {"host": "nowhere", "digest": digest})


@pytest.mark.parametrize(
    "given",
    ["", "0.0.0.0", "gpu-box", ":11500", "gpu-box:80/", "gpu-box/path/", "http://1.2.3.4", "https://h:1/p/", "[::1]"],
)
def test_an_address_means_what_it_means_to_the_official_client(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ollama._client import _parse_host

    monkeypatch.setenv("OLLAMA_HOST", given)
    assert _parse_host(_host(OllamaOptions())) == _parse_host(given)


@pytest.mark.parametrize("given", ["http://localhost:abc", "http://my host", "localhost:99999"])
def test_what_is_no_address_is_told(given: str) -> None:
    with pytest.raises(JudgeError):
        preflight("ollama", "m", {"host": given})


def test_an_ollama_that_is_not_there_says_how_to_start_it() -> None:
    with pytest.raises(JudgeError, match="no Ollama server answers") as caught:
        identity("ollama", "m", {"host": "http://127.0.0.1:9"})
    assert "ollama serve" in str(caught.value)


@needs_engine
def test_a_loading_ollama_is_busy_and_says_for_how_long(engine: str, open_judge: Open) -> None:
    with serve(ollama(engine, busy=1)) as server:
        judge = open_judge("ollama", MODEL, {"host": server.address})
        with pytest.raises(Busy, match="server busy") as caught:
            judge.answer(question())
        assert caught.value.retry_after == 0.05
        assert parse(reply(judge.answer(question()).text), RUBRIC).kind == "scored"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said.of({"error": "bad option"}, 400), RequestFailed),
        (Said.of({"error": "gone"}, 404), ModelError),
        (Said.of({"error": "key"}, 401), JudgeError),
        (Said(200, b'{"mess', {"Content-Type": "application/json"}), Busy),
        (Said.of({"done": True}), Busy),
        (Said(cut=True), ConnectionError),
    ],
)
def test_what_ollama_statuses_mean(said: Said, error: type[Exception], open_judge: Open) -> None:
    listing = ollama("http://127.0.0.1:9")
    with serve(lambda asked: listing(asked) if asked.path == "/api/tags" else said) as server:
        judge = open_judge("ollama", MODEL, {"host": server.address})
        with pytest.raises(error):
            judge.answer(question())


@needs_engine
def test_the_protocol_of_the_test_server_is_the_one_that_the_official_client_speaks(
    ollama_server: Loopback, request: pytest.FixtureRequest
) -> None:
    client = ollama_sdk.Client(ollama_server.address)
    request.addfinalizer(client.close)
    assert [each.model for each in client.list().models] == [MODEL]
    assert client.show(MODEL).details is not None
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 4, "seed": 1}}
    whole = client.chat(**chat)  # type: ignore[call-overload]
    parts = list(client.chat(**chat, stream=True))  # type: ignore[call-overload]
    assert (whole.done, parts[-1].done, parts[-1].done_reason) == (True, True, "length")
    generated = client.generate(MODEL, "Hi", options={"num_predict": 4}, format="json")
    streamed = list(client.generate(MODEL, "Hi", options={"num_predict": 4}, stream=True))
    assert generated.response
    assert streamed[-1].eval_count
    with pytest.raises(ollama_sdk.ResponseError, match="not found"):
        client.chat("llama3.2", [])
    with urllib.request.urlopen(f"{ollama_server.address}/api/version") as response:
        assert json.load(response) == {"version": VERSION}


def test_both_name_unknown_options() -> None:
    for backend in ("openai", "ollama"):
        with pytest.raises(HarnessError, match="unknown option 'temprature'; did you mean 'temperature'"):
            identity(backend, "m", {"temprature": 0})
