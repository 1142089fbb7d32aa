"""Asking until it is decided: a run that was killed stops where an unbroken one does, and by its own reading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.records.data import Example, SplitExample
from harness.records.inputs import AskInput, ContestInput, DataInput, ImportedInput, JudgeInput, ProbeInput, StopRule
from harness.records.rows import Generation, Reply, ReplyRow, Scored
from harness.records.seal import AskFacts
from harness.resolved import ResolvedJudge
from harness.spec.judges import JudgeSpec
from harness.stages.judging import asker, given_replies, make_probe, make_replies, put_until_decided
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


def answered(root: Path) -> tuple[Workshop, AskInput]:
    """A run with three rounds of items, each answered word for word as its reference, and a judge that asks of all."""
    store = Store(root)
    data = planned(DataInput(sources=(), fields={}, split=None))
    answers = planned(ImportedInput(data=data.key.digest, file_sha256="f", field=None, missing="fail"))
    items = [f"e{n}" for n in range(3 * ROUND)]
    with store.making(data) as writer:
        examples = [Example(id=item, instruction="Say it", output=f"word {item}") for item in items]
        writer.append(SplitExample(index=n, split="test", example=each) for n, each in enumerate(examples))
        writer.finish()
    with store.making(answers) as writer:
        writer.append(
            Generation(example_id=item, sample=0, text=f"word {item}", finish_reason="eos", tokens=2, seconds=0.0)
            for item in items
        )
        writer.finish()
    resolved: Any = SimpleNamespace(judges=(judge(expected=False),))
    ask = AskInput(
        generations=answers.key.digest, data=data.key.digest, backend="scripted", model_identity="m",
        prompt_sha256=RUBRIC.prompt_sha256,
    )  # fmt: skip
    return Workshop(store, resolved, lambda units: None), ask


def made(shop: Workshop, ask: AskInput) -> tuple[AskFacts, list[Any]]:
    row_type: Any = ReplyRow
    with shop.store.making(planned(ask)) as writer:
        facts = make_replies(shop, ask, writer)
        writer.finish(facts=facts)
    return facts, shop.store.read(planned(ask).key, row_type)


def test_of_more_items_or_repeats_only_what_is_new_is_asked(tmp_path: Path) -> None:
    shop, ask = answered(tmp_path)
    few, before = made(shop, ask.model_copy(update={"items": ROUND}))
    more, now = made(shop, ask.model_copy(update={"items": 2 * ROUND}))
    again, twice = made(shop, ask.model_copy(update={"items": 2 * ROUND, "repeats": 2}))
    assert [facts.calls for facts in (few, more, again)] == [ROUND, ROUND, 2 * ROUND]
    assert [len(rows) for rows in (before, now, twice)] == [ROUND, 2 * ROUND, 4 * ROUND]
    assert more.prompt_tokens == sum(row.prompt_tokens for row in now if row.attempts)
    texts = {row.request_digest: row.text for row in before}
    assert {row.request_digest: row.text for row in now if not row.attempts} == texts
    assert made(shop, ask.model_copy(update={"version": 1}))[0].calls == 3 * ROUND
    assert made(shop, ask)[0].calls == ROUND


def test_probes_of_more_items_that_stayed_the_same_are_not_asked_again(tmp_path: Path) -> None:
    shop, ask = answered(tmp_path)
    calls, texts = [], set[str]()
    for items in (ROUND, 2 * ROUND):
        probe = ProbeInput(data=ask.data, items=items)
        with shop.store.making(planned(probe)) as writer:
            make_probe(shop, probe, writer)
            writer.finish()
        facts, rows = made(shop, ask.model_copy(update={"generations": planned(probe).key.digest}))
        calls.append(facts.calls)
        fresh = [row.request_digest for row in rows if row.attempts]
        assert not texts & set(fresh)
        texts |= set(fresh)
    assert calls[0] > 5 * ROUND
    assert calls[1] < 1.6 * calls[0], "other references are others among more items"


def test_what_was_asked_before_decides_as_if_it_were_asked(tmp_path: Path) -> None:
    shop, ask = answered(tmp_path)
    judged = planned(JudgeInput(replies="r", parser_sha256=RUBRIC.parser_sha256))
    with shop.store.making(judged) as writer:
        writer.append(Scored(example_id=f"e{n}", sample=0, repeat=0, value=1) for n in range(3 * ROUND))
        writer.finish()
    stopping = ask.model_copy(update={"stop": StopRule(judged=judged.key.digest, alpha=0.05)})
    facts, rows = made(shop, stopping)
    assert (facts.calls, facts.spared) == (ROUND, 2 * ROUND)
    assert made(shop, ask)[0].calls == 2 * ROUND
    later = stopping.model_copy(update={"stop": StopRule(judged=judged.key.digest, alpha=0.04)})
    facts, taken = made(shop, later)
    assert (facts.calls, facts.spared) == (0, 2 * ROUND)
    assert {row.request_digest for row in taken} == {row.request_digest for row in rows}


def test_questions_of_another_version_are_passed_over(tmp_path: Path) -> None:
    shop, ask = answered(tmp_path)
    few = ask.model_copy(update={"items": ROUND})
    made(shop, few)
    folder = shop.store.folder(planned(few).key)
    other = folder.with_name("f" * len(folder.name))
    shutil.copytree(folder, other)
    spec = json.loads((other / "spec.json").read_bytes())
    (other / "spec.json").write_text(json.dumps({**spec, "mood": "kind"}))
    contest = ContestInput(
        contestants=(("a",), ("b",)), data=ask.data, backend="scripted", model_identity="m",
        prompt_sha256=RUBRIC.prompt_sha256, parser_sha256="p", design="all", games=1,
    )  # fmt: skip
    assert len(given_replies(shop.store, contest)) == ROUND
    assert made(shop, ask)[0].calls == 2 * ROUND
