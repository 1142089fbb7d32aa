"""The gate: its rule against other programs' figures, its error rates, what it refuses, what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.align import Aligned
from harness.errors import HarnessError, SpecError, StoreError
from harness.gate.baseline_file import load, save, update
from harness.gate.decision import Rule, Weighed, decide, weigh
from harness.gate.drift import drift
from harness.gate.policy_file import load_policy, settled
from harness.gate.report import Files, check
from harness.gate.simulation import Setting, simulate
from harness.records.baseline import Snapshot, SnapshotMeasure
from harness.records.check import CheckReport, CheckResult
from harness.records.policy import Budget, GoldenItem, MeasureCheck, Policy
from harness.records.result import MeasureInfo
from harness.stats.components import Replicates
from harness.stats.panel import Panel
from tests.snapshots import JUDGE, METRIC, TERMS, baseline, scores, snapshot, variant

FILES = Files("matrix.yaml", "baselines/main.json")
ROUGE = MeasureCheck(measure="rougeL", tolerance=5)


def checked(candidate: Snapshot, before: Snapshot, *checks: MeasureCheck, **policy: object) -> CheckReport:
    return check(baseline(before), candidate, Policy.model_validate({"checks": checks or (ROUGE,), **policy}), FILES)


def three_seeds(items: int = 100) -> Snapshot:
    return snapshot([variant(seed, {"rougeL": scores(seed, items)}) for seed in (1, 2, 3)])


def candidate(fall: float, seed: int = 11, items: int = 100) -> Snapshot:
    return snapshot([variant(1, {"rougeL": scores(seed, items, fall)}, digest="changed")])


def only(report: CheckReport) -> CheckResult:
    [found] = report.checks
    return found


# ---------------------------------------------------------------- the rule


def aligned(*cells: np.ndarray) -> Aligned:
    """One seed a cell; the last is the candidate."""
    size = len(cells[0])
    panel = Panel(np.array([[each] for each in cells]), np.ones((len(cells), 1, size), dtype=bool), np.ones(2, bool))
    lost = np.zeros(len(cells), dtype=int)
    return Aligned(tuple(map(str, range(size))), panel, None, lost, ((), ()), Replicates(None, 1, None, 1))


def weighed(before: np.ndarray, now: np.ndarray, **rule: Any) -> Weighed:
    [found] = weigh(METRIC, aligned(before, now), None, [(1, 0)], Rule(scope="checkpoint", **rule))
    return found


def test_one_checkpoint_against_another_is_scipys_one_sided_paired_test() -> None:
    a = np.array([85, 90, 70, 95, 60, 80, 75, 100, 85, 90.0])
    b = np.array([80, 90, 75, 85, 60, 70, 75, 95, 80, 75.0])
    few = weighed(b, a, tolerance=5)
    # scipy.stats.ttest_1samp(a - b + 5, 0, alternative="greater"): 0.000360246 (non-inferiority by 5)
    assert few.contrast.within is not None
    assert few.contrast.within.above == pytest.approx(0.000360246, rel=1e-5)
    assert few.p_worse == pytest.approx(stats.ttest_rel(a, b, alternative="less").pvalue)
    strict = weighed(a, b, tolerance=1, strict=True)
    assert strict.p_worse == pytest.approx(stats.ttest_1samp(b - a + 1, 0, alternative="less").pvalue)
    rng = np.random.default_rng(0)
    b = rng.uniform(20, 80, 60)
    a = b + rng.uniform(-15, 16, 60)
    many = weighed(b, a, tolerance=5)
    assert many.p_pass == pytest.approx(stats.ttest_1samp(a - b + 5, 0, alternative="greater").pvalue)
    interval = stats.ttest_rel(a, b).confidence_interval(0.90)
    assert (many.lower, many.upper) == pytest.approx((interval.low, interval.high)) and not many.notes


@pytest.mark.parametrize(("items", "lost"), [(40, 0), (100, 0), (100, 2), (300, 2), (300, 9), (1000, 12)])
def test_losses_that_a_sample_may_have_spared_are_counted(items: int, lost: int) -> None:
    """Pass or fail, and nothing but losses: the exact bound is Clopper and Pearson's, by scipy."""
    right = np.full(items, 100.0)
    now = right.copy()
    now[:lost] = 0
    found = weighed(right, now, tolerance=2)
    exact = 100 * stats.binomtest(lost, items).proportion_ci(0.90, "exact").high
    assert found.lower is not None and exact * 0.98 < -found.lower < exact * 1.2
    assert ("to pass, 1.4 more" in found.notes[0]) and found.p_pass > 0.05 if exact > 2 else found.p_pass <= 0.05
    assert (found.smallest_fall is None) is (lost == 0 or found.method == "bootstrap-t")
    turned = METRIC.model_copy(update={"higher_is_better": False})
    [lower] = weigh(turned, aligned(100 - right, 100 - now), None, [(1, 0)], found.rule)
    assert (lower.p_pass, lower.upper) == pytest.approx((found.p_pass, -found.lower))


