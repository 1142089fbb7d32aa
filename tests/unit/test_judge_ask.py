"""Asking: every request one outcome, whatever the backend does; nothing asked twice; a clean stop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest

from harness.errors import DataError, JudgeError
from harness.records.data import Example
from harness.records.inputs import AskInput
from harness.records.rows import Generation, NoReply, Reply
from harness.records.settings import AskLimits
from judges.ask import ask
from judges.base import Answer, Busy, Options, Request, RequestFailed
from judges.parse import parse
from judges.questions import PlannedRequest, choose_items, judge_requests, pending
from judges.rubric import load_rubric
from judges.scripted_judge import ScriptedJudge

RUBRIC = load_rubric("correctness-5")
EXAMPLES = [Example(id=f"e{n}", instruction=f"Say {n}.", output=f"number {n}") for n in range(50)]
ANSWERS = [
    Generation(example_id=each.id, sample=0, text=each.output, finish_reason="eos", tokens=2, seconds=0.0)
    for each in EXAMPLES
]


def ask_input(**changes: Any) -> AskInput:
    fields = {"generations": "g", "data": "d", "backend": "b", "model_identity": "m", "prompt_sha256": "p"}
    return AskInput(**{**fields, **changes})


def planned(**changes: Any) -> list[PlannedRequest]:
    return judge_requests(RUBRIC, EXAMPLES, ANSWERS, ask_input(**changes))


class Programmed:
    """A backend that does what a function says, and counts."""

    def __init__(self, does: Any, concurrency: int = 4) -> None:
        self.concurrency = concurrency
        self.seen: Counter[str] = Counter()
        self.most_at_once = 0
        self._does = does
        self._now = 0
        self._lock = threading.Lock()

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        return "programmed"

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.seen[request.digest] += 1
            nth = self.seen[request.digest]
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return Answer(self._does(request, nth), "stop", 3, 1)
        finally:
            with self._lock:
                self._now -= 1

    def close(self) -> None: ...


def always(error: Exception) -> Any:
    def does(request: Request, nth: int) -> str:
        raise error

    return does


def only(planned: PlannedRequest, error: Exception) -> Any:
    """Fails for this one question."""

    def does(request: Request, nth: int) -> str:
        if request.digest == planned.request.digest:
            raise error
        return "{}"

    return does


def test_every_request_ends_in_exactly_one_outcome_under_faults() -> None:
    faults = {"garbage": 7, "refuse": 8, "empty": 9, "busy": 3, "dead": 10, "crash": 11}
    rows: list[Any] = []
    requests = planned(repeats=4)
    tally = ask(
        ScriptedJudge("", faults), requests, on_reply=rows.append, limits=AskLimits(retries=2), first_wait=0.001
    )
    outcomes = [parse(row, RUBRIC) for row in rows]
    assert tally.outcomes == len(rows) == 200
    assert {(row.example_id, row.repeat) for row in rows} == {(each.id, n) for each in EXAMPLES for n in range(4)}
    assert {row.request_digest for row in rows} == {each.request.digest for each in requests}
    kinds = Counter(outcome.kind for outcome in outcomes)
    assert set(kinds) == {"scored", "unparsed", "refused", "failed"}
    assert tally.calls == 200 + tally.retries
    assert {row.attempts for row in rows if isinstance(row, NoReply)} == {1, 3}


def test_the_outcome_of_a_request_hangs_on_nothing_but_the_request() -> None:
    faults = {"garbage": 5, "busy": 3, "dead": 6}

    def outcomes(requests: list[PlannedRequest], concurrency: int) -> dict[Any, Any]:
        rows: list[Any] = []
        ask(
            ScriptedJudge("", faults),
            requests,
            on_reply=rows.append,
            limits=AskLimits(concurrency=concurrency, retries=1),
            first_wait=0.001,
        )
        return {row.request_digest: parse(row, RUBRIC) for row in rows}

    assert outcomes(planned(), 1) == outcomes(planned()[::-1], 8)


def test_a_resumed_run_asks_only_for_what_is_missing() -> None:
    first: list[Any] = []
    requests = planned(repeats=2)

    def some_fail_slowly(request: Request, nth: int) -> str:
        time.sleep(0.005)
        if request.seed == 1:
            raise RequestFailed("no")
        return '{"score": 3}'

    def stop_after_30(row: Any) -> None:
        first.append(row)
        if len(first) == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Programmed(some_fail_slowly, concurrency=2), requests, on_reply=stop_after_30)
    assert 30 <= len(first) < 100
    assert {row.kind for row in first} == {"reply", "no_reply"}
    judge, rest = Programmed(lambda request, nth: '{"score": 3}'), []
    todo = pending(requests, first)
    ask(judge, todo, on_reply=rest.append)
    assert len(first) + len(rest) == 100
    assert max(judge.seen.values()) == 1
    assert not pending(requests, [*first, *rest])
    assert {row.request_digest for row in first}.isdisjoint(judge.seen)


def test_an_edited_question_is_pending_again() -> None:
    rows: list[Any] = []
    ask(ScriptedJudge("", {}), planned(), on_reply=rows.append)
    assert not pending(planned(), rows)
    assert len(pending(planned(options={"seed": 1}), rows)) == 50


def test_passing_trouble_is_asked_again_and_lasting_trouble_is_not() -> None:
    def twice_busy(request: Request, nth: int) -> str:
        if nth < 3:
            raise Busy("503", retry_after=0.0)
        return '{"score": 1}'

    rows: list[Any] = []
    tally = ask(Programmed(twice_busy), planned(), on_reply=rows.append, limits=AskLimits(retries=2), first_wait=0.001)
    assert (tally.calls, tally.retries) == (150, 100)
    assert all(isinstance(row, Reply) for row in rows)
    for error, calls, reason in [
        (Busy("429 slow down"), 3, "429 slow down"),
        (TimeoutError(), 3, "TimeoutError"),
        (ConnectionResetError("reset by peer"), 3, "ConnectionResetError: reset by peer"),
        (RequestFailed("longer than the context"), 1, "longer than the context"),
        (ValueError("a bug"), 1, "ValueError: a bug"),
    ]:
        rows = []
        ask(
            Programmed(only(planned()[0], error)),
            planned()[:1],
            on_reply=rows.append,
            limits=AskLimits(retries=2),
            first_wait=0.001,
        )
        assert [(row.reason, row.attempts) for row in rows] == [(reason, calls)]


@pytest.mark.parametrize("answered", [0, 45])
def test_a_judge_that_is_down_when_asking_ends_leaves_no_outcome(answered: int) -> None:
    """Too few questions are left for an outage to be seen by their number."""
    rows: list[Any] = []
    judge = Programmed(lambda request, nth: "{}")
    if answered:
        ask(judge, planned()[:answered], on_reply=rows.append)
    with pytest.raises(JudgeError, match="left 5 questions in a row unanswered; the last one: 503"):
        ask(
            Programmed(always(Busy("503"))),
            pending(planned()[: answered + 5], rows),
            on_reply=rows.append,
            limits=AskLimits(retries=1),
            first_wait=0.001,
        )
    assert len(rows) == answered


def test_one_reason_for_every_question_from_the_start_is_no_item_s_fault() -> None:
    rows: list[Any] = []
    for concurrency in (1, 16):
        with pytest.raises(JudgeError, match="left 12 questions in a row unanswered; the last one: account closed"):
            ask(
                Programmed(always(RequestFailed("account closed")), concurrency),
                planned(),
                on_reply=rows.append,
            )
    assert not rows

    def each_too_long(request: Request, nth: int) -> str:
        raise RequestFailed(f"{len(request.user)} characters of {request.digest[:4]} are too many")

    ask(Programmed(each_too_long), planned(), on_reply=rows.append)
    assert len(rows) == 50
    rows.clear()

    def half(request: Request, nth: int) -> str:
        if int(request.digest, 16) % 2:
            raise RequestFailed("filtered")
        return "{}"

    ask(Programmed(half), planned(), on_reply=rows.append)
    assert {row.kind for row in rows} == {"reply", "no_reply"}


def test_it_waits_as_long_as_it_is_told_and_doubles_otherwise() -> None:
    started = time.perf_counter()
    ask(
        Programmed(only(planned()[0], Busy("", retry_after=0.3))),
        planned()[:1],
        on_reply=lambda row: None,
        limits=AskLimits(retries=1),
    )
    assert time.perf_counter() - started >= 0.3
    for error in (TimeoutError(), Busy("", retry_after=0.0)):
        started = time.perf_counter()
        ask(
            Programmed(only(planned()[0], error)),
            planned()[:1],
            on_reply=lambda row: None,
            limits=AskLimits(retries=3),
            first_wait=0.1,
        )
        assert time.perf_counter() - started >= 0.35  # 0.1 + 0.2 + 0.4, each times 0.5 to 1


def test_no_more_requests_at_once_than_the_judge_wants() -> None:
    def slow(request: Request, nth: int) -> str:
        time.sleep(0.01)
        return "{}"

    for concurrency in (1, 3):
        judge = Programmed(slow, concurrency)
        ask(judge, planned(), on_reply=lambda row: None)
        assert judge.most_at_once == concurrency


def test_rows_are_handed_over_in_the_callers_thread_and_as_they_come() -> None:
    judge = Programmed(lambda request, nth: "{}", concurrency=1)
    lags = []

    def on_reply(row: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        lags.append(sum(judge.seen.values()))

    ask(judge, planned(), on_reply=on_reply)
    assert len(lags) == 50


def test_an_interrupted_run_stops_at_once_and_loses_no_reply() -> None:
    hang = threading.Event()
    calls = iter(range(1000))
    outlasted: list[int] = []

    def five_then_hang(request: Request, nth: int) -> str:
        if next(calls) >= 5:
            hang.wait(30)
            outlasted.append(nth)
        return "{}"

    rows: list[Any] = []

    def on_reply(row: Any) -> None:
        rows.append(row)
        if len(rows) == 1:
            time.sleep(0.2)  # the other four arrive meanwhile
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Programmed(five_then_hang, concurrency=5), planned(), on_reply=on_reply)
    assert not outlasted, "the interrupt waited for the requests under way"
    assert len(rows) == 5
    hang.set()


def test_errors_that_concern_the_whole_judge_or_the_store_end_the_asking() -> None:
    with pytest.raises(JudgeError, match="key refused"):
        ask(Programmed(always(JudgeError("key refused"))), planned(), on_reply=lambda row: None)

    def full_disk(row: Any) -> None:
        raise OSError("disk full")

    judge = Programmed(lambda request, nth: "{}", concurrency=1)
    with pytest.raises(OSError, match="disk full"):
        ask(judge, planned(), on_reply=full_disk)


def test_the_same_items_for_every_variant_and_a_larger_choice_contains_a_smaller_one() -> None:
    ten = {each.id for each in choose_items(EXAMPLES, 10)}
    assert len(ten) == 10
    assert ten == {each.id for each in choose_items(EXAMPLES[::-1], 10)}
    assert ten < {each.id for each in choose_items(EXAMPLES, 20)}
    assert ten != {each.id for each in choose_items(EXAMPLES, 10, seed=1)}
    assert choose_items(EXAMPLES, 50) == choose_items(EXAMPLES, None) == choose_items(EXAMPLES, 99) == EXAMPLES
    assert {each.example_id for each in planned(items=10)} == ten


def test_requests_carry_what_the_rubric_and_the_options_say() -> None:
    requests = planned(repeats=3, options={"temperature": 0.7, "seed": 10}, items=2)
    assert [each.request.seed for each in requests] == [10, 11, 12] * 2
    assert {each.request.temperature for each in requests} == {0.7}
    assert {each.request.system for each in requests} == {RUBRIC.system}
    assert len({each.request.digest for each in requests}) == 6


def test_a_response_without_example_is_an_error() -> None:
    with pytest.raises(DataError, match="not in the test set"):
        judge_requests(RUBRIC, EXAMPLES[1:], ANSWERS, ask_input())
