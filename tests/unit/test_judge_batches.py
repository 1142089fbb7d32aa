"""OpenAI's Batch API through the official client: every way in which a batch ends, limits, and kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.errors import BudgetSpent, JudgeError
from harness.records.rows import NoReply, Reply, ReplyRow
from harness.records.settings import AskLimits, Price
from judges import openai_batches
from judges.ask import ask
from judges.base import deciding_options
from judges.budget import Budget
from tests.servers.chaos import completion
from tests.servers.loopback import Said, serve
from tests.servers.openai_batch import BatchServer
from tests.unit.test_judge_chaos import questions

Open = Callable[..., Any]
ROOT = Path(__file__).parents[2]
GONE = Said.of({"error": {"message": "No such File object"}}, 404)
GOOD = (200, completion('{"score": 3}'))


def run(
    server: BatchServer, open_judge: Open, n: int = 20, done: tuple[Any, ...] = (), name: str = "object", **more: Any
) -> tuple[list[Any], Any]:
    rows: list[Any] = list(done)
    seen = {row.example_id for row in done}
    with serve(server) as running:
        options = {"base_url": f"{running.address}/v1", "batch": True, "batch_poll": 0.005, "timeout": 5.0}
        judge = open_judge("openai", "m", options)
        left = [each for each in questions(n) if each.example_id not in seen]
        return rows, ask(judge, left, on_reply=rows.append, name=name, **more)


def test_all_questions_go_in_one_file_and_every_answer_is_kept(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    budget = Budget()
    rows, tally = run(server, open_judge, price=Price(input=1, output=2), budget=budget)
    assert sorted(row.example_id for row in rows) == sorted(f"e{i}" for i in range(20))
    assert {row.text for row in rows if isinstance(row, Reply)} == {'{"score": 3}'}
    assert (len(server.batches), tally.calls, tally.retries) == (1, 20, 0)
    assert budget.spent.cost == pytest.approx(20 * (100 + 2 * 5) / 1e6)
    [batch] = server.batches.values()
    assert batch["metadata"] == {openai_batches.NAME: "object"}


def test_a_line_of_a_result_ends_at_its_newline_only(open_judge: Open) -> None:
    """JSON may hold U+2028 as it is."""
    said = '{"why": "a\u2028b\x85c", "score": 3}'
    rows, _ = run(BatchServer(lambda body, nth: (200, completion(said))), open_judge, limits=AskLimits(retries=0))
    assert {row.text for row in rows if isinstance(row, Reply)} == {said}
    assert len(rows) == 20


def test_what_expired_or_failed_goes_into_the_next_batch_and_at_last_has_a_reason(open_judge: Open) -> None:
    def respond(body: dict[str, Any], nth: int) -> Any:
        item = int(body["messages"][1]["content"].split()[1])
        if item == 0:
            return 500, {"error": {"message": "boom"}}
        if item == 1:
            return 400, {"error": {"message": "too long"}}
        return None if item % 3 == 0 and nth == 1 else GOOD

    server = BatchServer(respond)
    rows, tally = run(server, open_judge, limits=AskLimits(retries=2))
    failed = {row.example_id: (row.reason, row.attempts) for row in rows if isinstance(row, NoReply)}
    assert failed == {"e0": ("HTTP 500: boom", 3), "e1": ("HTTP 400: too long", 1)}
    assert {row.attempts for row in rows if isinstance(row, Reply)} == {1, 2}
    assert [batch["status"] for batch in server.batches.values()] == ["expired", "completed", "completed"]
    assert (len(rows), tally.calls) == (20, 20 + 7 + 1)


@pytest.mark.parametrize("status", [400, 403])
def test_a_parameter_that_is_refused_is_left_out_of_the_next_batch(status: int, open_judge: Open) -> None:
    def respond(body: dict[str, Any], nth: int) -> Any:
        return (status, {"error": {"message": "logprobs are not allowed"}}) if "logprobs" in body else GOOD

    server = BatchServer(respond)
    rows, _ = run(server, open_judge, limits=AskLimits(retries=0))
    assert all(isinstance(row, Reply) for row in rows)
    assert len(server.batches) == 2


def test_what_one_question_of_a_batch_is_refused_for_changes_no_other(open_judge: Open) -> None:
    def respond(body: dict[str, Any], nth: int) -> Any:
        flagged = body["messages"][1]["content"] == "item 3"
        return (400, {"error": {"message": "flagged: 'the temperature of a seed'"}}) if flagged else GOOD

    server = BatchServer(respond)
    with serve(server) as running:
        options = {"base_url": f"{running.address}/v1", "batch": True, "batch_poll": 0.005, "timeout": 5.0}
        judge = open_judge("openai", "m", options)
        rows: list[Any] = []
        for name, asked in (("first", questions(5)), ("second", questions(4)[3:]), ("third", questions(6)[5:])):
            ask(judge, asked, on_reply=rows.append, name=name, limits=AskLimits(retries=0))
    assert [row.example_id for row in rows if isinstance(row, NoReply)] == ["e3", "e3"]
    last = next(reversed(server.batches.values()))
    [line] = server.files[last["input_file_id"]].splitlines()
    assert {"temperature", "seed"} <= json.loads(line)["body"].keys()
    assert len(server.batches) == 3


def test_a_batch_of_an_earlier_run_is_found_by_its_name_and_not_handed_in_again(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    first, _ = run(server, open_judge)
    again, _ = run(server, open_judge, done=tuple(first[:5]))
    assert sorted(row.example_id for row in again) == sorted(row.example_id for row in first)
    assert len(server.batches) == 1
    run(server, open_judge, name="another object")
    assert len(server.batches) == 2


def test_what_an_earlier_run_left_out_is_known_from_its_batches(open_judge: Open) -> None:
    """Else a single bad question of a later batch would be taken for a parameter's refusal."""

    def respond(body: dict[str, Any], nth: int) -> Any:
        if "logprobs" in body or body["messages"][1]["content"] == "item 20":
            return 400, {"error": {"message": "logprobs, temperature and seed are not allowed"}}
        return GOOD

    server = BatchServer(respond)
    first, _ = run(server, open_judge)
    assert len(server.batches) == 2
    again, _ = run(server, open_judge, n=21, done=tuple(first[:5]), limits=AskLimits(retries=0))
    assert len(again) == 21
    assert [row.example_id for row in again if isinstance(row, NoReply)] == ["e20"]
    assert [batch["metadata"].get(openai_batches.LEFT_OUT) for batch in server.batches.values()] == [
        None, "logprobs", "logprobs",
    ]  # fmt: skip