def test_items_enough_to_show_a_loss_that_was_spared() -> None:
    """Equal scores on 50 items tell little of a fall by 2; the number asked for is just enough."""
    ones = np.full(50, 100.0)
    found = weighed(ones, ones, tolerance=2)
    assert decide([found])[0].outcome == "inconclusive" and found.enough is not None
    items = found.enough.items
    assert items is not None and 100 < items < 200
    outcomes = [decide([weighed(*[np.full(n, 100.0)] * 2, tolerance=2)])[0].outcome for n in (items - 3, items + 1)]
    assert outcomes == ["inconclusive", "pass"]


def test_lower_is_better_turns_everything_round() -> None:
    before, worse = three_seeds(), candidate(-12)
    assert only(checked(worse, before)).outcome == "improved"
    turned = ROUGE.model_copy(update={"direction": "lower"})
    assert only(checked(worse, before, turned)).outcome == "regression"


def test_a_fall_is_caught_and_an_equal_candidate_is_not_blamed() -> None:
    fallen = checked(candidate(12), three_seeds())
    assert (fallen.outcome, fallen.exit_status) == ("regression", 1)
    assert "by more than 5" in only(fallen).reason
    assert [item.candidate < item.baseline for item in fallen.worst] == [True] * 5
    alike = checked(candidate(0), three_seeds())
    assert (alike.outcome, alike.exit_status) == ("pass", 0)
    assert only(alike).seeds == (1, 3) and only(alike).scope == "recipe"


def test_what_cannot_be_told_says_how_many_items_or_seeds_would_tell() -> None:
    report = checked(candidate(1, items=60), three_seeds(60), ROUGE.model_copy(update={"tolerance": 2.5}))
    found = only(report)
    assert found.outcome == "inconclusive" and found.items_needed is not None and found.items_needed > 60
    assert "would tell" in found.reason
    assert report.exit_status == 0
    strictly = checked(
        candidate(1, items=60), three_seeds(60), MeasureCheck(measure="rougeL", tolerance=2.5), inconclusive="fail"
    )
    assert (strictly.outcome, strictly.exit_status) == ("inconclusive", 3)
    supporting = MeasureCheck(measure="rougeL", tolerance=2.5, tier="supporting")
    assert checked(candidate(1, items=60), three_seeds(60), supporting, inconclusive="fail").exit_status == 0


def test_the_items_it_asks_for_are_enough() -> None:
    """An equal candidate on that many items passes about four times in five."""
    few = Setting(items=60, seeds=(3, 3), cells=4, seed_ratio=0.0, tolerance=3.0)
    rates = simulate(few, 60, seed=1, resamples=200)
    assert rates.passed < 0.7
    from harness.gate.simulation import _INFO, _aligned

    rng = np.random.default_rng(5)
    asked = []
    for _ in range(30):
        [each] = weigh(_INFO, _aligned(few, rng), None, [(4, 0)], Rule(tolerance=3.0, resamples=200))
        assert each.enough is not None
        asked.append(each.enough.items or 10**6)  # seeds may look as if they varied too much for any number of items
    more = Setting(items=int(np.median(asked)), seeds=(3, 3), cells=4, seed_ratio=0.0, tolerance=3.0)
    assert 0.65 < simulate(more, 150, seed=2, resamples=200).passed < 0.95


