"""The rows that stages write, a JSON line each."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Literal

from pydantic import Field

from harness.records.base import Record


class LossRow(Record):
    """One optimizer step. `loss`: mean over loss-bearing tokens, nats a token."""

    step: int
    loss: float
    loss_tokens: int
    lr: float
    grad_norm: float
    validation_loss: float | None = None


FinishReason = Literal["eos", "length", "unknown"]
"""`eos`: it ended by itself, at an end-of-sequence token or a stop string; `unknown`: a file does not say."""


Cut = Literal["stop", "template", "thoughts"]
"""`stop`: a stop string and what followed; `template`: a header of the prompt style that the model wrote itself;
`thoughts`: a block `<think>…</think>` before the answer.
"""


class Generation(Record):
    """One response. `seconds`: its share of the time of the steps in which it was made, or of the call that brought it.

    `tokens` counts the one that ended it; 0 where a file or a server does not say. `cuts`: what was taken off the text.
    """

    example_id: str
    sample: int
    text: str
    finish_reason: FinishReason
    tokens: int
    seconds: float
    cuts: tuple[Cut, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        """Speed; None where tokens or time are not known."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None


class MetricRow(Record):
    """One item's value, and its sufficient statistics where a corpus figure is formed from sums (BLEU, chrF)."""

    example_id: str
    sample: int
    value: float
    counts: tuple[float, ...] = ()


class NoMetricRow(Record):
    """An item that the metric cannot score (a reference without words, for one that counts words)."""

    example_id: str
    sample: int
    reason: str


ScoreRow = MetricRow | NoMetricRow


class TokenLogprob(Record):
    """Natural-log probability of one candidate for a token of a reply."""

    token: str
    logprob: float


class ReplyToken(Record):
    """One token of a reply as its engine chose it, and what else it might have chosen, likeliest first."""

    text: str
    candidates: tuple[TokenLogprob, ...] = ()


class Reply(Record):
    """What a judge said to one request, unread. `attempts`: calls that it took; `seconds`: of the last one.

    Of an oversized text only the end is kept. For a pairwise rubric an odd `repeat` asks with the answers swapped.
    """

    kind: Literal["reply"] = "reply"
    request_digest: str
    example_id: str
    sample: int
    repeat: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    tokens: tuple[ReplyToken, ...] = ()
    attempts: int = 1
    seconds: float


class Same(Record):
    """Two answers to be compared that are the same text: a tie, and nobody was asked."""

    kind: Literal["same"] = "same"
    request_digest: str
    example_id: str
    sample: int
    repeat: int


class NoReply(Record):
    """A request that got no answer after all retries."""

    kind: Literal["no_reply"] = "no_reply"
    request_digest: str
    example_id: str
    sample: int
    repeat: int
    reason: str
    attempts: int


ReplyRow = Annotated[Reply | NoReply | Same, Field(discriminator="kind")]


class Scored(Record):
    """A verdict with a value on the rubric's scale. `same`: both answers are one text, so that nobody was asked.

    `fallback`: it should be an expected score and is what was said, since the log-probabilities tell none.
    """

    kind: Literal["scored"] = "scored"
    example_id: str
    sample: int
    repeat: int
    value: float
    same: bool = Field(False, exclude_if=not_)
    fallback: bool = Field(False, exclude_if=not_)


class Unparsed(Record):
    """The judge answered, but not with a verdict that its rubric allows."""

    kind: Literal["unparsed"] = "unparsed"
    example_id: str
    sample: int
    repeat: int
    reason: str


class Refused(Record):
    """The judge declined to judge."""

    kind: Literal["refused"] = "refused"
    example_id: str
    sample: int
    repeat: int
    reason: str


class Failed(Record):
    """No reply after all retries."""

    kind: Literal["failed"] = "failed"
    example_id: str
    sample: int
    repeat: int
    reason: str


Judgment = Annotated[Scored | Unparsed | Refused | Failed, Field(discriminator="kind")]
