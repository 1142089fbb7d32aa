"""How many tokens an entry takes, counted only where its bytes do not already settle that it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.data.audit import TokenLimit
from harness.prompts import PromptStyle, render
from harness.records.data import Example
from trainers.masking import encode_prompt

SPECIAL = 5
"""Tokens that a row may have beyond its bytes: BOS, EOS, and the blank that some tokenizers put before a segment."""


def token_limit(model: str, tokenizer: Any, context: int, style: PromptStyle, max_length: int | None) -> TokenLimit:
    """A model's limit in one prompt style. `context`: tokens its positions take; `max_length`: train.max_length."""
    longest = min(max_length or context, context)

    def tokens(example: Example) -> int:
        segments = render(style, example)
        # a token of any common tokenizer stands for at least a byte
        most = sum(len(segment.text.encode()) for segment in segments) + SPECIAL
        return most if most <= longest else len(encode_prompt(tokenizer, segments)) + 1

    return TokenLimit(f"{Path(model).name}, {style.name}", longest, tokens)