def test_the_very_same_scores_pass_whatever_the_tolerance() -> None:
    before = three_seeds()
    same = snapshot([before.variants[0]])
    found = only(checked(same, before, MeasureCheck(measure="rougeL", tolerance=0)))
    assert (found.outcome, found.delta) == ("pass", 0.0) and "nothing changed" in found.reason


def test_a_constant_fall_has_no_spread_and_is_still_seen() -> None:
    """A paired t has nothing to divide by here (errorbars reports p = 1.0 for a constant +5)."""
    ones = np.arange(60.0) + 40
    before = snapshot([variant(1, {"rougeL": ones})])
    fallen = snapshot([variant(1, {"rougeL": ones - 5}, digest="changed")])
    found = only(checked(fallen, before, MeasureCheck(measure="rougeL", tolerance=2), scope="checkpoint"))
    assert (found.outcome, found.method) == ("regression", "sign test")
    assert found.p_regression == 0.5**60
    small = only(checked(fallen, before, MeasureCheck(measure="rougeL", tolerance=6), scope="checkpoint"))
    assert small.outcome == "pass"


def test_a_total_collapse_is_a_regression() -> None:
    perfect, nothing = {"rougeL": [100.0] * 40}, {"rougeL": [0.0] * 40}
    before = snapshot([variant(seed, perfect) for seed in (1, 2)])
    kinds: list[dict[str, object]] = [{}, {"scope": "checkpoint"}, {"seed_sd": 0.0}]
    for more in kinds:
        report = checked(snapshot([variant(1, nothing, digest="changed")]), before, **more)
        assert (only(report).outcome, report.exit_status) == ("regression", 1)
        assert only(report).lower == pytest.approx(-100)


def test_items_of_one_group_are_no_independent_evidence() -> None:
    """Each of ten items ten times over: by item a fall is shown, by group it is not (CR1, as statsmodels has it)."""
    ten = np.array([-9.0, 5, -7, 3, -8, 4, -6, 2, -5, 1])
    values = np.repeat(np.linspace(40, 80, 10), 10)
    before = snapshot([variant(1, {"rougeL": values})])
    now = snapshot([variant(1, {"rougeL": values + np.repeat(ten, 10)}, digest="changed")])
    groups = {item: f"group {i // 10}" for i, item in enumerate(now.items)}
    rule = MeasureCheck(measure="rougeL", tolerance=1)
    assert only(checked(now, before, rule, scope="checkpoint")).outcome == "regression"
    grouped = only(checked(now.model_copy(update={"clusters": groups}), before, rule, scope="checkpoint"))
    assert grouped.outcome == "inconclusive"
    assert grouped.p_regression == pytest.approx(stats.ttest_1samp(ten, 0, alternative="less").pvalue)


def test_one_seed_everywhere_says_nothing_of_the_recipe() -> None:
    before, now = snapshot([three_seeds().variants[0]]), candidate(12)
    found = only(checked(now, before))
    assert found.outcome == "inconclusive" and "two seeds" in found.reason
    assert only(checked(now, before, scope="checkpoint")).outcome == "regression"
    assert only(checked(now, before, seed_sd=1.0)).outcome == "regression"
    assert only(checked(now, before, seed_sd=20.0)).outcome == "inconclusive"


def test_regressions_are_corrected_over_the_checks_that_can_fail_and_passes_are_not() -> None:
    rng = np.random.default_rng(3)
    one = weighed(*rng.normal(50, 5, (2, 80)), tolerance=5)
    p = [0.02, 0.03, 0.9]
    family = [type(one)(**{f: getattr(one, f) for f in one.__slots__} | {"p_worse": each, "p_pass": 0.5}) for each in p]
    # Holm by hand: 0.06, 0.06, 0.9
    assert [each.p_regression for each in decide(family)] == pytest.approx([0.06, 0.06, 0.9])
    assert [each.outcome for each in decide(family)] == ["inconclusive"] * 3
    assert [each.outcome for each in decide(family, corrected=False)] == ["regression", "regression", "inconclusive"]


