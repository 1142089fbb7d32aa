"""Nothing lost, nothing twice: a server that fails three calls in ten, kill -9, outages, limits of money and calls."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.errors import BudgetSpent, JudgeError
from harness.records.rows import NoReply, Reply, ReplyRow, ReplyToken, TokenLogprob
from harness.records.settings import AskLimits, Price
from judges.ask import ask
from judges.base import Answer, Request
from judges.bill import bill
from judges.budget import Budget, Spent, cost_of, listed_price
from judges.pace import Pace
from judges.parse import parse
from judges.questions import PlannedRequest, pending
from judges.rows import MOST_CHARACTERS, reply_row
from judges.rubric import load_rubric
from judges.window import Window
from tests.servers.chaos import GOOD, chaos, completion, fault_of
from tests.servers.loopback import Asked, Loopback, Said, serve
from tests.servers.openai_batch import BatchServer
from tests.unit.test_judge_ask import Programmed

RUBRIC = load_rubric("correctness-5")
Open = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def questions(n: int) -> list[PlannedRequest]:
    return [PlannedRequest(Request("Grade.", f"item {i}", None, 16), f"e{i}", 0, 0) for i in range(n)]


def judge_at(server: Loopback, load: Open, **options: Any) -> Any:
    return load("openai", "m", {"base_url": f"{server.address}/v1", "timeout": 1.0, "logprobs": False, **options})


@pytest.mark.slow
def test_two_thousand_items_through_a_server_that_fails_three_calls_in_ten(open_judge: Open) -> None:
    rows: list[Any] = []
    price = Price(input=1, output=10)
    budget = Budget()
    with serve(chaos) as server:
        tally = ask(
            judge_at(server, open_judge),
            questions(2000),
            on_reply=rows.append,
            price=price,
            budget=budget,
            first_wait=0.001,
        )
        served = len(server.asked)
        met = Counter(fault_of(asked) for asked in server.asked)
    assert len(met) == 13, "every fault is met"
    assert sorted(row.example_id for row in rows) == sorted(f"e{i}" for i in range(2000))
    kinds = Counter(parse(row, RUBRIC).kind for row in rows)
    assert kinds.total() == 2000
    assert kinds["scored"] > 1750
    assert kinds["unparsed"] > 50, "wrong schema, empty and oversized replies are outcomes"
    assert kinds["failed"] < 30
    assert tally.calls == served == budget.spent.calls
    facts = bill(rows, price)
    assert facts.calls == served
    assert facts.retries == tally.retries == served - 2000
    assert facts.cost == pytest.approx(budget.spent.cost)
    assert facts.completion_tokens >= 2_000_000 * met["10 MB"] * 0.5
    assert max(len(row.text) for row in rows if isinstance(row, Reply)) <= MOST_CHARACTERS


ASK = """
import sys
from pathlib import Path
from harness.records.inputs import AskInput
from harness.store import Store, planned
from harness.records.rows import ReplyRow
from judges.ask import ask
from judges.questions import pending
from judges.base import load_judge
from tests.unit.test_judge_chaos import judge_at, questions
from tests.servers.loopback import Loopback
stage = planned(AskInput(generations="g", data="d", backend="openai", model_identity="m", prompt_sha256="p"))
with Store(Path(sys.argv[1])).making(stage) as writer:
    left = pending(questions(2000), writer.kept_rows(ReplyRow))
    judge = judge_at(Loopback(sys.argv[2], []), load_judge, concurrency=16)
    ask(judge, left, on_reply=lambda row: writer.append([row]), first_wait=0.001)
    writer.finish()
