"""Asking in batches: all questions are handed in at once, and answered within a day at a lower price.

Nothing about a batch is kept here: it bears the name of the object that it works for, and a run that was killed finds
it at the service by that name. So a batch is never handed in twice, wherever the kill fell.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from harness.credentials import redact
from harness.errors import BudgetSpent, JudgeError
from harness.records.rows import NoReply, ReplyRow
from harness.records.settings import Price
from judges.base import Answer, Busy, Request
from judges.budget import Budget, cost_of
from judges.questions import PlannedRequest
from judges.rows import MOST_REASON, place, prompt_tokens, reply_row

MOST_FAILED_LOOKS = 12
"""So many looks in a row that found no service: it is gone."""

T = TypeVar("T")
State = Literal["running", "ended", "cancelled"]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request. `again`: it failed in a way that another batch may mend.

    `learned`: the service refused a parameter that is left out from now on, which is no failure of the request.
    """

    custom_id: str
    answer: Answer | None
    reason: str = ""
    again: bool = False
    learned: bool = False


class Batches(Protocol):
    """A service that takes batches. Every method raises Busy, TimeoutError, ConnectionError, JudgeError."""

    poll_seconds: float

    def known(self, name: str) -> Sequence[str]:
        """Ids of the batches that were handed in under a name and taken, oldest first."""

    def submit(self, name: str, requests: Mapping[str, Request]) -> Sequence[str]:
        """Hand in requests by their custom ids; the ids of the batches that it took."""

    def state(self, batch: str) -> State:
        """How far a batch is. Raises JudgeError for one that the service did not take."""

    def results(self, batch: str) -> Iterator[BatchResult]:
        """What an ended batch brought; requests that it left out are not there."""


@dataclass(slots=True)
class _Left:
    """Requests without a row yet, by custom id, and how many batches each has been in."""

    requests: dict[str, PlannedRequest]
    attempts: Counter[str]


def custom_id(planned: PlannedRequest) -> str:
    """64 hex digits that tell a request from all others of its object."""
    return hashlib.sha256(json.dumps(planned.key).encode()).hexdigest()


