"""What a policy may ask for, and how the verdict follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError, SpecError
from harness.gate.policy_file import load_policy
from harness.gate.report import Files, check
from harness.records.baseline import Snapshot
from harness.records.check import CheckReport
from harness.records.policy import GoldenItem, MeasureCheck, Policy
from tests.snapshots import baseline, scores, snapshot, variant

ROUGE = MeasureCheck(measure="rougeL", tolerance=5)
BEFORE = snapshot([variant(seed, {"rougeL": scores(seed)}) for seed in (1, 2, 3)])


def checked(now: Snapshot, before: Snapshot, *checks: MeasureCheck, **policy: object) -> CheckReport:
    rules = Policy.model_validate({"checks": checks or (ROUGE,), **policy})
    return check(baseline(before), now, rules, Files("matrix.yaml", "baselines/main.json", "policy.yaml"))


def candidate(fall: float) -> Snapshot:
    return snapshot([variant(1, {"rougeL": scores(11, fall=fall)}, digest="changed")])


def test_a_golden_item_that_several_items_could_be_is_refused() -> None:
    assert BEFORE.examples is not None
    alike = tuple(each.model_copy(update={"instruction": "Say it again."}) for each in BEFORE.examples)
    now = candidate(0).model_copy(update={"examples": alike})
    with pytest.raises(
        HarnessError, match=r"(?s)policy.yaml: golden: 100 test items have .* by its id: 000000000000, "
    ):
        checked(now, BEFORE, golden=(GoldenItem(item="Say it again.", measure="rougeL"),))
    named = checked(now, BEFORE, golden=(GoldenItem(item=f"{7:012x}", measure="rougeL", at_least=1),))
    assert named.checks[-1].outcome == "pass"


def test_a_tolerance_of_the_whole_scale_is_refused_and_a_wide_one_told() -> None:
    judged = snapshot([variant(s, {"scripted": scores(s) / 25 + 1}) for s in (1, 2)], primary="scripted")
    ruined = snapshot([variant(s, {"scripted": np.ones(100)}, digest=f"x{s}") for s in (1, 2)], primary="scripted")
    judge = MeasureCheck(measure="scripted")
    with pytest.raises(
        HarnessError, match=r"(?s)policy.yaml: .*scripted may fall by 8 points.*1–5.*has 4.*such as 0.08"
    ):
        checked(ruined, judged, judge, tolerance=8)
    with pytest.raises(HarnessError, match="rougeL may fall by 100"):
        checked(candidate(0), BEFORE, ROUGE.model_copy(update={"tolerance": 100}))
    wide = checked(ruined, judged, judge, tolerance=2.5)
    assert "scripted may fall by 2.5 points, more than half of its scale (4)" in wide.warnings


def test_only_what_fell_is_called_worse() -> None:
    strictly = ROUGE.model_copy(update={"inconclusive": "fail", "tolerance": 0.5})
    report = checked(candidate(1), BEFORE, strictly.model_copy(update={"floor": 99.0}))
    assert report.answer.startswith(
        "Worse than main: floor of rougeL of m/alpaca/full/mask-prompt; cannot tell: rougeL"
    )
    two = snapshot(
        [
            *BEFORE.variants,
            variant(1, {"rougeL": scores(4)}, method="lora"),
            variant(2, {"rougeL": scores(5)}, method="lora"),
        ]
    )
    untold = checked(candidate(1), two, strictly)
    assert untold.answer == (
        "Not comparable with main: cell m/alpaca/lora/mask-prompt; cannot tell: rougeL of m/alpaca/full/mask-prompt."
    )
    assert untold.exit_status == 2


def test_a_supporting_check_fails_where_it_says_so_itself() -> None:
    weak = MeasureCheck(measure="rougeL", tolerance=0.5, tier="supporting")
    assert checked(candidate(1), BEFORE, weak, inconclusive="fail").exit_status == 0
    assert checked(candidate(1), BEFORE, weak.model_copy(update={"inconclusive": "fail"})).exit_status == 3


def test_nothing_but_advice_is_no_pass() -> None:
    advice = ROUGE.model_copy(update={"tier": "advisory"})
    fallen = checked(candidate(40), BEFORE, advice)
    assert (fallen.outcome, fallen.exit_status) == ("inconclusive", 0)
    assert fallen.answer == "Nothing was held to main: every check is advisory, and 1 of them fell."
    assert checked(candidate(0), BEFORE, advice).answer == "Nothing was held to main: every check is advisory."


def test_nothing_changed_comes_without_a_test_and_its_notes() -> None:
    same = checked(snapshot([BEFORE.variants[0]]), BEFORE, MeasureCheck(measure="rougeL", tolerance=0))
    [found] = same.checks
    assert found.baseline == found.candidate == pytest.approx(float(np.mean(scores(1))))
    assert found.notes == () and same.warnings == ()


def test_a_direction_holds_for_the_worst_items_and_golden_ones_too() -> None:
    worse = scores(11)
    worse[:10] += 20
    now = snapshot([variant(1, {"rougeL": worse}, digest="changed")])
    lower = ROUGE.model_copy(update={"direction": "lower"})
    golden = GoldenItem(item=f"{3:012x}", measure="rougeL", at_least=30)
    report = checked(now, BEFORE, lower, scope="checkpoint", golden=(golden,))
    assert report.worst and all(each.candidate > each.baseline for each in report.worst)
    assert report.checks[-1].outcome == "regression" and "right up to 30" in report.checks[-1].reason
    assert "fell" not in report.checks[0].reason


def test_a_measure_is_checked_once(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "checks: [{measure: rougeL, tolerance: 5}, {measure: rougeL, direction: higher}]\n"
        "budgets: [{what: stop_rate, at_least: 0.5}, {what: stop_rate, at_least: 0.9}]\n"
    )
    with pytest.raises(SpecError, match=r"(?s)checks: rougeL is checked twice.*budgets: stop_rate is checked twice"):
        load_policy(path)
    path.write_text("checks: [{measure: rougeL, tier: advisory, inconclusive: fail}]\n")
    with pytest.raises(SpecError, match="advisory, which fails nothing"):
        load_policy(path)


def test_the_report_says_its_format_and_who_wrote_it() -> None:
    from harness import __version__

    written = checked(candidate(0), BEFORE).model_dump(mode="json")
    assert (written["version"], written["harness"]) == (1, __version__)
