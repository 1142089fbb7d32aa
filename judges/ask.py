"""Put questions to a judge: concurrency, bounded retries, each reply handed over as it comes. Knows no backend."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from harness.records import AskInput, Example, Generation, NoReply, Reply, ReplyRow
from judges.base import Busy, Judge, Request
from judges.rubric import Rubric

RETRIES = 4
LONGEST_WAIT = 60.0
Row = Reply | NoReply
OnReply = Callable[[Row], None]


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and whose answer it is about."""

    request: Request
    example_id: str
    sample: int

    @property
    def key(self) -> tuple[str, int, int]:
        """(example, sample, repeat): what a reply row is known by."""
        return self.example_id, self.sample, self.request.repeat


def questions(
    rubric: Rubric, examples: Sequence[Example], generations: Sequence[Generation], asked: AskInput
) -> list[Question]:
    """All questions of an ask stage, in the order of the examples."""
    chosen = {example.id for example in chosen_items(examples, asked.items)}
    by_example: dict[str, list[Generation]] = {}
    for generation in generations:
        by_example.setdefault(generation.example_id, []).append(generation)
    found = []
    for example in examples:
        for generation in by_example.get(example.id, ()) if example.id in chosen else ():
            system, user = rubric.render(example, generation.text)
            for repeat in range(asked.repeats):
                request = Request(system, user, rubric.schema_text, rubric.max_tokens, repeat)
                found.append(Question(request, example.id, generation.sample))
    return found


def chosen_items(examples: Sequence[Example], items: int | None) -> list[Example]:
    """The `items` examples that come first by a hash of their id: the same for every variant, and a larger number
    contains a smaller one's. None: all. In the order given.
    """
    if items is None or items >= len(examples):
        return list(examples)
    ranked = sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())
    chosen = {example.id for example in ranked[:items]}
    return [example for example in examples if example.id in chosen]


def blocks(judge: Judge, all_questions: Sequence[Question], kept: Collection[ReplyRow]) -> list[list[Question]]:
    """Questions still to be asked, in the judge's blocks; a block of which any reply is missing is asked whole."""
    done = {(row.example_id, row.sample, row.repeat) for row in kept}
    size = judge.block
    cut = [list(all_questions[start : start + size]) for start in range(0, len(all_questions), size)]
    return [block for block in cut if any(question.key not in done for question in block)]


def ask(judge: Judge, todo: Sequence[Sequence[Question]], on_reply: OnReply, *, retries: int = RETRIES) -> int:
    """Ask every block, `judge.slots` at once; gives the number of retries.

    `on_reply` is called in this thread, once a question, as soon as its block is done.
    """
    retried = 0
    with ThreadPoolExecutor(max_workers=max(1, judge.slots)) as pool:
        waiting = iter(todo)
        running = {pool.submit(_ask_block, judge, block, retries) for block in islice(waiting, judge.slots * 2)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    for row, tries in future.result():
                        on_reply(row)
                        retried += tries
                    running |= {pool.submit(_ask_block, judge, block, retries) for block in islice(waiting, 1)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return retried


def _ask_block(judge: Judge, block: Sequence[Question], retries: int) -> list[tuple[Row, int]]:
    judge.begin_block()
    return [ask_one(judge, question, retries) for question in block]


def ask_one(
    judge: Judge, question: Question, retries: int, *, sleep: Callable[[float], None] = time.sleep
) -> tuple[Row, int]:
    """(the reply, or the reason for none after `retries` further tries; tries beyond the first)."""
    jitter = random.Random(question.request.digest)
    reason = ""
    for attempt in range(retries + 1):
        began = time.monotonic()
        try:
            answer = judge.ask(question.request)
        except (Busy, TimeoutError, ConnectionError) as e:
            reason = str(e) or type(e).__name__
            if attempt < retries:
                sleep(_pause(e, attempt, jitter))
        except Exception as e:  # a backend's own failure concerns this question only: it becomes an outcome
            return no_reply(question, f"{type(e).__name__}: {e}", attempt + 1), attempt
        else:
            reply = Reply(
                request_digest=question.request.digest,
                example_id=question.example_id,
                sample=question.sample,
                repeat=question.request.repeat,
                text=answer.text,
                finish_reason=answer.finish_reason,
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                logprobs=answer.logprobs,
                seconds=time.monotonic() - began,
            )
            return reply, attempt
    return no_reply(question, reason, retries + 1), retries


def no_reply(question: Question, reason: str, attempts: int) -> NoReply:
    """The outcome of a question that got no answer."""
    return NoReply(
        request_digest=question.request.digest,
        example_id=question.example_id,
        sample=question.sample,
        repeat=question.request.repeat,
        reason=reason,
        attempts=attempts,
    )


def _pause(error: Exception, attempt: int, jitter: random.Random) -> float:
    """Seconds to wait: what the server asked for, else exponential with full jitter."""
    asked = error.retry_after if isinstance(error, Busy) else None
    if asked is not None:
        return min(asked, LONGEST_WAIT)
    return jitter.uniform(0, min(LONGEST_WAIT, 0.5 * 2**attempt))