# ---------------------------------------------------------------- error rates (all of them: docs/ci.md)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(seeds=(3, 3), seed_ratio=2.0),
        Setting(seeds=(1, 3), seed_ratio=1.0, judge_repeats=1),
        Setting(items=40, seeds=(1, 3), seed_ratio=1.0, tolerance=8.0),
        Setting(seeds=(1, 3), seed_ratio=1.0, checks=3),
        Setting(items=40, seeds=(1, 3), tolerance=4.0, kind="rare losses"),
        Setting(items=40, seeds=(1, 3), tolerance=4.0, kind="pass or fail"),
    ],
    ids=str,
)
def test_false_alarms_and_wrong_passes_stay_at_alpha(setting: Setting) -> None:
    """200 gates: a true rate of 5 % gives more than 10 % about once in a thousand times."""
    assert simulate(setting, 200, seed=8, resamples=100, stated_gates=0).alarms <= 0.10
    at_tolerance = Setting(**{f: getattr(setting, f) for f in setting.__slots__} | {"fall": setting.tolerance})
    assert simulate(at_tolerance, 200, seed=9, resamples=100, stated_gates=0).passed <= 0.10


def test_a_true_fall_is_caught_as_often_as_stated() -> None:
    setting = Setting(items=200, seeds=(3, 3), cells=5, seed_ratio=0.5, fall=4.0)
    rates = simulate(setting, 300, seed=10, resamples=100, stated_gates=800)
    assert rates.stated is not None and rates.stated.error < 0.005
    assert rates.regressed == pytest.approx(rates.stated.power, abs=0.05)  # three standard errors of 300 gates


# ---------------------------------------------------------------- floors, budgets, golden items


def test_floors_budgets_and_golden_items() -> None:
    before = three_seeds()
    now = snapshot([variant(1, {"rougeL": scores(11)}, digest="changed", train_seconds=18.0, stop_rate=0.7)])
    report = checked(
        now,
        before,
        ROUGE.model_copy(update={"floor": 90.0}),
        budgets=(
            Budget(what="train_seconds", at_most=1.5),
            Budget(what="stop_rate", at_least=0.9, tier="critical"),
            Budget(what="tokens_per_second", at_least=0.5),
        ),
        golden=(
            GoldenItem(item="Question 3?", measure="rougeL", at_least=1.0),
            GoldenItem(item=f"{5:012x}", measure="rougeL"),
        ),
    )
    outcomes = {each.name.split(" of ")[0] + "|" + each.kind: each.outcome for each in report.checks}
    assert outcomes == {
        "rougeL|measure": "pass",
        "floor|floor": "regression",
        "train_seconds|budget": "regression",
        "stop_rate|budget": "regression",
        "tokens_per_second|budget": "pass",
        f"golden {3:012x} by rougeL|golden": "pass",
        f"golden {5:012x} by rougeL|golden": "regression",
    }
    assert report.exit_status == 1
    assert not next(each for each in report.checks if each.measure == "train_seconds").fails  # advisory
    with pytest.raises(HarnessError, match="did you mean 'Question 3"):
        checked(now, before, golden=(GoldenItem(item="Question 3", measure="rougeL"),))


def without_scale(values: list[float], digest: str = "", seed: int = 1) -> Snapshot:
    """ROUGE-L as the primary measure, and a TER where less is better."""
    made = snapshot([variant(seed, {"rougeL": scores(1, len(values)), "scripted": values}, digest=digest)])
    edits = MeasureInfo(
        name="ter", label="TER", kind="metric", unit="edits", corpus=False, signature="t", higher_is_better=False
    )
    renamed = [each.model_copy(update={"scores": {"rougeL": each.scores["rougeL"], "ter": each.scores["scripted"]}})
               for each in made.variants]  # fmt: skip
    measures = (made.measures[0], SnapshotMeasure(info=edits, asked=len(values)))
    return made.model_copy(update={"measures": measures, "variants": tuple(renamed), "judges": ()})


def test_a_measure_without_a_scale_is_checked_only_with_a_tolerance() -> None:
    before, now = without_scale([20.0, 30.0] * 20), without_scale([21.0, 30.0] * 20, "changed")
    usual = check(baseline(before), now, Policy(scope="checkpoint"), FILES)
    assert [each.measure for each in usual.checks] == ["rougeL"]
    everywhere = check(baseline(before), now, Policy(scope="checkpoint", tolerance=3), FILES)
    assert [each.measure for each in everywhere.checks] == ["rougeL", "ter"]
    with pytest.raises(HarnessError, match=r"(?s)ter has no scale.*give it a `tolerance`"):
        settled(Policy(checks=(MeasureCheck(measure="ter"),)), before, "policy.yaml")
    with pytest.raises(HarnessError, match="ter has no scale"):
        settled(Policy(), before.model_copy(update={"primary": "ter"}), "policy.yaml")
    assert only(checked(now, before, MeasureCheck(measure="ter", tolerance=3), scope="checkpoint")).outcome == "pass"


