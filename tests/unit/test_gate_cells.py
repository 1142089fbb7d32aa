"""Which cell is held against which, and what becomes of those without a counterpart."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.gate.report import Files, check
from harness.records.baseline import Snapshot, SnapshotVariant
from harness.records.check import CheckReport, CheckResult
from harness.records.plan import FailedVariant
from harness.records.policy import MeasureCheck, Policy
from harness.records.variant import Variant
from tests.snapshots import baseline, scores, snapshot, variant

ROUGE = MeasureCheck(measure="rougeL", tolerance=5)


def checked(now: Snapshot, before: Snapshot, **policy: object) -> CheckReport:
    rules = Policy.model_validate({"checks": (ROUGE,), **policy})
    return check(baseline(before), now, rules, Files("matrix.yaml", "baselines/main.json"))


def three_seeds() -> Snapshot:
    return snapshot([variant(seed, {"rougeL": scores(seed)}) for seed in (1, 2, 3)])


def candidate(seed: int = 11) -> Snapshot:
    return snapshot([variant(1, {"rougeL": scores(seed)}, digest="changed")])


def only(report: CheckReport) -> CheckResult:
    [found] = report.checks
    return found


def test_a_renamed_cell_is_held_against_the_only_trained_one() -> None:
    before = three_seeds()
    now = candidate()
    other = now.variants[0].variant.model_copy(update={"prompt_style": "phi"})
    now = now.model_copy(update={"variants": (now.variants[0].model_copy(update={"variant": other}),)})
    found = only(checked(now, before))
    assert (found.cell, found.baseline_cell) == ("m/phi/full/mask-prompt", "m/alpaca/full/mask-prompt")
    two = before.model_copy(update={"variants": (*before.variants, *candidate(seed=5).variants)})
    lora = two.variants[-1].variant.model_copy(update={"method": "lora"})
    two = two.model_copy(update={"variants": (*before.variants, two.variants[-1].model_copy(update={"variant": lora}))})
    with pytest.raises(HarnessError, match="has a counterpart"):
        checked(now, two)
    named = checked(now, two, cells={"phi": "lora"}, missing_cells="warn")
    assert only(named).baseline_cell == "m/alpaca/lora/mask-prompt"
    assert named.warnings[0] == "m/alpaca/full/mask-prompt of the baseline has no counterpart in the matrix"
    with pytest.raises(HarnessError, match="fits 2 cells"):
        checked(now, two, cells={"phi": "alpaca"})


def test_untuned_cells_of_both_sides_are_neither_new_nor_lost() -> None:
    untuned = variant(1, {"rougeL": scores(5, 100)})
    cell = Variant(model="m", prompt_style="alpaca", method="none", masking=None, seed=None)
    untuned = untuned.model_copy(update={"variant": cell})
    before = three_seeds()
    both = before.model_copy(update={"variants": (*before.variants, untuned)})
    assert [w for w in checked(both, both).warnings if "untuned" in w] == []
    assert "m/alpaca/untuned is new: the baseline has no such cell" in checked(both, before).warnings
    assert "m/alpaca/untuned of the baseline has no counterpart in the matrix" in checked(before, both).warnings


def styled(style: str, seed: int, fall: float = 0.0, digest: str = "") -> SnapshotVariant:
    """A variant of another cell."""
    made = variant(seed, {"rougeL": scores(seed, 100, fall)}, digest=digest or f"{style}-{seed}")
    return made.model_copy(update={"variant": made.variant.model_copy(update={"prompt_style": style})})


def test_a_cell_that_is_renamed_or_removed_is_no_pass() -> None:
    alpaca, phi = ([styled(style, seed) for seed in (1, 2, 3)] for style in ("alpaca", "phi"))
    before = snapshot([*alpaca, *phi])
    collapsed = [styled("chatml", seed, 30) for seed in (1, 2, 3)]
    for now in (snapshot([*alpaca, *collapsed]), snapshot(alpaca)):
        report = checked(now, before)
        assert (report.outcome, report.exit_status) == ("error", 2)
        assert report.checks[0].name == "cell m/phi/full/mask-prompt" and "`cells:`" in report.checks[0].reason
        assert checked(now, before, missing_cells="warn").exit_status == 0
    named = checked(snapshot([*alpaca, *collapsed]), before, cells={"chatml": "phi"})
    assert [(each.cell, each.outcome) for each in named.checks] == [
        ("m/chatml/full/mask-prompt", "regression"),
        ("m/alpaca/full/mask-prompt", "pass"),
    ]


def test_a_named_cell_that_could_not_be_trained_fails_as_such() -> None:
    failure = FailedVariant(variant="m/chatml/full/mask-prompt#1", stage="train", reason="the loss is not finite")
    alpaca, phi = ([styled(style, seed) for seed in (1, 2, 3)] for style in ("alpaca", "phi"))
    now = snapshot(alpaca, failed=(failure,))
    report = checked(now, snapshot([*alpaca, *phi]), cells={"chatml": "phi"})
    assert report.exit_status == 1 and report.checks[0].name == "training of m/chatml/full/mask-prompt"
    assert len(report.checks) == 2


def test_seeds_that_both_sides_share_are_known_once() -> None:
    """A cell of the baseline that stands unchanged in the candidate's matrix adds nothing to the test of another."""
    kept = [styled("alpaca", seed) for seed in (2, 3)]
    before = snapshot([styled("phi", 1), *kept])
    changed = styled("phi", 11, digest="changed")
    alone = only(checked(snapshot([changed]), before, missing_cells="warn"))
    tested, same = checked(snapshot([changed, *kept]), before).checks
    assert (tested.lower, tested.upper) == pytest.approx((alone.lower, alone.upper))
    assert tested.scope == "recipe" and "nothing changed" in same.reason
    more = [*kept, styled("alpaca", 4)]  # a seed was added: the baseline's own are among the candidate's
    known = only(checked(snapshot([changed]), snapshot([styled("phi", 1), *more]), missing_cells="warn"))
    added = checked(snapshot([changed, *more]), before).checks[0]
    assert (added.lower, added.upper) == pytest.approx((known.lower, known.upper))
    named = checked(snapshot([changed, *kept]), before, cells={"phi": "alpaca"}, missing_cells="warn").checks[0]
    assert named.lower is not None  # a cell that is there again is a side like any other
