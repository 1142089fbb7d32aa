"""Replies to judgments: each row exactly one outcome, no default score, and the last verdict counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.rows import Failed, NoReply, Refused, Reply, Scored, Unparsed
from judges.parse import parse
from judges.rubric import RubricTest, known_rubrics, load_rubric

PLACE = {"example_id": "e", "sample": 2, "repeat": 0}
RUBRICS = {name: load_rubric(name) for name in known_rubrics()}
CASES = [(name, test) for name, rubric in RUBRICS.items() for test in rubric.tests]


def reply(text: str, finish_reason: str = "stop") -> Reply:
    return Reply(
        request_digest="d",
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=1,
        completion_tokens=1,
        seconds=0.1,
        **PLACE,
    )


def judged(rubric: str, text: str, finish_reason: str = "stop") -> Any:
    return parse(reply(text, finish_reason), RUBRICS[rubric])


@pytest.mark.parametrize(("name", "test"), CASES, ids=[f"{name}: {test.reply[:40]!r}" for name, test in CASES])
def test_rubrics_pass_the_tests_they_ship_with(name: str, test: RubricTest) -> None:
    match judged(name, test.reply):
        case Scored(value=value):
            assert value == test.value
        case Unparsed(reason=reason):
            assert test.unparsed is not None
            assert test.unparsed in reason
        case Refused(reason=reason):
            assert test.refused is not None
            assert test.refused.lower() in reason.lower()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"score": 5}', 5),
        ('{"score": 3.0}', 3),
        ('{"score": " 2 "}', 2),
        ('{"why": "uses {braces}", "score": 2}', 2),
        ('{"verdict": {"score": 4}, "score": 3}', 3),
        ('{"why": "I cannot fault it", "score": 5}', 5),
        ('{broken {"score": 4}', 4),
        ('{"score": 1} and then {"note": "no verdict here"}', 1),
        ('```json\n{\n  "score": 2\n}\n```\nI hope this helps!', 2),
    ],
)
def test_json_verdicts(text: str, value: float) -> None:
    assert judged("correctness-5", text) == Scored(value=value, **PLACE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("   \n", "empty"),
        ('{"score": 0}', "outside"),
        ('{"score": 5} {"score": 9}', "outside"),
        ('{"score": NaN}', "outside"),
        ('{"score": Infinity}', "outside"),
        ('{"score": null}', "not a number"),
        ('{"score": [5]}', "not a number"),
        ('{"score": 1' + "0" * 400 + "}", "too large"),
        ('{"Score": 5}', "no JSON object"),
        ('{"score": 4', "no JSON object"),
        ("4", "no JSON object"),
        ('["score", 4]', "no JSON object"),
    ],
)
def test_what_is_no_json_verdict(text: str, reason: str) -> None:
    outcome = judged("correctness-5", text)
    assert isinstance(outcome, Unparsed)
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("text", "finish_reason", "value"),
    [
        ("Score: 7", "stop", 7),
        ("**90**", "stop", 90),
        ("I would say 60 / 100.", "length", 60),
        ("10 out of 100 for style, 20 out of 100 in all", "stop", 20),
        ("score=55%", "stop", 55),
        ("得分：85", "stop", 85),
        ("得分85分", "stop", 85),
        ("40 on a scale from 0 to 100", "stop", 40),
        ("40 on a scale of 100", "stop", 40),
        ("40 on a 0-100 scale", "stop", 40),
        ("40 (0–100)", "stop", 40),
        ("40 on a scale from 0 to 100, where 0 is the worst and 100 is the best score.", "stop", 40),
        ("40 (out of 100)", "stop", 40),
        ("40 points out of 100", "stop", 40),
        ("**40** / **100**", "stop", 40),
        ("90 out of a possible 100", "stop", 90),
        ("90 out of a maximum of 100.", "stop", 90),
        ("85分（满分100分）", "stop", 85),
        ("5/10 for style, 70 in all", "stop", 70),
        ("Points: 80, 90", "stop", 90),
        ("8/10", "stop", None),
        ("8 out of 10", "stop", None),
        ("8 on a scale from 1 to 10", "stop", None),
        ("82,5", "stop", None),
        ("1,000", "stop", None),
        ("on a scale from 0 to 100, where 100 is the best", "length", None),
        ("On a scale from 0 to 100 it is 6", "length", None),
        ("1", "length", None),
        ("GPT4 is great, v2.x too", "stop", None),
        ("101", "stop", None),
        ("3.5", "stop", None),
        ("85\n\nThe response correctly notes that water boils at 100 degrees.", "stop", None),
        ("**90.** The answer lists 2 of the 3 reasons.", "stop", None),
        ("85/100. It lists 2 of 3.", "stop", None),
        ('Score: 95\n\nExplanation: it says "5" instead of "five"', "stop", None),
        ("得分：85分。水在100度沸腾", "stop", None),
        ("Score: 60 - 70", "stop", None),
        ("60-70", "stop", None),
        ("85\n\nIt lists all 3 reasons, so 85.", "stop", 85),
        ("90\n\nAll is right.", "stop", 90),
        ("1. It is correct.\n2. It lacks one of 3 reasons.\n\nScore: 70", "stop", 70),
        ("4 of 5 facts are right: 80", "stop", 80),
        ("First 20, on reflection 30.", "stop", 30),
    ],
)
def test_integer_verdicts(text: str, finish_reason: str, value: float | None) -> None:
    outcome = judged("book-100", text, finish_reason)
    assert outcome.value == value if value is not None else isinstance(outcome, Unparsed)


THOUGHT = "<think>On a scale from 0 to 100, 20 would be low. I cannot say less than 30"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"{THOUGHT}.</think>\n\n45", 45),
        (f"{THOUGHT}.</think>\n\n<think>Or 50?</think> 55", 55),
        (f"{THOUGHT[7:]}.</think>45", 45),
        (f"\n{THOUGHT}. Let me", None),
        (f"{THOUGHT}.</think>", None),
        (f"{THOUGHT}.</think><think>Or 50", None),
        ("<think>" + "7 " * 20_000, None),
    ],
)
def test_thoughts_are_no_verdict(text: str, value: float | None) -> None:
    outcome = judged("book-100", text, "stop" if value is not None else "length")
    assert outcome.value == value if value is not None else isinstance(outcome, Unparsed)


def test_a_thought_s_verdict_is_not_the_reply_s() -> None:
    assert judged("correctness-5", '<think>{"score": 1}</think>{"score": 4}').value == 4
    assert isinstance(judged("correctness-5", '<think>{"score": 1}? No,'), Unparsed)


@pytest.mark.parametrize(
    "text", ["I’m sorry, I can’t help with that.", "As an AI, I have no opinion.", "对不起，我无法评分。", "I WON'T."]
)
def test_refusals(text: str) -> None:
    for rubric in RUBRICS:
        assert isinstance(judged(rubric, text), Refused)


def test_a_request_without_reply_has_failed_and_says_why() -> None:
    row = NoReply(request_digest="d", reason="timed out", attempts=5, **PLACE)
    assert parse(row, RUBRICS["book-100"]) == Failed(reason="timed out (after 5 attempts)", **PLACE)


@pytest.mark.parametrize(
    "text",
    ["{" * 1_000_000, '{"a":' * 200_000, "9" * 1_000_000, "[" * 1_000_000, "out of " * 99_999, "scale of " * 99_999],
)
def test_endless_replies_are_unreadable_not_endless_work(text: str) -> None:
    """Long enough that reading in quadratic time or by recursion would never end or break the stack."""
    for rubric in RUBRICS:
        assert isinstance(judged(rubric, text), Unparsed)


@given(text=st.text(max_size=60), cut=st.booleans())
def test_every_reply_has_one_outcome_on_the_scale(text: str, cut: bool) -> None:
    for name, rubric in RUBRICS.items():
        outcome = judged(name, text, "length" if cut else "stop")
        assert isinstance(outcome, Scored | Unparsed | Refused)
        if isinstance(outcome, Scored):
            scale = rubric.scale
            assert scale.low <= outcome.value <= scale.high
            assert outcome.value.is_integer()


@given(value=st.integers(1, 5), quoted=st.integers(1, 5), around=st.text(alphabet="ab {}[]\"',:\n", max_size=30))
def test_the_last_json_verdict_counts_whatever_stands_before(value: int, quoted: int, around: str) -> None:
    outcome = judged("correctness-5", f'{around}{{"score": {quoted}}} {{"score": {value}}}')
    assert outcome == Scored(value=value, **PLACE)
