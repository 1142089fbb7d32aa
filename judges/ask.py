"""Asking: requests in, one reply row each out, whatever the backend does in between. Knows no backend."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from harness.errors import BudgetSpent, HarnessError, JudgeError
from harness.records.rows import NoReply, Reply, ReplyRow, Same
from harness.records.settings import AskLimits, Price
from judges.base import Answer, Busy, Forbidden, Judge, Request
from judges.batches import ask_in_batches
from judges.budget import Budget, cost_of
from judges.pace import Pace
from judges.questions import PlannedRequest
from judges.rows import no_reply_row, place, prompt_tokens, reply_row
from judges.window import Window

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the first retry (doubled each time), and the most that is ever waited."""

OUTAGE = 12
"""So many requests in a row that got no answer after all retries: the judge is gone, not they."""

PROBE = Request("Answer in one word.", "Is anybody there?", max_tokens=16)
"""Asked where a question was forbidden, or the last ones had no answer: they may be at fault, or the judge be gone."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What asking took: requests that ended, calls made to the backend, and those of them that were repetitions."""

    outcomes: int
    calls: int
    retries: int


@dataclass(frozen=True, slots=True)
class _Ended:
    """A request's outcome. `passing`: it failed by trouble of the endpoint, which may pass.

    `heard` is set once the row is where a kill cannot take it: until then its thread asks nothing further, so that no
    more replies can be lost than there are threads.
    """

    row: ReplyRow
    passing: bool = False
    heard: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Heard:
    """An answer, and the seconds that the backend took for it."""

    answer: Answer
    seconds: float


def ask(  # noqa: PLR0913 - what is asked, of whom, and within which limits
    judge: Judge,
    requests: Iterable[PlannedRequest],
    *,
    on_reply: Callable[[ReplyRow], None],
    limits: AskLimits | None = None,
    budget: Budget | None = None,
    price: Price | None = None,
    first_wait: float = FIRST_WAIT,
    name: str = "",
) -> Tally:
    """Put every request to the judge; each ends in exactly one row, handed to `on_reply` (in this thread) as it comes.

    Rows come in any order. Interrupted (KeyboardInterrupt, an error of `on_reply`), it stops at once: rows that were
    there are handed over first, requests under way are left to end unheard. At a limit of the budget no new request
    is sent, and those under way are waited for.

    Args:
        judge: a loaded backend.
        requests: what to ask.
        on_reply: called with each row.
        limits: requests at once (at most as many as the judge wants), limits per minute, further attempts after Busy,
            a time-out or a broken connection; then a NoReply with the reason.
        budget: what may be spent, over this and other askings.
        price: of the judge's tokens.
        first_wait: seconds before the first retry; doubled for each further one, with jitter.
        name: of the object that the replies are for; a judge that asks in batches finds those of an earlier run by it.

    Raises:
        BudgetSpent: a limit of the budget is reached.
        JudgeError: the judge cannot work at all, or has stopped answering; what it failed to answer has no row.
    """
    wanted = list(requests)
    to_ask = [each for each in wanted if not each.same]
    for each in wanted:
        if each.same:
            on_reply(Same(**place(each)))
    limits, budget = limits or AskLimits(), budget or Budget()
    batches = getattr(judge, "batches", None)
    if batches is not None and name:
        calls = ask_in_batches(
            batches, name, to_ask, on_reply=on_reply, retries=limits.retries, budget=budget, price=price
        )
        return Tally(outcomes=len(wanted), calls=calls, retries=calls - len(to_ask))
    crew = _Crew(judge, to_ask, limits, budget, price, first_wait)
    delivery = _Delivery(on_reply)
    try:
        crew.run(delivery)
        if delivery.in_doubt and not crew.answers():
            raise delivery.outage()
    except KeyboardInterrupt:
        crew.hand_over(delivery)
        raise
    finally:
        crew.end()
    delivery.flush()
    return Tally(outcomes=len(wanted), calls=crew.calls, retries=crew.calls - len(to_ask))


class _Delivery:
    """Hands rows over. Requests that failed by an endpoint's trouble are held back until it answers again.

    Were they handed over, an hour's outage would be sealed as the failure of every item. Held back as well is what
    fails from the start for one and the same reason: a closed account, say, of which the status does not tell.
    """

    def __init__(self, on_reply: Callable[[ReplyRow], None]) -> None:
        self.on_reply = on_reply
        self.in_doubt = False
        self._held: list[NoReply] = []
        self._begun = False

    def take(self, ended: _Ended) -> None:
        """Raises JudgeError where the endpoint has stopped answering."""
        row = ended.row
        if isinstance(row, NoReply) and (ended.passing or self._as_from_the_start(row)):
            self._held.append(row)
            self.in_doubt |= ended.passing
            if len(self._held) >= OUTAGE:
                raise self.outage()
            return
        self.flush()
        self.on_reply(row)
        self._begun = True

    def outage(self) -> JudgeError:
        """What to raise where the endpoint is gone."""
        return JudgeError(
            f"the judge has left {len(self._held)} questions in a row unanswered; "
            f"the last one: {self._held[-1].reason}",
            hint="what was answered is kept; when the judge is back, the same command goes on",
        )

    def flush(self) -> None:
        while self._held:
            self.on_reply(self._held.pop(0))
        self.in_doubt = False

    def _as_from_the_start(self, row: NoReply) -> bool:
        return not self._begun and all(each.reason == row.reason for each in self._held)