def test_a_golden_item_goes_by_the_measures_direction() -> None:
    before, now = without_scale([0.0, 30.0] * 20), without_scale([0.0, 50.0] * 20, "changed")
    ter = [GoldenItem(item=f"Question {i}?", measure="ter", at_least=30.0) for i in (0, 1)]
    found = checked(now, before, golden=ter, scope="checkpoint").checks[1:]
    assert [each.outcome for each in found] == ["pass", "regression"]
    assert found[1].reason == "50.0, right up to 30"
    with pytest.raises(HarnessError, match="no full marks"):
        settled(Policy(golden=(GoldenItem(item="Question 0?", measure="ter"),)), before, "policy.yaml")


def test_a_floor_of_nothing_scored_is_no_regression() -> None:
    before = snapshot([variant(s, {"scripted": scores(s, 80) / 25 + 1}) for s in (1, 2)], primary="scripted")
    now = snapshot([variant(1, {"scripted": np.full(80, np.nan)}, digest="changed")], primary="scripted")
    report = checked(now, before, MeasureCheck(measure="scripted", floor=3.0))
    assert (only(report).outcome, report.exit_status) == ("error", 4)


def test_scores_that_are_missing_are_an_error_of_the_judge_not_of_the_model() -> None:
    judged = {"scripted": scores(1, 80) / 25 + 1}
    before = snapshot([variant(s, {"scripted": scores(s, 80) / 25 + 1}) for s in (1, 2)], primary="scripted")
    torn = judged["scripted"].copy()
    torn[:20] = np.nan
    now = snapshot([variant(1, {"scripted": torn}, digest="changed")], primary="scripted")
    report = checked(now, before, MeasureCheck(measure="scripted"))
    assert (only(report).outcome, only(report).unpaired, report.exit_status) == ("error", 20, 4)
    lenient = checked(now, before, MeasureCheck(measure="scripted"), max_unpaired=0.3)
    assert only(lenient).n_items == 60


def test_a_judge_that_fails_its_probes_decides_nothing() -> None:
    values = {"scripted": scores(1, 80) / 25 + 1}
    before = snapshot([variant(s, values) for s in (1, 2)], primary="scripted")
    info = JUDGE.model_copy(update={"trusted": False, "ranks": False, "untrusted_reason": "AUC 0.5"})
    measure = before.measures[0].model_copy(update={"info": info})
    report = checked(before.model_copy(update={"measures": (measure,)}), before, MeasureCheck(measure="scripted"))
    assert report.exit_status == 2 and "AUC 0.5" in only(report).reason


def test_a_training_that_broke_off_fails() -> None:
    from harness.records.plan import FailedVariant

    failure = FailedVariant(variant="m/alpaca/full/mask-prompt#2", stage="train", reason="the loss is not finite")
    report = checked(candidate(0).model_copy(update={"failed": (failure,)}), three_seeds())
    assert report.exit_status == 1 and "could not be trained" in report.answer
    assert "not finite" in report.checks[0].reason


# ---------------------------------------------------------------- baselines age


def test_changed_instruments_refuse_with_the_exact_difference() -> None:
    before = three_seeds()
    info = METRIC.model_copy(update={"signature": METRIC.signature.replace("stemmer:yes", "stemmer:no")})
    now = candidate(0).model_copy(update={"measures": (before.measures[0].model_copy(update={"info": info}),)})
    report = checked(now, before)
    assert report.exit_status == 2
    assert only(report).reason == "rougeL signature changed: stemmer on → off"