def test_limits_of_calls_and_money_keep_the_rest_out(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    with pytest.raises(BudgetSpent, match="limit of 8 calls"):
        run(server, open_judge, budget=Budget(max_calls=8))
    assert len(server.asked) == 8
    price = Price(input=0, output=1e6 / 16)  # a reply may cost a dollar
    server = BatchServer(lambda body, nth: GOOD)
    with pytest.raises(BudgetSpent, match=r"limit of \$3"):
        run(server, open_judge, price=price, budget=Budget(max_cost=3.0))
    assert len(server.asked) == 3


def test_a_cancelled_batch_ends_the_asking_until_the_user_starts_again(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    server.cancel("batch_0")
    with pytest.raises(JudgeError, match="cancelled"):
        run(server, open_judge)
    rows, _ = run(server, open_judge)
    assert all(isinstance(row, Reply) for row in rows)
    assert len(server.batches) == 2


def test_many_questions_go_in_several_files(open_judge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_batches, "MOST_REQUESTS", 6)
    server = BatchServer(lambda body, nth: GOOD)
    rows, _ = run(server, open_judge)
    assert len(rows) == 20
    assert len(server.batches) == 4
    assert set(Counter(server.asked).values()) == {1}


def test_a_batch_that_is_not_taken_says_why(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    server.ends["batch_0"] = "failed"
    with pytest.raises(JudgeError, match="batch_0 was not taken: line 1: bad line"):
        run(server, open_judge)


def test_a_server_without_batches_is_told_from_one_without_the_model(open_judge: Open) -> None:
    with serve(lambda asked: Said.of({"detail": "Not Found"}, 404)) as running:
        judge = open_judge("openai", "m", {"base_url": f"{running.address}/v1", "batch": True})
        with pytest.raises(JudgeError, match="does it know batches"):
            ask(judge, questions(2), on_reply=print, name="object")


def test_a_batch_whose_results_are_removed_is_handed_in_again(open_judge: Open) -> None:
    server = BatchServer(lambda body, nth: GOOD)
    with serve(lambda asked: GONE if asked.path in gone else server(asked)) as running:
        options = {"base_url": f"{running.address}/v1", "batch": True, "batch_poll": 0.005}
        rows: list[Any] = []
        gone: set[str] = set()
        ask(open_judge("openai", "m", options), questions(3), on_reply=rows.append, name="object")
        gone = {f"/v1/files/{name}/content" for name in server.files}
        ask(open_judge("openai", "m", options), questions(3), on_reply=rows.append, name="object")
    assert [row.kind for row in rows] == ["reply"] * 6
    assert len(server.batches) == 2


def test_asking_by_batch_decides_no_reply() -> None:
    assert deciding_options("openai", {"batch": True, "batch_poll": 5.0, "seed": 1}) == {"seed": 1}


ASK = """
import sys
from pathlib import Path
from harness.records.inputs import AskInput
from harness.store import Store, planned
from harness.records.rows import ReplyRow
from judges.ask import ask
from judges.base import load_judge
from judges.questions import pending
from tests.unit.test_judge_chaos import questions
stage = planned(AskInput(generations="g", data="d", backend="openai", model_identity="m", prompt_sha256="p"))
with Store(Path(sys.argv[1])).making(stage) as writer:
    left = pending(questions(200), writer.kept_rows(ReplyRow))
    judge = load_judge("openai", "m", {"base_url": sys.argv[2] + "/v1", "batch": True, "batch_poll": 0.02})
    ask(judge, left, on_reply=lambda row: writer.append([row]), name=stage.key.digest)
    judge.close()
    writer.finish()
"""


@pytest.mark.slow
def test_killed_at_any_point_a_batch_is_handed_in_and_paid_for_once(tmp_path: Path) -> None:
    """kill -9 before the batch exists, while it runs, and while its answers are written."""
    server = BatchServer(lambda body, nth: GOOD, looks=30)
    with serve(server) as running:
        command = [sys.executable, "-c", ASK, str(tmp_path), running.address]

        def rows() -> list[Any]:
            lines = [each for path in tmp_path.glob("objects/ask/*/rows.jsonl") for each in path.open()]
            return [TypeAdapter(ReplyRow).validate_json(line) for line in lines if line.endswith("\n")]

        for reached in (lambda: server.files, lambda: server.batches, lambda: len(rows()) > 20):
            process = subprocess.Popen(command, cwd=ROOT)
            while not reached() and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert len(server.batches) == 1
    assert set(Counter(server.asked).values()) == {1}
    assert sorted(row.example_id for row in rows()) == sorted(f"e{i}" for i in range(200))
