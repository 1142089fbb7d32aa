"""Served models as variants: what they are asked, faults on the way, and the end of those that never answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import DataError, JudgeError
from harness.generators.served import answer_all, requests
from harness.records.data import Example, Turn
from harness.records.inputs import ServedInput
from harness.records.rows import Generation
from harness.records.settings import AskLimits, ReferenceLength
from judges.base import Judge
from tests.servers.chaos import chaos, completion
from tests.servers.loopback import Asked, Said, serve

TESTS = [Example(id=str(n), instruction=f"Question {n}?", input="of this" * (n % 2), output="o" * n) for n in range(40)]
Open = Callable[..., Judge]


def given(**changes: Any) -> ServedInput:
    settings = {"system": "", "max_new_tokens": 64, "temperature": 0.0, "samples": 1, "seed": 5}
    return ServedInput(data="d", backend="openai", model_identity="i", **settings | changes)


def ask(judge: Judge, stage: ServedInput, tests: list[Example] = TESTS, done: Any = frozenset()) -> list[Generation]:
    found: list[Generation] = []
    answer_all(
        judge, requests(tests, stage, done), on_response=found.append,
        limits=AskLimits(retries=20), budget=None, price=None,
    )  # fmt: skip
    return found


def openai(open_judge: Open, address: str) -> Judge:
    return open_judge("openai", "m", {"base_url": f"{address}/v1", "logprobs": False, "timeout": 1.0})


def test_instruction_and_input_are_one_message_and_no_empty_system_message_is_sent(open_judge: Open) -> None:
    with serve(lambda _: Said.of(completion(" Fine. ", completion_tokens=3))) as server:
        [first, second] = ask(openai(open_judge, server.address), given(), TESTS[:2])
        ask(openai(open_judge, server.address), given(system="Be brief."), TESTS[:1])
    bodies = [asked.body for asked in server.asked]
    assert sorted(body["messages"][-1]["content"] for body in bodies[:2]) == ["Question 0?", "Question 1?\n\nof this"]
    assert all(len(body["messages"]) == 1 for body in bodies[:2])
    assert bodies[2]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (bodies[0]["max_tokens"], bodies[0]["temperature"], bodies[0]["seed"]) == (64, 0.0, 5)
    assert (first.text, first.tokens, first.finish_reason) == ("Fine.", 3, "eos")
    assert first.tokens_per_second is not None and {first.example_id, second.example_id} == {"0", "1"}


def test_thoughts_before_an_answer_are_cut_and_counted(open_judge: Open) -> None:
    with serve(lambda _: Said.of(completion("<think>\nWell.\n</think>\n\nFine."))) as server:
        [found] = ask(openai(open_judge, server.address), given(), TESTS[:1])
    assert (found.text, found.cuts) == ("Fine.", ("thoughts",))


def test_samples_have_seeds_of_their_own_and_limits_may_follow_the_reference() -> None:
    stage = given(samples=3, temperature=0.7, max_new_tokens=ReferenceLength(times_reference=2, at_least=4))
    asked = requests(TESTS[30:31], stage, {("30", 1)})
    assert [(each.sample, each.request.seed, each.request.temperature) for each in asked] == [(0, 5, 0.7), (2, 7, 0.7)]
    assert {each.request.max_tokens for each in asked} == {20}


@pytest.mark.slow
def test_every_item_is_answered_in_spite_of_faults(open_judge: Open) -> None:
    with serve(chaos) as server:
        found = ask(openai(open_judge, server.address), given())
    assert sorted(row.example_id for row in found) == sorted(each.id for each in TESTS)


def test_what_got_no_response_is_named_and_the_rest_is_kept(open_judge: Open) -> None:
    def refusing(asked: Asked) -> Said:
        if "Question 3?" in asked.body["messages"][-1]["content"]:
            return Said.of({"error": {"message": "too long"}}, 400)
        return Said.of(completion("yes"))

    found: list[Generation] = []
    with (
        serve(refusing) as server,
        pytest.raises(JudgeError, match=r"1 of 5 prompts got no response; example 3: .*too long"),
    ):
        answer_all(
            openai(open_judge, server.address), requests(TESTS[:5], given(), frozenset()),
            on_response=found.append, limits=AskLimits(), budget=None, price=None,
        )  # fmt: skip
    assert sorted(row.example_id for row in found) == ["0", "1", "2", "4"]
    left = requests(TESTS[:5], given(), {(row.example_id, row.sample) for row in found})
    assert [each.example_id for each in left] == ["3"]


def test_a_conversation_is_refused() -> None:
    talk = Example(
        id="t", instruction="i", output="o", history=(Turn(role="user", text="a"), Turn(role="assistant", text="b"))
    )
    with pytest.raises(DataError, match="example t"):
        requests([talk], given(), frozenset())