"""


@pytest.mark.slow
def test_killed_at_any_point_and_resumed_nothing_is_asked_twice_but_what_was_under_way(tmp_path: Path) -> None:
    """2,000 items, three calls in ten fail, and the process is killed three times (kill -9); the server remembers."""

    def kept() -> dict[str, Any]:
        paths = list(tmp_path.glob("objects/ask/*/rows.jsonl"))
        lines = paths[0].read_bytes().split(b"\n")[:-1] if paths else []
        rows: list[Any] = [TypeAdapter(ReplyRow).validate_json(line) for line in lines]
        assert len({row.example_id for row in rows}) == len(rows), "nothing twice"
        return {row.example_id: row for row in rows}

    def about(asked: Asked) -> str:
        return "e" + str(asked.body["messages"][1]["content"]).removeprefix("item ")

    with serve(chaos) as server:
        command = [sys.executable, "-c", ASK, str(tmp_path), server.address]
        for kill in range(3):
            before, done = len(server.asked), kept()
            process = subprocess.Popen(command, cwd=ROOT)
            while len(server.asked) < before + 200 * (kill + 1) and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not done.keys() & {about(asked) for asked in server.asked[before:]}, (
                "what is kept is not asked again"
            )
            assert kept().items() >= done.items(), "nothing is lost"
        before, done = len(server.asked), kept()
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
        assert not done.keys() & {about(asked) for asked in server.asked[before:]}
        calls = len(server.asked)
    rows = kept()
    assert rows.keys() == {f"e{i}" for i in range(2000)}
    assert 0 < sum(parse(row, RUBRIC).kind == "scored" for row in rows.values()) < 2000
    booked = bill(list(rows.values()), None).calls
    retried = 3 * 16 * 6  # a question under way at a kill may have been asked six times, and begins anew
    assert booked <= calls <= booked + retried


def test_an_outage_is_nobodys_verdict_and_the_next_run_goes_on(open_judge: Open) -> None:
    down = threading.Event()

    def sometimes(asked: Asked) -> Said:
        if not down.is_set():
            return Said.of(completion("3"))
        time.sleep(0.05)  # what was answered before is on its way: a reply among the failures would end the outage
        return Said.of({"error": {"message": "down"}}, 503)

    rows: list[Any] = []

    def on_reply(row: Any) -> None:
        rows.append(row)
        if len(rows) == 60:
            down.set()

    with serve(sometimes) as server:
        judge, limits = judge_at(server, open_judge), AskLimits(retries=1)
        with pytest.raises(JudgeError, match="left 12 questions in a row unanswered; the last one: HTTP 503: down"):
            ask(judge, questions(300), on_reply=on_reply, limits=limits, first_wait=0.001)
        assert 60 <= len(rows) < 300
        assert not [row for row in rows if isinstance(row, NoReply)]
        down.clear()
        ask(judge, pending(questions(300), rows), on_reply=rows.append, limits=limits, first_wait=0.001)
    assert len({row.example_id for row in rows}) == len(rows) == 300


FLAGGED = Said.of({"error": {"code": 403, "message": "your input was flagged"}}, 403)


@pytest.mark.parametrize("alone", [True, False])
def test_a_flagged_question_is_one_without_reply_and_ends_nothing(alone: bool, open_judge: Open) -> None:
    """Whether it is asked alone, or its 403 comes while the first answers are still under way."""
    rows: list[Any] = []

    def answer(asked: Asked) -> Said:
        if asked.body["messages"][-1]["content"] == "item 13":
            return FLAGGED
        time.sleep(0.05)
        return Said.of(GOOD)

    with serve(answer) as server:
        asked = questions(20)[13:14] if alone else questions(20)
        ask(judge_at(server, open_judge), asked, on_reply=rows.append)
    assert [(row.example_id, row.reason) for row in rows if isinstance(row, NoReply)] == [
        ("e13", "HTTP 403: your input was flagged")
    ]
    assert len(rows) == (1 if alone else 20)


@pytest.mark.parametrize("let_through", [0, 5])
def test_a_key_that_is_refused_by_403_ends_the_asking(let_through: int, open_judge: Open) -> None:
    rows: list[Any] = []
    with serve(lambda asked: Said.of(GOOD) if len(server.asked) <= let_through else FLAGGED) as server:
        with pytest.raises(JudgeError, match=r"(?s)refuses the key: HTTP 403.*set OPENAI_API_KEY"):
            ask(judge_at(server, open_judge), questions(20), on_reply=rows.append)
    assert all(isinstance(row, Reply) for row in rows)
    assert len(rows) <= let_through


def test_an_impossible_candidate_leaves_a_row_that_can_be_read() -> None:
    candidates = (TokenLogprob(token="3", logprob=0.0), TokenLogprob(token="4", logprob=-math.inf))
    answer = Answer("3", "stop", 1, 1, (ReplyToken(text="3", candidates=candidates),))
    row = reply_row(questions(1)[0], answer, 1, 0.0)
    assert Reply.model_validate_json(row.model_dump_json()) == row
    assert [each.token for each in row.tokens[0].candidates] == ["3"]


# ---------------------------------------------------------------- limits


def test_a_limit_of_calls_stops_cleanly_and_keeps_everything(open_judge: Open) -> None:
    rows: list[Any] = []
    with serve(lambda asked: Said.of(completion("3"))) as server:
        with pytest.raises(BudgetSpent, match="limit of 50 calls") as caught:
            ask(judge_at(server, open_judge), questions(300), on_reply=rows.append, budget=Budget(max_calls=50))
        assert len(rows) == len(server.asked) == 50
    assert "--max-calls" in str(caught.value)


def test_a_limit_of_money_is_never_passed_even_with_many_calls_under_way(open_judge: Open) -> None:
    price = Price(input=0, output=1e6 / 5)  # a reply of 5 tokens costs a dollar, one of 16 at most 3.20
    rows: list[Any] = []
    budget = Budget(max_cost=20.0)
    with serve(lambda asked: Said.of(completion("3"))) as server, pytest.raises(BudgetSpent, match="limit of \\$20"):
        ask(
            judge_at(server, open_judge, concurrency=16),
            questions(300),
            on_reply=rows.append,
            price=price,
            budget=budget,
        )
    assert budget.spent == Spent(len(rows), float(len(rows)))
    assert 20 - 3.2 < budget.spent.cost <= 20


@pytest.mark.parametrize("batch", [False, True])
def test_a_limit_of_money_holds_in_chinese_too(batch: bool, open_judge: Open) -> None:
    """A character is a token there, and not a third of one."""
    asked = [PlannedRequest(Request("", "评" * 1000, None, 1), f"e{n}", 0, 0) for n in range(5)]
    server = BatchServer(lambda body, nth: (200, completion("3", 1000)))
    price = Price(input=1000.0, output=0)  # a question costs a dollar
    with (
        serve(server if batch else lambda asked: Said.of(completion("3", 1000))) as running,
        pytest.raises(BudgetSpent, match=r"limit of \$0.9"),
    ):
        judge = judge_at(running, open_judge, batch=batch, batch_poll=0.005)
        ask(judge, asked, on_reply=lambda row: None, price=price, budget=Budget(max_cost=0.9), name="object")
    assert not [each for each in running.asked if each.path.endswith(("completions", "files"))]


def test_prices_are_the_users_or_the_lists_and_unknown_ones_are_none() -> None:
    mini = listed_price("openai", "gpt-4o-mini", {})
    assert mini is not None
    assert cost_of(mini, 1_000_000, 100_000) == pytest.approx(0.15 + 0.06)
    assert listed_price("openai", "somebody/else", {}) is None
    assert listed_price("ollama", "llama3.2", {}) == Price(input=0, output=0)


def test_requests_per_minute_are_spaced() -> None:
    now = [100.0]
    pace = Pace(30, clock=lambda: now[0])
    assert [pace.book(1) for _ in range(3)] == [0, 2, 4]
    now[0] = 105.0
    assert pace.book(1) == 1
    now[0] = 1000.0
    assert [pace.book(1), pace.book(1)] == [0, 2], "an idle hour is no credit"
    pace.correct(-0.5)
    assert pace.book(1) == 3


def test_asking_keeps_to_requests_per_minute() -> None:
    judge = Programmed(lambda request, nth: "3", concurrency=8)
    started = time.perf_counter()
    rows: list[Any] = []
    ask(judge, questions(11), on_reply=rows.append, limits=AskLimits(requests_per_minute=1200))
    assert time.perf_counter() - started >= 10 * 60 / 1200
    assert sum(row.seconds for row in rows) < 0.2, "the waiting is not the judge's"


# ---------------------------------------------------------------- the window


def test_the_window_doubles_then_halves_once_and_then_adds_one_a_round() -> None:
    window = Window(64)

    def round_of(trouble: bool) -> float:
        numbers = [window.enter() for _ in range(int(window.limit))]
        for number in numbers:
            assert number is not None
            window.leave(number, trouble=trouble)
        return window.limit

    assert [round_of(False) for _ in range(3)] == [9, 10, 11], "a round that is not refilled"
    before = window.limit
    assert round_of(True) == before / 2, "one cut for all that were under way"
    after = window.limit
    assert after < round_of(False) <= after + 1


def test_a_wish_to_be_left_alone_holds_everyone_and_closing_lets_go() -> None:
    window = Window(4)
    number = window.enter()
    assert number is not None
    window.leave(number, trouble=True, hold=0.15)
    started = time.perf_counter()
    assert window.enter() is not None
    assert time.perf_counter() - started >= 0.14
    window.leave(2, trouble=True, hold=60)
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(window.enter()))
    waiter.start()
    window.close()
    waiter.join(5)
    assert got == [None]


def test_an_overloaded_server_is_asked_less_at_once(open_judge: Open) -> None:
    """A server that takes 6 at once and refuses the rest: the window settles about there, and all are answered."""
    now, most, refused = [0], [0], [0]
    lock = threading.Lock()

    def narrow(asked: Asked) -> Said:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            too_many = now[0] > 6
            refused[0] += too_many
        time.sleep(0.005)
        with lock:
            now[0] -= 1
        return Said.of({"error": {"message": "busy"}}, 429) if too_many else Said.of(completion("3"))

    rows: list[Any] = []
    with serve(narrow) as server:
        ask(judge_at(server, open_judge, timeout=5.0), questions(600), on_reply=rows.append, first_wait=0.005)
    assert len(rows) == 600
    assert all(isinstance(row, Reply) for row in rows)
    assert most[0] > 4
    assert refused[0] < 200, "32 at once would be refused four times in five"
