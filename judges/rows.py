"""What became of a question, as the row that is kept."""

from __future__ import annotations

import math

from harness.credentials import redact
from harness.records.rows import NoReply, Reply, ReplyToken
from judges.base import Answer, Busy, Request, RequestFailed
from judges.questions import PlannedRequest

MOST_CHARACTERS = 100_000
"""Of a longer reply the end is kept: a verdict comes last."""

MOST_TOKENS = 64
"""Candidates are kept for this many tokens from a reply's end."""

MOST_REASON = 2_000
"""Characters of a reason."""

BYTES_A_TOKEN = 3.0
"""Of UTF-8, for bookings before a call: few enough that they rather err upwards, in Chinese too."""


def place(planned: PlannedRequest) -> dict[str, str | int]:
    """Where in its object a row belongs."""
    return {
        "request_digest": planned.request.digest,
        "example_id": planned.example_id,
        "sample": planned.sample,
        "repeat": planned.repeat,
    }


def prompt_tokens(request: Request) -> float:
    """What to book for a question before its call tells, in tokens."""
    return len((request.system + request.user).encode(errors="replace")) / BYTES_A_TOKEN


def reply_row(planned: PlannedRequest, answer: Answer, attempts: int, seconds: float) -> Reply:
    """The row of an answer, without keys and within bounds."""
    return Reply(
        **place(planned),
        text=redact(answer.text[-MOST_CHARACTERS:]),
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        tokens=tuple(map(_possible, answer.tokens[-MOST_TOKENS:])),
        attempts=attempts,
        seconds=seconds,
    )


def _possible(token: ReplyToken) -> ReplyToken:
    """Without candidates of probability 0: JSON has no number for their logarithm."""
    kept = tuple(each for each in token.candidates if math.isfinite(each.logprob))
    return token if len(kept) == len(token.candidates) else token.model_copy(update={"candidates": kept})


def no_reply_row(planned: PlannedRequest, error: Exception, attempts: int) -> NoReply:
    """The row of a request that got no answer."""
    kind = "" if isinstance(error, Busy | RequestFailed) else f"{type(error).__name__}: "
    reason = redact((kind + str(error)).rstrip(": ") or type(error).__name__)
    return NoReply(**place(planned), reason=reason[:MOST_REASON], attempts=attempts)