def ask_in_batches(  # noqa: PLR0913 - as judges.ask.ask
    batches: Batches,
    name: str,
    requests: Sequence[PlannedRequest],
    *,
    on_reply: Callable[[ReplyRow], None],
    retries: int,
    budget: Budget,
    price: Price | None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Each request ends in exactly one row, as with judges.ask; how many calls that took.

    Args:
        batches: the service.
        name: of the object that the answers are for: batches of an earlier run are found by it.
        requests: what to ask.
        on_reply: called with each row.
        retries: further batches for a request that failed in a way that may pass (expired, 429, 5xx).
        budget: what may be spent.
        price: of the judge's tokens.
        sleep: waits so many seconds.

    Raises:
        BudgetSpent: a limit is reached; what could be paid for was asked.
        JudgeError: the service did not take a batch, a batch was cancelled, or nobody answers.
    """
    left = _Left({custom_id(each): each for each in requests}, Counter())
    calls = 0
    seen = list(_asked(lambda: batches.known(name), batches, sleep))
    for batch in seen:
        if left.requests:
            _wait(batches, batch, sleep)
            calls += _take(batches, batch, left, on_reply, retries, price, None, sleep)
    while left.requests:
        chosen, limit = _affordable(left, budget, price)
        booked = (budget, dict(chosen))
        fresh = _hand_in(batches, name, {key: left.requests[key].request for key in chosen}, seen, sleep)
        cancelled = False
        for batch in fresh:
            cancelled |= _wait(batches, batch, sleep) == "cancelled"
            calls += _take(batches, batch, left, on_reply, retries, price, booked, sleep)
        if cancelled:
            raise JudgeError("a batch was cancelled", hint="what it answered is kept; run again to go on")
        _left_out(left, booked, on_reply, retries)
        if limit is not None:
            raise limit
    return calls


def _hand_in(
    batches: Batches, name: str, requests: Mapping[str, Request], seen: list[str], sleep: Callable[[float], None]
) -> list[str]:
    """Ids of the batches that took the requests. Where the service's word was lost, it is asked what it took."""
    for _ in range(MOST_FAILED_LOOKS):
        try:
            fresh = list(batches.submit(name, requests))
        except (Busy, TimeoutError, ConnectionError) as e:
            sleep(getattr(e, "retry_after", None) or batches.poll_seconds)
            fresh = [each for each in _asked(lambda: batches.known(name), batches, sleep) if each not in seen]
        if fresh:
            seen += fresh
            return fresh
    raise JudgeError("the service takes no batch now", hint="what was answered is kept; run again later")


def _left_out(
    left: _Left, booked: tuple[Budget, dict[str, float]], on_reply: Callable[[ReplyRow], None], retries: int
) -> None:
    """Requests that were handed in and of which no result tells: they are handed in again, but not for ever."""
    budget, unheard = booked
    for key, worst in unheard.items():
        budget.close_call(worst, 0.0)
        left.attempts[key] += 1
        if key in left.requests and left.attempts[key] > retries:
            planned = left.requests.pop(key)
            on_reply(NoReply(**place(planned), reason="the batch left it out", attempts=left.attempts[key]))


def _affordable(left: _Left, budget: Budget, price: Price | None) -> tuple[dict[str, float], BudgetSpent | None]:
    """(custom ids that the budget has room for, each with its worst cost; the limit that keeps the rest out).

    Raises BudgetSpent where there is room for none.
    """
    chosen: dict[str, float] = {}
    for key, planned in left.requests.items():
        worst = cost_of(price, round(prompt_tokens(planned.request)), planned.request.max_tokens)
        try:
            budget.open_call(worst, wait=False)
        except BudgetSpent as limit:
            if not chosen:
                raise
            return chosen, limit
        chosen[key] = worst
    return chosen, None


def _wait(batches: Batches, batch: str, sleep: Callable[[float], None]) -> State:
    """Until the batch has ended."""
    while True:
        state = _asked(lambda: batches.state(batch), batches, sleep)
        if state != "running":
            return state
        sleep(batches.poll_seconds)


def _take(  # noqa: PLR0913 - one batch needs its whole surroundings
    batches: Batches,
    batch: str,
    left: _Left,
    on_reply: Callable[[ReplyRow], None],
    retries: int,
    price: Price | None,
    booked: tuple[Budget, dict[str, float]] | None,
    sleep: Callable[[float], None],
) -> int:
    """Turn a batch's results into rows; how many there were. `booked`: what this run has set aside for it."""
    count = 0
    for result in _asked(lambda: list(batches.results(batch)), batches, sleep):
        planned = left.requests.get(result.custom_id)
        if booked is not None and result.custom_id in booked[1]:
            cost = 0.0
            if result.answer is not None:
                cost = cost_of(price, result.answer.prompt_tokens, result.answer.completion_tokens)
            booked[0].close_call(booked[1].pop(result.custom_id), cost)
        if planned is None:
            continue
        count += 1
        left.attempts[result.custom_id] += 1
        attempt = left.attempts[result.custom_id]
        if result.answer is not None:
            on_reply(reply_row(planned, result.answer, attempt, seconds=0.0))
        elif result.learned or (result.again and attempt <= retries):
            continue
        else:
            on_reply(NoReply(**place(planned), reason=redact(result.reason)[:MOST_REASON], attempts=attempt))
        del left.requests[result.custom_id]
    return count


def _asked(look: Callable[[], T], batches: Batches, sleep: Callable[[float], None]) -> T:
    """What the service says, asked again while it cannot be reached. Raises JudgeError where it stays so."""
    for nth in range(MOST_FAILED_LOOKS):
        try:
            return look()
        except (Busy, TimeoutError, ConnectionError) as e:
            reason = redact(str(e) or type(e).__name__)
            sleep(max(getattr(e, "retry_after", None) or 0.0, min(batches.poll_seconds, 2.0**nth)))
    raise JudgeError(
        f"the service of the batches cannot be reached: {reason}",
        hint="they go on without us; the same command fetches what they answered",
    )
