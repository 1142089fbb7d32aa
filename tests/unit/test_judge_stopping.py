"""Asking until it is decided: a run that was killed stops where an unbroken one does, and by its own reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.records.inputs import AskInput, JudgeInput, StopRule
from harness.records.rows import Reply, ReplyRow, Scored
from harness.resolved import ResolvedJudge
from harness.spec.judges import JudgeSpec
from harness.stages.judging import asker, put_until_decided
from harness.stages.stopping import ROUND, rounds
from harness.stages.workshop import Workshop
from harness.store import Store, planned
from judges.questions import PlannedRequest
from judges.ratings import reply_of
from judges.rubric import load_rubric
from tests.unit.test_judge_chaos import questions

RUBRIC = load_rubric("correctness-5")
REQUESTS = questions(3 * ROUND)
FIRST, *LATER = rounds(REQUESTS)


def judge(*, expected: bool) -> ResolvedJudge:
    spec = JudgeSpec(backend="scripted", rubric="correctness-5", expected_score=expected)
    return ResolvedJudge(spec, spec.model, "correctness-5", "m", RUBRIC.prompt_sha256, RUBRIC.parser_sha256)


def workshop(root: Path, *, expected: bool) -> tuple[Workshop, AskInput]:
    """A run with two judges of one prompt, the baseline's verdicts (1 for every item), and what is to be asked."""
    store = Store(root)
    judged = planned(JudgeInput(replies="r", parser_sha256=RUBRIC.parser_sha256, expected_score=expected))
    with store.making(judged) as writer:
        writer.append([Scored(example_id=each.example_id, sample=0, repeat=0, value=1) for each in REQUESTS])
        writer.finish()
    both: Any = SimpleNamespace(judges=(judge(expected=False), judge(expected=True)))
    rule = StopRule(judged=judged.key.digest, alpha=0.05, margin=None)
    ask = AskInput(
        generations="g", data="d", backend="scripted", model_identity="m", prompt_sha256=RUBRIC.prompt_sha256, stop=rule
    )
    return Workshop(store, both, lambda units: None), ask


def replies(requests: Sequence[PlannedRequest]) -> list[Reply]:
    """1 in the first round, as the baseline has; 5 afterwards."""
    first = {each.key for each in FIRST}
    return [reply_of(each, f'{{"score": {1 if each.key in first else 5}}}', 0.0) for each in requests]


@pytest.mark.parametrize("kept", [0, ROUND // 2, ROUND + ROUND - 1])
def test_a_killed_run_stops_where_an_unbroken_one_does(kept: int, tmp_path: Path) -> None:
    shop, ask = workshop(tmp_path, expected=False)
    assert ask.stop is not None
    row_type: Any = ReplyRow
    with shop.store.making(planned(ask)) as writer:
        writer.append(replies([*FIRST, *LATER[0]][:kept]))
        spared = put_until_decided(
            shop, ask.stop, RUBRIC, judge(expected=False), REQUESTS, lambda left: writer.append(replies(left)), writer
        )
        assert (spared, len(writer.kept_rows(row_type))) == (ROUND, 2 * ROUND)


@pytest.mark.parametrize("expected", [False, True])
def test_of_two_judges_with_one_prompt_each_decides_by_its_own_reading(expected: bool, tmp_path: Path) -> None:
    shop, ask = workshop(tmp_path, expected=expected)
    assert asker(shop, ask).spec.expected_score is expected
