"""How many tokens an entry takes, counted only where its bytes do not already settle that it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.audit import TokenLimit
from harness.prompts import PromptStyle, Segment, inference_prompt, render
from harness.records.data import Example
from harness.records.inputs import Answering, RowLimits
from harness.records.settings import NewTokens, ReferenceLength
from trainers.masking import MaskPolicy, encode, encode_prompt

SPECIAL = 2
"""Tokens that a segment may have beyond its bytes: BOS or EOS, and the blank that some tokenizers put before it."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What counts a model's tokens. `context`: how many its positions take."""

    model: str
    tokenizer: Any
    context: int


def token_limits(
    limits: RowLimits | None,
    answering: Answering | None,
    counter: Callable[[str], Counter],
    style: Callable[[str], PromptStyle],
) -> Iterator[TokenLimit]:
    """What rows are held against; `counter` and `style` know their digests."""
    for base in limits.bases if limits else ():
        for sha256 in limits.styles_sha256 if limits else ():
            yield token_limit(counter(base), style(sha256), limits.max_length if limits else None)
    for base, sha256 in answering.by if answering else ():
        yield room_limit(counter(base), style(sha256), answering.new_tokens if answering else 0)


def token_limit(counter: Counter, style: PromptStyle, max_length: int | None) -> TokenLimit:
    """What training in this prompt style takes of a row. `max_length`: train.max_length."""
    tokenizer, longest = counter.tokenizer, min(max_length or counter.context, counter.context)

    def tokens(example: Example) -> int:
        segments = render(style, example, tokenizer)
        most = most_tokens(segments)
        if most <= longest:
            return most
        return len(encode(tokenizer, segments, MaskPolicy("none"), where=f"example {example.id}").ids)

    return TokenLimit(f"{Path(counter.model).name}, {style.name}", longest, tokens)


def room_limit(counter: Counter, style: PromptStyle, new_tokens: NewTokens) -> TokenLimit:
    """What a prompt in this style and the longest answer to it may have together."""
    tokenizer, most_new = counter.tokenizer, new_tokens if isinstance(new_tokens, int) else new_tokens.at_most

    def tokens(example: Example) -> int:
        prompt = inference_prompt(render(style, example, tokenizer))
        most = most_tokens(prompt) + most_new
        if most <= counter.context:
            return most
        return len(encode_prompt(tokenizer, prompt)) + longest_answer(new_tokens, tokenizer, example.output)

    return TokenLimit(f"{Path(counter.model).name}, {style.name}", counter.context, tokens, "no_room")


def most_tokens(segments: Sequence[Segment]) -> int:
    """More than they ever have: a token of any common tokenizer stands for at least a byte."""
    return sum(len(segment.text.encode()) for segment in segments) + SPECIAL * len(segments)


def longest_answer(new_tokens: NewTokens, tokenizer: Any, reference: str) -> int:
    """Tokens that an answer may have beside this reference."""
    if isinstance(new_tokens, ReferenceLength):
        return new_tokens.of(len(tokenizer.encode(reference, add_special_tokens=False)))
    return new_tokens
