"""Masks against constructions that do not share code with the trainer."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from harness.errors import DataError, ModelError
from harness.prompts import STYLES, Segment, render
from harness.records.data import Example
from harness.records.variant import Masking
from tests.tiny import tiny_tokenizer
from trainers.masking import IGNORE, encode, encode_prompt, preview

EXAMPLE = Example(id="x", instruction="Rewrite: the cat sleeps.", input="past tense", output="The cat slept — 猫.")
SEGMENTS = render(STYLES["alpaca"], EXAMPLE)


def learned_text(tokenizer: Any, masking: Masking) -> str:
    row = encode(tokenizer, SEGMENTS, masking, 512)
    return str(tokenizer.decode([label for label in row.labels if label != IGNORE]))


@pytest.mark.parametrize(
    ("masking", "expected"),
    [
        ("prompt", "The cat slept — 猫.</s>"),
        ("instruction", "\n\n### Response:\nThe cat slept — 猫.</s>"),
    ],
)
def test_what_learns_reads_as_the_policy_says(tokenizer: Any, masking: Masking, expected: str) -> None:
    assert learned_text(tokenizer, masking) == expected


def test_masking_none_learns_all_but_the_first_token(tokenizer: Any) -> None:
    row = encode(tokenizer, SEGMENTS, "none", 512)
    assert row.labels == (IGNORE, *row.ids[1:])


@pytest.mark.parametrize("masking", get_args(Masking))
def test_ids_do_not_depend_on_the_policy_and_read_back(tokenizer: Any, masking: Masking) -> None:
    row = encode(tokenizer, SEGMENTS, masking, 512)
    assert tokenizer.decode(row.ids) == "".join(segment.text for segment in SEGMENTS) + "</s>"
    assert [w > 0 for w in row.weights] == [label != IGNORE for label in row.labels]
    assert len(row.ids) == len(row.labels) == len(row.weights)


@pytest.mark.parametrize("add_bos", [False, True])
def test_inference_prompt_is_the_head_of_the_training_row(add_bos: bool) -> None:
    tokenizer = tiny_tokenizer(add_bos=add_bos)
    row, prompt = encode(tokenizer, SEGMENTS, "prompt", 512), encode_prompt(tokenizer, SEGMENTS[:2])
    assert list(row.ids[: row.prompt_length]) == prompt
    assert prompt.count(tokenizer.bos_token_id) == int(add_bos)
    assert all(label == IGNORE for label in row.labels[: row.prompt_length])


def test_an_empty_response_learns_to_stop(tokenizer: Any) -> None:
    row = encode(tokenizer, [*SEGMENTS[:2], Segment("", "response")], "prompt", 512)
    assert row.loss_tokens == 1
    assert row.labels[-1] == tokenizer.eos_token_id


def test_a_row_too_long_is_named_with_both_lengths(tokenizer: Any) -> None:
    length = len(encode(tokenizer, SEGMENTS, "prompt", 512).ids)
    encode(tokenizer, SEGMENTS, "prompt", length)
    with pytest.raises(DataError, match=rf"example x: .*{length} tokens.*at most {length - 1}"):
        encode(tokenizer, SEGMENTS, "prompt", length - 1, where="example x")


def test_a_row_without_loss_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="row 7: no token"):
        encode(tokenizer, [Segment("", "prompt"), Segment("", "response")], "prompt", 512, where="row 7")


def test_a_tokenizer_without_eos_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-sequence"):
        encode(tokenizer, SEGMENTS, "prompt", 512)


def test_preview_joins_to_the_row_and_shows_the_boundary(tokenizer: Any) -> None:
    shown = preview(tokenizer, encode(tokenizer, SEGMENTS, "instruction", 512))
    assert [learns for _, learns in shown] == [False, True]
    assert shown[1][0].startswith("\n\n### Response:\n")
    assert "".join(text for text, _ in shown) == "".join(segment.text for segment in SEGMENTS) + "</s>"
