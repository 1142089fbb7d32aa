"""Asking: requests in, one reply row each out, whatever the backend does in between. Knows no backend."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from harness.errors import HarnessError, JudgeError
from harness.records.data import Example
from harness.records.inputs import AskInput
from harness.records.rows import Generation, NoReply, Reply, ReplyRow
from judges.base import Answer, Busy, Judge, Request, RequestFailed
from judges.rubric import Rubric

ITEMS_SEED = 0
"""Which items `items: N` means is the same for every variant, judge and run."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the first retry (doubled each time), and the most that is ever waited."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request and the answer that it is about."""

    request: Request
    example_id: str
    sample: int
    repeat: int

    @property
    def key(self) -> RequestKey:
        """What tells it from all other requests of its object."""
        return (self.request.digest, self.example_id, self.sample, self.repeat)


RequestKey = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """What asking took: requests that ended, calls made to the backend, and those of them that were repetitions."""

    outcomes: int
    calls: int
    retries: int


def choose_items(examples: Sequence[Example], items: int | None, seed: int = ITEMS_SEED) -> list[Example]:
    """`items` of the examples (None: all) by a random rank that hangs on nothing but seed and id, in their given order.

    So a larger choice contains each smaller one, and the order of the file plays no part.
    """
    if items is None or items >= len(examples):
        return list(examples)
    ranks = {example.id: hashlib.sha256(f"{seed}:{example.id}".encode()).digest() for example in examples}
    last = sorted(ranks.values())[items - 1]
    return [example for example in examples if ranks[example.id] <= last]


def judge_requests(
    rubric: Rubric, examples: Sequence[Example], generations: Iterable[Generation], ask_input: AskInput
) -> list[PlannedRequest]:
    """The questions of one judge about one variant, in the order of the generations; a repeat asks with the next seed.

    Raises:
        JudgeError: a generation belongs to no example.
    """
    known = {example.id: example for example in examples}
    chosen = {example.id for example in choose_items(examples, ask_input.items)}
    requests = []
    for generation in generations:
        if generation.example_id not in known:
            raise JudgeError(f"response to {generation.example_id!r}, which is not in the test set")
        if generation.example_id in chosen:
            message = rubric.user_message(known[generation.example_id], generation.text)
            for repeat in range(ask_input.repeats):
                request = _request(rubric, message, ask_input, repeat)
                requests.append(PlannedRequest(request, generation.example_id, generation.sample, repeat))
    return requests


def _request(rubric: Rubric, message: str, ask_input: AskInput, repeat: int) -> Request:
    return Request(
        system=rubric.system,
        user=message,
        schema=rubric.schema_,
        max_tokens=rubric.max_tokens,
        temperature=float(ask_input.options.get("temperature", 0.0)),
        seed=int(ask_input.options.get("seed", 0)) + repeat,
    )


def pending(requests: Iterable[PlannedRequest], done: Iterable[ReplyRow]) -> list[PlannedRequest]:
    """The requests that have no row yet. A request that ended without a reply has one: it is an outcome."""
    keys = {(row.request_digest, row.example_id, row.sample, row.repeat) for row in done}
    return [each for each in requests if each.key not in keys]


def ask(
    judge: Judge,
    requests: Iterable[PlannedRequest],
    *,
    on_reply: Callable[[ReplyRow], None],
    concurrency: int | None = None,
    retries: int = 4,
    first_wait: float = FIRST_WAIT,
) -> Tally:
    """Put every request to the judge; each ends in exactly one row, handed to `on_reply` (in this thread) as it comes.

    Rows come in any order. Interrupted (KeyboardInterrupt, an error of `on_reply`), it stops at once: rows that were
    there are handed over first, requests under way are left to end unheard.

    Args:
        judge: a loaded backend.
        requests: what to ask.
        on_reply: called with each row.
        concurrency: requests at once; default: as many as the judge wants.
        retries: further attempts after Busy, a time-out or a broken connection; then a NoReply with the reason.
        first_wait: seconds before the first retry; doubled for each further one, with jitter.

    Raises:
        HarnessError: the judge cannot work at all.
    """
    wanted = list(requests)
    crew = _Crew(judge, wanted, retries, first_wait)
    crew.start(min(concurrency or judge.concurrency, len(wanted)))
    outcomes = 0
    try:
        while outcomes < len(wanted):
            row = crew.results.get()
            if isinstance(row, BaseException):
                crew.hand_over(on_reply)
                raise row
            outcomes += 1
            on_reply(row)
    except KeyboardInterrupt:
        crew.hand_over(on_reply)
        raise
    finally:
        crew.stop.set()
    return Tally(outcomes=outcomes, calls=crew.calls, retries=crew.calls - outcomes)


class _Crew:
    """Threads that take requests from a queue. Daemons, so that a hanging call cannot keep the program from ending."""

    def __init__(self, judge: Judge, requests: Iterable[PlannedRequest], retries: int, first_wait: float) -> None:
        self.results: SimpleQueue[ReplyRow | BaseException] = SimpleQueue()
        self.stop = threading.Event()
        self.calls = 0
        self._judge = judge
        self._queue: SimpleQueue[PlannedRequest] = SimpleQueue()
        for each in requests:
            self._queue.put(each)
        self._retries = retries
        self._first_wait = first_wait
        self._counting = threading.Lock()

    def start(self, threads: int) -> None:
        for index in range(threads):
            threading.Thread(target=self._work, name=f"judge-{index}", daemon=True).start()

    def hand_over(self, on_reply: Callable[[ReplyRow], None]) -> None:
        """Stop, and pass on what has arrived but was not taken yet: it has been paid for."""
        self.stop.set()
        while True:
            try:
                row = self.results.get_nowait()
            except Empty:
                return
            if not isinstance(row, BaseException):
                on_reply(row)

    def _work(self) -> None:
        while not self.stop.is_set():
            try:
                planned = self._queue.get_nowait()
            except Empty:
                return
            try:
                row = self._outcome(planned)
            except BaseException as e:  # must reach the caller, or it would wait for ever
                self.results.put(e)
                return
            if row is not None:
                self.results.put(row)

    def _outcome(self, planned: PlannedRequest) -> ReplyRow | None:
        """A row; None where the crew was stopped while it waited."""
        dice = random.Random(planned.request.digest)  # noqa: S311  jitter
        wait = self._first_wait
        attempt = 1
        while True:
            started = time.perf_counter()
            try:
                return _reply(planned, self._call(planned.request), time.perf_counter() - started)
            except HarnessError:
                raise
            except Exception as e:
                asked_to_wait = e.retry_after if isinstance(e, Busy) else None
                if not _passing(e) or attempt > self._retries:
                    return _no_reply(planned, e, attempt)
            pause = wait * dice.uniform(0.5, 1.0) if asked_to_wait is None else asked_to_wait
            if self.stop.wait(min(pause, LONGEST_WAIT)):
                return None
            wait, attempt = wait * 2, attempt + 1

    def _call(self, request: Request) -> Answer:
        with self._counting:
            self.calls += 1
        return self._judge.answer(request)


def _passing(error: Exception) -> bool:
    """Whether asking again may help."""
    return isinstance(error, Busy | TimeoutError | ConnectionError)


def _reply(planned: PlannedRequest, answer: Answer, seconds: float) -> Reply:
    return Reply(
        request_digest=planned.request.digest,
        example_id=planned.example_id,
        sample=planned.sample,
        repeat=planned.repeat,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        logprobs=answer.logprobs,
        seconds=seconds,
    )


def _no_reply(planned: PlannedRequest, error: Exception, attempts: int) -> NoReply:
    kind = "" if isinstance(error, Busy | RequestFailed) else f"{type(error).__name__}: "
    return NoReply(
        request_digest=planned.request.digest,
        example_id=planned.example_id,
        sample=planned.sample,
        repeat=planned.repeat,
        reason=(kind + str(error)).rstrip(": ") or type(error).__name__,
        attempts=attempts,
    )