class _Crew:
    """Threads that take requests from a queue. Daemons, so that a hanging call cannot keep the program from ending."""

    def __init__(  # noqa: PLR0913 - see ask
        self,
        judge: Judge,
        requests: list[PlannedRequest],
        limits: AskLimits,
        budget: Budget,
        price: Price | None,
        first_wait: float,
    ) -> None:
        self.calls = 0
        self._results: SimpleQueue[_Ended | BaseException | None] = SimpleQueue()
        self._stop = threading.Event()
        self._judge = judge
        self._queue: SimpleQueue[PlannedRequest] = SimpleQueue()
        for each in requests:
            self._queue.put(each)
        most = min(judge.concurrency, limits.concurrency or judge.concurrency)
        self._threads = min(most, len(requests))
        self._window = Window(most)
        self._requests = Pace(limits.requests_per_minute) if limits.requests_per_minute else None
        self._tokens = Pace(limits.tokens_per_minute) if limits.tokens_per_minute else None
        self._retries = limits.retries
        self._budget = budget
        self._price = price
        self._first_wait = first_wait
        self._counting = threading.Lock()

    def run(self, delivery: _Delivery) -> None:
        """Until every request has ended. Raises whatever ends the asking, once what is there is delivered."""
        for index in range(self._threads):
            threading.Thread(target=self._work, name=f"judge-{index}", daemon=True).start()
        at_work, limit = self._threads, None
        while at_work:
            item = self._results.get()
            if item is None:
                at_work -= 1
            elif isinstance(item, BudgetSpent):
                limit = item
                self.end()  # those under way are still heard
            elif isinstance(item, BaseException):
                self.hand_over(delivery)
                raise item
            else:
                self._deliver(item, delivery)
        if limit is not None:
            raise limit

    def _deliver(self, ended: _Ended, delivery: _Delivery) -> None:
        try:
            delivery.take(ended)
        except JudgeError:
            self.hand_over(delivery)
            raise
        finally:
            ended.heard.set()

    def answers(self) -> bool:
        """Whether the judge answers anything at all; any refusal of its own will do."""
        try:
            self._answer(PROBE)
        except HarnessError:
            raise
        except Exception as e:
            return not _passing(e)
        return True

    def end(self) -> None:
        """Send no further request."""
        self._stop.set()
        self._window.close()

    def hand_over(self, delivery: _Delivery) -> None:
        """Stop, and pass on what has arrived but was not taken yet: it has been paid for."""
        self.end()
        while True:
            try:
                item = self._results.get_nowait()
            except Empty:
                return
            if isinstance(item, _Ended) and isinstance(item.row, Reply):
                delivery.on_reply(item.row)

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                ended = self._outcome(self._queue.get_nowait())
                if ended is not None:
                    self._results.put(ended)
                    while not (ended.heard.wait(0.1) or self._stop.is_set()):
                        pass
        except Empty:
            pass
        except BaseException as e:  # noqa: BLE001 - must reach the caller, or it would wait for ever
            self._results.put(e)
        finally:
            self._results.put(None)

    def _outcome(self, planned: PlannedRequest) -> _Ended | None:
        """None where the crew was stopped while it waited."""
        dice = random.Random(planned.request.digest)  # noqa: S311  jitter
        wait = self._first_wait
        attempt = 1
        while True:
            number = self._window.enter()
            if number is None:
                return None
            trouble, hold = False, None
            try:
                heard = self._answer(planned.request)
                return None if heard is None else _Ended(reply_row(planned, heard.answer, attempt, heard.seconds))
            except HarnessError:
                raise
            except Exception as e:
                passing = _passing(e)
                trouble = passing and getattr(e, "overloaded", True)
                hold = _hold(e)
                if not passing or attempt > self._retries:
                    return _Ended(no_reply_row(planned, e, attempt), passing)
            finally:
                self._window.leave(number, trouble=trouble, hold=hold)
            if not hold and self._stop.wait(min(wait * dice.uniform(0.5, 1.0), LONGEST_WAIT)):
                return None
            wait, attempt = wait * 2, attempt + 1

    def _answer(self, request: Request) -> _Heard | None:
        """As `_call`; a 403 ends the asking unless a harmless question gets through.

        No other answer could tell: some are still under way, and a key may be used up between two of them.
        """
        try:
            return self._call(request)
        except Forbidden as e:
            try:
                if self._call(PROBE) is None:
                    return None
            except Forbidden:
                raise e.of_all from None
            raise

    def _call(self, request: Request) -> _Heard | None:
        """One call within pace and budget; None where the crew was stopped while it waited for its turn."""
        booked = prompt_tokens(request)
        waits = [pace.book(cost) for pace, cost in self._paces(booked + request.max_tokens)]
        if any(waits) and self._stop.wait(max(waits)):
            return None
        worst = cost_of(self._price, round(booked), request.max_tokens)
        self._budget.open_call(worst)
        if self._stop.is_set():
            self._budget.cancel_call(worst)
            return None
        with self._counting:
            self.calls += 1
        cost = 0.0
        started = time.perf_counter()
        try:
            answer = self._judge.answer(request)
            seconds = time.perf_counter() - started
            cost = cost_of(self._price, answer.prompt_tokens, answer.completion_tokens)
        finally:
            self._budget.close_call(worst, cost)
        if self._tokens is not None:
            self._tokens.correct(answer.prompt_tokens + answer.completion_tokens - booked - request.max_tokens)
        return _Heard(answer, seconds)

    def _paces(self, tokens: float) -> list[tuple[Pace, float]]:
        return [(pace, cost) for pace, cost in ((self._requests, 1.0), (self._tokens, tokens)) if pace is not None]


def _passing(error: Exception) -> bool:
    """Whether asking again may help."""
    return isinstance(error, Busy | TimeoutError | ConnectionError)


def _hold(error: Exception) -> float | None:
    """Seconds for which the endpoint wishes to be left alone by everyone."""
    wished = error.retry_after if isinstance(error, Busy) else None
    return None if wished is None else min(wished, LONGEST_WAIT)