def test_changed_items_refuse_every_measure() -> None:
    before = three_seeds()
    now = candidate(0)
    now = now.model_copy(update={"items": ("f" * 12, *now.items[1:])})
    report = checked(now, before)
    assert report.exit_status == 2
    said = f"test items changed: 1 gone ({0:012x}), 1 new (ffffffffffff); 99 of 100 are left"
    assert only(report).reason == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_identity": "scripted:2"}, "judge scripted: model content changed: scripted:1 → scripted:2"),
        ({"model": "big", "model_identity": "x"}, "judge scripted: model changed: scripted m → scripted big"),
        ({"rubric": "book-100", "prompt_sha256": "e" * 64}, "rubric changed: correctness-5 → book-100"),
        ({"prompt_sha256": "e" * 64}, "the text of rubric correctness-5 changed: aaaaaaaa → eeeeeeee"),
        ({"parser_sha256": "e" * 64}, "how replies are read changed"),
        ({"options": {"temperature": 1}}, "options.temperature: none → 1"),
        ({"items": 20}, "items: none → 20"),
    ],
)
def test_a_changed_judge_is_another_instrument(change: dict[str, object], said: str) -> None:
    before = snapshot([variant(1, {"scripted": scores(1)})])
    [found] = drift(before, before.model_copy(update={"judges": (TERMS.model_copy(update=change),)}))
    assert said in found.text
    assert found.touches("scripted") and not found.touches("rougeL")


def test_saving_updating_and_reading_a_baseline(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "main.json"
    before = three_seeds()
    saved = save(path, "main", before, "2026-11-21T10:00:00+00:00")
    assert load(path) == saved
    assert json.loads(path.read_text())["version"] == 1
    assert max(len(line) for line in path.read_text().splitlines()) < 12_000
    with pytest.raises(HarnessError, match="already"):
        save(path, "main", before, "2026-11-21T10:00:00+00:00")
    now = candidate(0).model_copy(update={"matrix_yaml": before.matrix_yaml.replace("1.0e-3", "2.0e-3")})
    with pytest.raises(HarnessError, match="no reason"):
        update(path, now, "  ", "2026-11-22T10:00:00+00:00")
    update(path, now, "a better recipe", "2026-11-22T10:00:00+00:00")
    last = load(path).history[-1]
    assert (last.reason, last.changes) == ("a better recipe", ("train.lr: 0.001 → 0.002",))
    assert len(load(path).history) == 2
    path.write_text("{}")
    with pytest.raises(HarnessError, match="not a baseline"):
        load(path)


def test_a_baseline_that_a_merge_tore_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "main.json"
    save(path, "main", three_seeds(), "2026-11-21T10:00:00+00:00")
    whole = json.loads(path.read_text())
    del whole["snapshot"]["variants"][1]["scores"]["rougeL"][-5:]
    path.write_text(json.dumps(whole))
    with pytest.raises(HarnessError, match="mask-prompt#2 has 95 rougeL for 100 items"):
        load(path)
    whole["snapshot"]["variants"][1] = whole["snapshot"]["variants"][0]
    path.write_text(json.dumps(whole))
    with pytest.raises(HarnessError, match="#1 is there twice"):
        load(path)


# ---------------------------------------------------------------- policies and cells


def test_a_place_that_takes_no_baseline_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(StoreError, match="a file stands where a folder is needed") as caught:
        save(tmp_path / "mine.txt" / "main.json", "main", three_seeds(), "2026-01-01T00:00:00+00:00")
    assert caught.value.hint == "name another file with --file"


def test_a_baseline_of_a_matrix_that_no_longer_parses_can_still_be_checked_against() -> None:
    before = three_seeds().model_copy(update={"matrix_yaml": "name: old\nengine: gone\n"})
    report = checked(candidate(12), before)
    assert report.exit_status == 1 and "another version" in report.changed[0]


def test_a_policy_is_checked_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("checks:\n  - {measure: rougeL, teir: critical}\n")
    with pytest.raises(SpecError, match=r"policy.yaml:2: checks\[0\].teir: unknown key; did you mean 'tier'"):
        load_policy(path)
    path.write_text("budgets: [{what: stop_rate}]\n")
    with pytest.raises(SpecError, match="at_most"):
        load_policy(path)
    with pytest.raises(HarnessError, match="did you mean 'rougeL'"):
        checked(candidate(0), three_seeds(), MeasureCheck(measure="rouge"))
    with pytest.raises(HarnessError, match="write 40"):
        checked(candidate(0), three_seeds(), MeasureCheck(measure="rougeL", floor=0.4))
