"""What a check writes: JUnit, workflow commands, Markdown, terminal."""

from __future__ import annotations

import io

import pytest
from lxml import etree
from rich.console import Console

from harness.gate.report import Files, check
from harness.records.check import CheckReport
from harness.records.policy import Budget, MeasureCheck, Policy
from reports.annotations import inert, workflow_commands
from reports.answer_diff import changes
from reports.check_markdown import check_markdown
from reports.check_terminal import print_check
from reports.junit import junit_xml
from tests.snapshots import baseline, scores, snapshot, variant

HOSTILE = "yes | no\x1b[31m <script>alert(1)</script> ]]> %0A::error::"


@pytest.fixture
def report() -> CheckReport:
    """A regression, a pass, an advisory budget that is broken; answers that would like to break the outputs."""
    answers = tuple(f"the answer {i} {HOSTILE}" for i in range(100))
    before = snapshot([variant(s, {"rougeL": scores(s)}, answers=answers) for s in (1, 2, 3)])
    now = snapshot(
        [variant(1, {"rougeL": scores(11, fall=12)}, digest="x", answers=("the wrong answer",) * 100, train_seconds=99)]
    )
    policy = Policy(
        checks=(MeasureCheck(measure="rougeL", tolerance=5, floor=1.5),),
        budgets=(Budget(what="train_seconds", at_most=1.5),),
    )
    return check(baseline(before), now, policy, Files("a,b:c.yaml", "baselines/main.json"))


def test_junit_has_a_case_a_check(report: CheckReport) -> None:
    root = etree.fromstring(junit_xml(report).encode())
    cases = root.findall("testsuite/testcase")
    assert [case.get("name", "").split(" of ")[0] for case in cases] == ["rougeL", "floor", "train_seconds"]
    assert [child.tag for case in cases for child in case if child.tag != "system-out"] == ["failure", "skipped"]
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("3", "1", "0", "1")
    assert cases[0].find("failure").get("type") == "regression"


def test_annotations_are_escaped_as_the_runner_reads_them(report: CheckReport) -> None:
    error, warning = workflow_commands(report, "a,b:c.yaml")
    assert error.startswith("::error file=a%2Cb%3Ac.yaml,line=1,title=regression%3A rougeL of m/")
    assert warning.startswith("::warning ")
    multiline = report.checks[0].model_copy(update={"reason": "50 %\nsecond line"})
    [only] = workflow_commands(report.model_copy(update={"checks": (multiline,)}), "m.yaml")
    assert only.endswith("::50 %25%0Asecond line")


def test_markdown_shows_table_changes_and_five_worst_items(report: CheckReport) -> None:
    text = check_markdown(report)
    assert text.startswith("<!-- sft-harness check: a,b:c.yaml against baselines/main.json -->\n")
    assert "**✗ regression**" in text and "| rougeL of m/alpaca/full/mask-prompt | critical |" in text
    assert text.count("<details>") == 5
    assert "<ins>wrong</ins>" in text and "<del>" in text
    assert "<script>" not in text and "\x1b" not in text


def test_terminal_says_the_same(report: CheckReport) -> None:
    out = io.StringIO()
    print_check(report, Console(file=out, width=140))
    assert "Worse than main" in out.getvalue() and "{+wrong +}" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_a_reason_that_many_checks_share_is_said_once(report: CheckReport) -> None:
    same = (report.checks[0].model_copy(update={"reason": "nothing changed"}),) * 4
    out = io.StringIO()
    print_check(report.model_copy(update={"checks": same}), Console(file=out, width=140))
    assert out.getvalue().count("nothing changed") == 1 and "4 checks: nothing changed" in out.getvalue()


def test_refusals_offer_an_update(report: CheckReport) -> None:
    refused = report.checks[0].model_copy(update={"outcome": "error", "cause": "input", "reason": "stemmer on → off"})
    text = check_markdown(report.model_copy(update={"checks": (refused,), "worst": ()}))
    assert "harness baseline update a,b:c.yaml --file baselines/main.json --reason" in text and "stemmer" in text


def test_a_diff_goes_by_words_and_by_characters_where_there_are_no_spaces() -> None:
    assert [tuple(c) for c in changes("the red cat", "the blue cat")] == [
        ("same", "the "),
        ("removed", "red"),
        ("added", "blue"),
        ("same", " cat"),
    ]
    assert [c.text for c in changes("我喜欢猫", "我喜欢狗")] == ["我喜欢", "猫", "狗"]


def test_answers_call_nobody_and_give_the_runner_no_commands(report: CheckReport) -> None:
    said = "::error file=app.py::injected @octocat ##[error]older"
    worst = tuple(each.model_copy(update={"candidate_answer": said, "baseline_answer": None}) for each in report.worst)
    now = report.model_copy(update={"worst": worst})
    assert "@octocat" not in check_markdown(now) and "octocat" in check_markdown(now)
    out = io.StringIO()
    print_check(now, Console(file=out, width=140))
    lines = inert(out.getvalue()).splitlines()
    assert any(line.lstrip().startswith("::") for line in out.getvalue().splitlines())
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)
    assert "".join(lines).replace("\u200b", "") == "".join(out.getvalue().splitlines())
