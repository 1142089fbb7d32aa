"""Responses of a model behind an endpoint, asked for through the judges' machinery: pace, retries, budget, resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from typing import Any

from harness.errors import DataError, JudgeError
from harness.records.data import Example
from harness.records.inputs import ServedInput
from harness.records.rows import Generation, NoReply, Reply
from harness.records.settings import AskLimits, Price, ReferenceLength
from harness.thoughts import without_thoughts
from judges.ask import ask
from judges.base import Judge, Request
from judges.budget import Budget
from judges.questions import PlannedRequest

CHARACTERS_A_TOKEN = 3.0
"""Where a limit follows the reference's length: a server's tokenizer is not known, and few characters err upwards."""


def refuse_conversation(example: Example) -> None:
    """Raises DataError for an example that is more than one question."""
    if example.history:
        what = "earlier turns" if any(turn.role != "system" for turn in example.history) else "a system message"
        raise DataError(f"a served model is given one question, and this has {what}", where=f"example {example.id}")


def requests(examples: Sequence[Example], given: ServedInput, done: Set[tuple[str, int]]) -> list[PlannedRequest]:
    """A request for each sample of each test item that is not done. Raises DataError for a conversation."""
    found = []
    for example in examples:
        refuse_conversation(example)
        text = f"{example.instruction}\n\n{example.input}" if example.input else example.instruction
        for sample in range(given.samples):
            if (example.id, sample) not in done:
                request = Request(
                    given.system, text, None, _limit(given, example), given.temperature, given.seed + sample
                )
                found.append(PlannedRequest(request, example.id, sample, 0))
    return found


def _limit(given: ServedInput, example: Example) -> int:
    limit = given.max_new_tokens
    if isinstance(limit, ReferenceLength):
        return limit.of(math.ceil(len(example.output) / CHARACTERS_A_TOKEN))
    return limit


def answer_all(  # noqa: PLR0913 - what is asked, of whom, and within which limits
    judge: Judge,
    wanted: Sequence[PlannedRequest],
    *,
    on_response: Callable[[Generation], None],
    limits: AskLimits,
    budget: Budget | None,
    price: Price | None,
) -> None:
    """Ask for every response; each is handed over as it comes.

    Raises JudgeError where some got none after all retries (the others are kept, and the next run asks for these), and
    as `judges.ask.ask` does.
    """
    unanswered: list[NoReply] = []

    def on_reply(row: Any) -> None:
        if isinstance(row, Reply):
            on_response(_generation(row))
        else:
            unanswered.append(row)

    ask(judge, wanted, on_reply=on_reply, limits=limits, budget=budget, price=price)
    if unanswered:
        first = unanswered[0]
        raise JudgeError(
            f"{len(unanswered)} of {len(wanted)} prompts got no response; example {first.example_id}: {first.reason}",
            hint="what was answered is kept; the same command asks for the rest",
        )


def _generation(reply: Reply) -> Generation:
    text = without_thoughts(reply.text)
    return Generation(
        example_id=reply.example_id,
        sample=reply.sample,
        text=text.strip(),
        finish_reason="length" if reply.finish_reason == "length" else "eos",
        tokens=reply.completion_tokens,
        seconds=reply.seconds,
        cuts=("thoughts",) if text != reply.text else (),
    )
