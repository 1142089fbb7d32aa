"""A chat completion of OpenAI's kind, as its clients give it, read into an answer."""

from __future__ import annotations

from typing import Any

from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import Answer


def answer_of(reply: Any) -> Answer:
    """Text, usage and log-probabilities. Raises one of judges.service.HALF_REPLIES for what is no completion."""
    choice, usage = reply.choices[0], reply.usage
    logprobs = getattr(choice, "logprobs", None)
    entries = logprobs.content if logprobs is not None else None
    return Answer(
        text=_text(choice.message.content) or getattr(choice.message, "refusal", None) or "",
        finish_reason=choice.finish_reason or "stop",
        prompt_tokens=(usage.prompt_tokens if usage else None) or 0,
        completion_tokens=(usage.completion_tokens if usage else None) or 0,
        tokens=tuple(_token(each) for each in entries or ()),
    )


def _text(content: str | list[dict[str, Any]] | None) -> str | None:
    """Of a reply in parts, those that are text."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content


def _token(entry: Any) -> ReplyToken:
    candidates = tuple(TokenLogprob(token=each.token, logprob=each.logprob) for each in entry.top_logprobs or ())
    return ReplyToken(text=entry.token, candidates=candidates)
