"""From rows to the Result: alignment, seeds, scopes, unscored judgments, corpus measures, and the answer in words."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sacrebleu.metrics import BLEU
from scipy import stats

from harness.compare import CompareInputs, CompareSettings, VariantScores, compare
from harness.errors import HarnessError
from harness.metrics import Item, ItemScore, load_metric
from harness.metrics.scoring import score
from harness.records.base import canonical_json
from harness.records.plan import FailedVariant
from harness.records.result import (
    CellScore,
    Comparison,
    FactorEffect,
    Interval,
    MeasureInfo,
    ProbeResult,
    Result,
    TrustReport,
)
from harness.records.rows import Failed, Judgment, MetricRow, NoMetricRow, Refused, Scored, Unparsed
from harness.records.variant import Cell, Masking, Method, Variant
from harness.sequential import Sequential
from harness.words import decimals, number, p_words

# Garbage of other tests may be collected while one of these runs: a socket left open is not theirs.
pytestmark = pytest.mark.filterwarnings("error", "ignore::ResourceWarning")

Scores = npt.NDArray[np.float64]
ROUGE = MeasureInfo(
    name="rougeL", label="ROUGE-L", kind="metric", unit="0–100", corpus=False, signature="r", primary=True
)
JUDGE = MeasureInfo(name="j", label="judge j", kind="judge", unit="0–100", corpus=False, signature="j")
BLEU_INFO = MeasureInfo(name="bleu", label="BLEU", kind="metric", unit="0–100", corpus=True, signature="b")


def variant(
    style: str = "alpaca", method: Method = "full", masking: Masking | None = "prompt", seed: int | None = 0
) -> Variant:
    untuned = method == "none"
    return Variant(
        model="m",
        prompt_style=style,
        method=method,
        masking=None if untuned else masking,
        seed=None if untuned else seed,
    )


def rows(values: Sequence[float] | Scores) -> list[MetricRow]:
    return [MetricRow(example_id=f"e{i:03}", sample=0, value=float(value)) for i, value in enumerate(values)]


def scored(who: Variant, values: Sequence[float] | Scores, measure: str = "rougeL") -> VariantScores:
    return VariantScores(who, {measure: rows(values)})


def make_inputs(*variants: VariantScores, measures: tuple[MeasureInfo, ...] = (ROUGE,)) -> CompareInputs:
    return CompareInputs(
        "matrix", "digest", "data", 60, measures, variants, settings=CompareSettings(permutations=2000)
    )


def quick_matrix(
    seeds: Sequence[int] = (1, 2), alpaca: float = 6.0, trained: float = 15.0, items: int = 80
) -> tuple[VariantScores, ...]:
    """2 styles × (untuned + 2 maskings × seeds); styles and training differ by known points, maskings do not."""
    draw = np.random.default_rng(3)
    base = draw.normal(45, 12, items)
    found = []
    for style, gain in (("alpaca", alpaca), ("phi", 0.0)):
        # The untuned model does better with phi: not what one learns about training with a style.
        found.append(scored(variant(style, "none"), base + draw.normal(0, 5, items) - gain))
        for masking in ("none", "prompt"):
            for seed in seeds:
                noise = draw.normal(0, 5, items) + draw.normal(0, 0.5)
                found.append(scored(variant(style, "full", masking, seed), base + trained + gain + noise))
    return tuple(found)


def effect(result: Result, axis: str, measure: str = "rougeL") -> FactorEffect:
    return next(e for e in result.effects if e.axis == axis and e.measure == measure)


def pair(result: Result, measure: str = "rougeL") -> Comparison:
    return next(c for c in result.comparisons if c.measure == measure)


def cell_score(result: Result, cell: Cell, measure: str = "rougeL") -> CellScore:
    row = next(row for row in result.rows if row.cell == cell)
    return next(score for score in row.scores if score.measure == measure)


# ---------------------------------------------------------------- the whole matrix


def test_known_effects_are_found() -> None:
    result = compare(make_inputs(*quick_matrix()))
    style, masking, method = (effect(result, axis).comparison for axis in ("prompt_style", "masking", "method"))
    assert (style.a, style.b, style.verdict, style.scope) == ("alpaca", "phi", "better", "recipe")
    assert style.interval is not None and style.interval.low < 6 < style.interval.high
    assert effect(result, "prompt_style").pairs == 2, "untuned cells are left out where there are trained ones"
    assert masking.verdict == "not shown" and masking.p_adjusted is not None and masking.p_adjusted > 0.05
    assert (method.a, method.b, method.verdict) == ("none", "full", "worse")
    assert method.seeds_a == 0 and method.seeds_b == 2
    # alpaca 15 + 2 · 6, phi 15
    assert method.delta == pytest.approx(-21, abs=1.5)
    assert effect(result, "method").pairs == 4


def test_board_is_best_first_and_complete() -> None:
    result = compare(make_inputs(*quick_matrix()))
    means = [row.scores[0].mean for row in result.rows]
    assert means == sorted(means, key=lambda mean: -(mean or 0))
    assert len(result.comparisons) == 15 and len(result.rows) == 6
    assert all("Holm over 15 pairs" in c.family for c in result.comparisons)
    assert all("Holm over 3 effects" in e.comparison.family for e in result.effects)
    assert result.baseline == "m/alpaca/untuned"
    best = result.rows[0].scores[0]
    assert (best.rank_low, best.rank_high) == (1, 2)
    assert best.interval_scope == "recipe" and len(best.per_seed) == 2
    assert result.rows[-1].scores[0].interval_scope == "checkpoint"
    assert result.rows[-1].seeds == ()


def test_p_adjusted_is_holm_over_the_measures_pairs() -> None:
    from statistics import fmean

    result = compare(make_inputs(*quick_matrix()))
    p = sorted((c.p, c.p_adjusted) for c in result.comparisons if c.p is not None and c.p_adjusted is not None)
    running = 0.0
    for rank, (raw, adjusted) in enumerate(p):
        running = max(running, min(1.0, raw * (len(p) - rank)))
        assert adjusted == pytest.approx(running)
    assert fmean(adjusted - raw for raw, adjusted in p) > 0


def test_order_of_rows_and_variants_does_not_matter() -> None:
    """Judgments with repeats included; the baseline alone follows the variants' order, so it is named."""
    shuffle = random.Random(0)
    variants = [
        VariantScores(each.variant, each.metrics, {"j": judgments(each.metrics["rougeL"], repeats=3)})
        for each in quick_matrix(items=60)
    ]
    settings = CompareSettings(permutations=1000, baseline="m/phi/untuned")
    given = replace(make_inputs(*variants, measures=(ROUGE, JUDGE)), settings=settings)
    mixed = [
        VariantScores(
            each.variant,
            {"rougeL": shuffle.sample(list(each.metrics["rougeL"]), 60)},
            {"j": shuffle.sample(list(each.judgments["j"]), 180)},
        )
        for each in variants
    ]
    shuffle.shuffle(mixed)
    first, second = compare(given), compare(replace(given, variants=tuple(mixed)))
    key: Callable[[FactorEffect], str] = lambda e: e.axis + e.measure  # noqa: E731
    assert first.rows == second.rows and first.comparisons == second.comparisons
    assert [abs(e.comparison.delta) for e in sorted(first.effects, key=key)] == pytest.approx(
        [abs(e.comparison.delta) for e in sorted(second.effects, key=key)], rel=1e-12
    )


def test_same_inputs_same_digits() -> None:
    given = make_inputs(*quick_matrix())
    assert canonical_json(compare(given)) == canonical_json(compare(given))


# ---------------------------------------------------------------- scopes


def two_cells(first: Scores, second: Scores) -> CompareInputs:
    """Cells alpaca and phi, one variant for each row of (S, n) scores."""
    variants = [scored(variant("alpaca", seed=s), row) for s, row in enumerate(first)]
    return make_inputs(*variants, *(scored(variant("phi", seed=s), row) for s, row in enumerate(second)))


def test_one_seed_speaks_of_checkpoints_and_gives_the_tipping_point() -> None:
    draw = np.random.default_rng(5)
    base = draw.normal(50, 10, 60)
    result = compare(two_cells((base + 4 + draw.normal(0, 5, 60))[None], (base + draw.normal(0, 5, 60))[None]))
    found = pair(result)
    assert found.scope == "checkpoint" and found.verdict == "better"
    assert found.tipping_point is not None and found.tipping_point > 0
    assert [test.name for test in found.tests] == [
        "crossed t (checkpoint)", "sign-flip permutation", "percentile bootstrap", "BCa bootstrap",
        "Wilcoxon signed-rank",
    ]  # fmt: skip
    assert any("these checkpoints only" in warning for warning in result.warnings)
    assert "holds for the recipe unless seeds vary by more than" in result.answer[0]


def test_seeds_are_folded_within_items() -> None:
    draw = np.random.default_rng(6)
    first, second = draw.normal(55, 10, (3, 60)), draw.normal(50, 10, (2, 60))
    found = pair(compare(two_cells(first, second)))
    checkpoint = next(test for test in found.tests if test.name == "crossed t (checkpoint)")
    expected = stats.ttest_rel(first.mean(axis=0), second.mean(axis=0))
    assert (checkpoint.statistic, checkpoint.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.seeds_a, found.seeds_b, found.n_items, found.scope) == (3, 2, 60, "recipe")
    assert found.effect_size == pytest.approx(found.delta / (first.mean(axis=0) - second.mean(axis=0)).std(ddof=1))
    assert found.wins + found.ties + found.losses == 60


def test_seed_luck_is_not_a_recipe_effect() -> None:
    """Seeds 10 points apart: any two checkpoints differ for sure, the recipes do not."""
    draw = np.random.default_rng(7)
    base = draw.normal(50, 5, 100)
    shifts = np.array([[0.0, 10.0], [5.0, 15.0]])
    first, second = (base + shift[:, None] + draw.normal(0, 2, (2, 100)) for shift in shifts)
    found = pair(compare(two_cells(second, first)))
    recipe, checkpoint, flip = found.tests[:3]
    assert flip.p is not None and checkpoint.p is not None and recipe.p is not None
    assert found.verdict == "not shown" and recipe.p > 0.2
    assert checkpoint.p < 1e-6 and flip.p < 0.001
    assert found.p == recipe.p


def test_samples_are_averaged_and_never_counted_as_items() -> None:
    draw = np.random.default_rng(8)
    values = draw.normal(50, 10, (2, 3, 40))
    variants = []
    for style, cell in zip(("alpaca", "phi"), values, strict=True):
        metric_rows = [
            MetricRow(example_id=f"e{i}", sample=s, value=float(cell[s, i])) for s in range(3) for i in range(40)
        ]
        variants.append(VariantScores(variant(style), {"rougeL": metric_rows}))
    found = pair(compare(make_inputs(*variants)))
    assert found.n_items == 40
    assert abs(found.delta) == pytest.approx(abs(values[0].mean() - values[1].mean()))


def test_lower_is_better() -> None:
    info = ROUGE.model_copy(update={"higher_is_better": False})
    draw = np.random.default_rng(9)
    base = draw.normal(50, 5, 60)
    variants = scored(variant("alpaca"), base + 9), scored(variant("phi"), base + draw.normal(0, 3, 60))
    result = compare(make_inputs(*variants, measures=(info,)))
    assert result.rows[0].cell.prompt_style == "phi"
    found = pair(result)
    assert (found.a, found.verdict) == ("m/phi/full/mask-prompt", "better") and found.delta < 0
    assert found.wins > found.losses
    assert result.answer[0].startswith("Prompt style: phi beats alpaca by 8.5 ROUGE-L points (95 % CI ")
    assert "Lowest ROUGE-L: m/phi" in result.answer[1]


# ---------------------------------------------------------------- degenerate scores


def test_identical_systems() -> None:
    values = np.random.default_rng(1).normal(50, 10, (1, 60))
    found = pair(compare(two_cells(values, values)))
    assert (found.verdict, found.p, found.p_adjusted, found.ties) == ("identical", 1.0, 1.0, 60)
    assert found.interval is None and found.mde is None and [test.p for test in found.tests] == [1.0]


def test_constant_difference_is_decided_by_permutation() -> None:
    """A small tool reports p = 1 for a constant +5, another p = 0."""
    values = np.random.default_rng(1).normal(50, 10, (1, 60))
    found = pair(compare(two_cells(values + 5, values)))
    assert found.p == pytest.approx(1 / 2001)
    assert found.verdict == "better" and "same amount" in found.note and found.interval is None


@pytest.mark.parametrize(("items", "verdict"), [(1, "too few items"), (2, "not shown")])
def test_few_items(items: int, verdict: str) -> None:
    draw = np.random.default_rng(2)
    result = compare(two_cells(draw.normal(50, 9, (1, items)), draw.normal(40, 9, (1, items))))
    assert pair(result).verdict == verdict
    assert any("below 50" in warning for warning in result.warnings)


def test_few_items_widen_the_interval_or_leave_it_out() -> None:
    """30 items that all gain a little: the item in 15 that would lose 60 points may just not have been drawn."""
    draw = np.random.default_rng(4)
    base = draw.normal(50, 5, (1, 30))
    given = two_cells(base + 4 + draw.normal(0, 1, (1, 30)), base)
    found = pair(compare(given))
    reach = 100 * stats.binomtest(0, 30).proportion_ci(0.95, "exact").high
    t = found.tests[0]
    assert t.p is not None and t.p < 1e-6 and not t.holds and "fewer than 50 items" in t.assumes
    assert found.verdict == "too few items" and f"{reach:.1f} points wider at each end" in found.note
    assert t.interval is not None and found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((t.interval.low - reach, t.interval.high + reach))
    endless = replace(given, measures=(ROUGE.model_copy(update={"unit": "0–100+"}),))
    assert pair(compare(endless)).interval is None and "no interval is given" in pair(compare(endless)).note


def test_methods_that_do_not_hold_for_skewed_differences_say_so() -> None:
    draw = np.random.default_rng(5)
    base = draw.normal(60, 5, (1, 120))
    rare = np.where(np.arange(120) % 15 == 0, -56.0, 4.0)
    found = pair(compare(two_cells(base + rare + draw.normal(0, 1, 120), base)))
    assert found.method == "bootstrap-t"
    believed = [test.name for test in found.tests if test.holds]
    assert believed == ["bootstrap-t (checkpoint)", "BCa bootstrap"]
    assert all("skewed" in test.assumes for test in found.tests if not test.holds)


# ---------------------------------------------------------------- judging until it is decided


def stopped_judge(seen: int, gap: float) -> CompareInputs:
    """Two cells with 200 items, of the second of which a judge was asked about the first `seen` in its order."""
    draw = np.random.default_rng(6)
    order = [f"e{i:03}" for i in draw.permutation(200)]
    values = dict(zip(order, draw.normal(50, 10, 200), strict=True))
    first = [Scored(example_id=item, sample=0, repeat=0, value=value) for item, value in sorted(values.items())]
    second = [
        Scored(example_id=item, sample=0, repeat=0, value=values[item] + gap + float(draw.normal(0, 8)))
        for item in order[:seen]
    ]
    given = make_inputs(
        VariantScores(variant("alpaca"), judgments={"j": first}),
        VariantScores(variant("phi"), judgments={"j": second}),
        measures=(JUDGE,),
    )
    return replace(given, sequential={"j": Sequential(tuple(order), 0.05, 200 + seen, 200 - seen)})


def test_a_judge_that_stopped_is_read_by_the_one_test_that_allows_it() -> None:
    result = compare(stopped_judge(60, 15))
    found = pair(result, "j")
    assert (found.method, found.scope, found.n_items) == ("betting", "checkpoint", 60)
    assert [test.name for test in found.tests] == ["betting (checkpoint)"] and found.tests[0].holds
    assert found.verdict in ("better", "worse") and found.mde is None and found.tipping_point is None
    assert found.until_decided is not None and found.until_decided.fixed_half_width is not None
    assert found.until_decided.half_width > found.until_decided.fixed_half_width
    cut = next(row.scores[0] for row in result.rows if row.cell.prompt_style == "phi")
    assert (cut.n_items, cut.unscored, cut.worst) == (60, 0, None), "nobody was asked: that is no lost answer"
    assert [(each.reason, each.responses) for each in cut.left_out] == [("decided", 140)]
    assert result.variances == () and "140 of 400 questions were spared" in " ".join(result.warnings)
    assert "judged until it was decided, on 60 of 200 items" in found.note


@pytest.mark.parametrize("seen", [0, 1, 2, 20])
def test_a_judge_that_stopped_at_once(seen: int) -> None:
    found = [c for c in compare(stopped_judge(seen, 0)).comparisons if c.measure == "j"]
    assert all(c.verdict in ("too few items", "not shown") for c in found)


# ---------------------------------------------------------------- curves


def test_a_continuous_axis_gets_a_curve_with_a_band() -> None:
    draw = np.random.default_rng(7)
    base = draw.normal(50, 10, 80)
    variants = []
    for style, gain in (("alpaca", 3.0), ("phi", 0.0)):
        for weight in (0.0, 0.1, 0.3, 1.0):
            for seed in (1, 2):
                masked = {"prompt_loss_weight": weight} if weight < 1 else {"masking": "none"}  # which is weight 1
                who = variant(style, seed=seed).model_copy(update=masked)
                noise = draw.normal(0, 4, 80) + draw.normal(0, 0.3)
                variants.append(scored(who, base + gain + 8 * weight - 9 * weight**2 + noise))
    (curve,) = compare(make_inputs(*variants)).curves
    assert (curve.axis, curve.degree, curve.scope) == ("prompt_loss_weight", 2, "recipe")
    assert [point.x for point in curve.levels] == [0.0, 0.1, 0.3, 1.0] and len(curve.fitted) == 21
    assert curve.p_bend is not None and curve.p_bend < 0.01 < (curve.p_slope or 0)
    for point in curve.fitted[1:]:
        truth = 8 * point.x - 9 * point.x**2
        assert point.interval is not None and point.interval.low < truth < point.interval.high
    assert compare(make_inputs(*quick_matrix())).curves == ()


def test_a_learning_rate_s_curve_is_in_its_logarithm_and_an_untuned_model_is_not_on_it() -> None:
    draw = np.random.default_rng(8)
    base = draw.normal(50, 10, 80)

    def truth(rate: float) -> float:
        return 6 - 4 * np.log10(rate / 1e-4) ** 2

    variants = [scored(variant("alpaca", method="none"), base - 9)]
    for rate in (1e-5, 1e-4, 2e-4, 1e-3):
        for seed in (1, 2):
            who = variant("alpaca", seed=seed).model_copy(update={"lr": rate})
            variants.append(scored(who, base + truth(rate) + draw.normal(0, 4, 80) + draw.normal(0, 0.3)))
    result = compare(make_inputs(*variants))
    (curve,) = result.curves
    assert (curve.axis, curve.log) == ("lr", True)
    assert [point.x for point in curve.levels] == [1e-5, 1e-4, 2e-4, 1e-3]
    assert curve.fitted[10].x == pytest.approx(1e-4)
    assert curve.p_bend is not None and curve.p_bend < 0.01
    for point in curve.fitted[1:]:
        expected = truth(point.x) - truth(1e-5)
        assert point.interval is not None and point.interval.low < expected < point.interval.high
    tuned = [e for e in result.effects if e.axis == "method"]
    assert [{e.a, e.b} for e in tuned] == [{"none", "full"}], "all rates against the untuned model"
    assert {"1e-05", "0.0001", "0.0002", "0.001"} == {x for e in result.effects if e.axis == "lr" for x in (e.a, e.b)}


def test_constant_scores_get_exact_intervals() -> None:
    result = compare(two_cells(np.zeros((1, 60)), np.full((1, 60), 100.0)))
    best, worst = (row.scores[0] for row in result.rows)
    assert best.interval is not None and worst.interval is not None
    assert (best.interval.high, worst.interval.low) == (100.0, 0.0)
    assert worst.interval.high == pytest.approx(100 * stats.binomtest(0, 60).proportion_ci(0.95, "exact").high)
    assert cell_score(compare(two_cells(np.full((1, 60), 40.0), np.zeros((1, 60)))), variant().cell).interval is None


def test_interval_stays_on_the_scale() -> None:
    few = np.zeros((1, 60))
    few[0, 0] = 100
    few[0, 1] = 50
    interval = cell_score(compare(two_cells(few, np.zeros((1, 60)))), variant("alpaca").cell).interval
    assert interval is not None and interval.low == 0


def test_one_run_of_passes_and_fails_gets_wilsons_interval_and_mcnemars_test() -> None:
    """scipy's binomtest(2, 60).proportion_ci(method="wilson"); statsmodels' mcnemar with 9 and 2 apart: 0.0654297."""
    first, second = np.zeros((1, 60)), np.zeros((1, 60))
    first[0, :9], second[0, 9:11] = 100, 100
    result = compare(two_cells(first, second))
    interval = cell_score(result, variant("phi").cell).interval
    expected = stats.binomtest(2, 60).proportion_ci(0.95, "wilson")
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert next(test.p for test in pair(result).tests if test.name == "McNemar") == pytest.approx(0.0654297, abs=1e-7)


def test_nothing_to_compare() -> None:
    with pytest.raises(HarnessError, match="nothing to compare"):
        compare(make_inputs())
    alone = compare(make_inputs(scored(variant(), np.arange(60.0))))
    assert alone.comparisons == () and alone.effects == ()
    assert alone.answer == ("Highest ROUGE-L: m/alpaca/full/mask-prompt with 29.5 (95 % CI 25.0 to 34.0).",)


def test_bad_requests_are_refused() -> None:
    given = two_cells(np.ones((1, 5)), np.ones((1, 5)))
    with pytest.raises(HarnessError, match="no cell of this matrix"):
        compare(replace(given, settings=CompareSettings(baseline="m/zephyr")))
    with pytest.raises(HarnessError, match="was not measured"):
        compare(replace(given, settings=CompareSettings(primary="bleu")))
    with pytest.raises(HarnessError, match="there twice"):
        compare(replace(given, variants=given.variants[:1] * 2))
    double = VariantScores(variant("zephyr"), {"rougeL": [*rows([1.0]), *rows([2.0])]})
    with pytest.raises(HarnessError, match="two rows for example e000"):
        compare(replace(given, variants=(double,)))


def test_failed_baseline_and_failed_variants_are_named() -> None:
    given = two_cells(np.ones((1, 60)), np.ones((1, 60)))
    failed = FailedVariant(variant="m/phi/lora/mask-none#1", stage="train", reason="the loss is not finite.")
    result = compare(
        replace(given, failed=(failed,), settings=CompareSettings(baseline="m/phi/lora/mask-none", permutations=1000))
    )
    assert result.baseline == "m/alpaca/full/mask-prompt"
    assert "m/phi/lora/mask-none failed" in result.warnings[0]
    assert result.answer[-1] == "m/phi/lora/mask-none#1 failed in stage train: the loss is not finite."


def test_levels_that_never_meet_are_named() -> None:
    result = compare(
        make_inputs(
            scored(variant("alpaca", masking="none"), np.arange(60.0)),
            scored(variant("phi", masking="prompt"), np.arange(60.0) + 1),
        )
    )
    assert result.effects == ()
    assert any("masking: none and prompt never meet" in warning for warning in result.warnings)


# ---------------------------------------------------------------- judges


def judgments(metric_rows: Sequence[MetricRow], repeats: int = 1) -> list[Judgment]:
    return [
        Scored(example_id=row.example_id, sample=row.sample, repeat=r, value=row.value + r)
        for row in metric_rows
        for r in range(repeats)
    ]


def unscored(example: int, kind: type[Unparsed] | type[Refused] | type[Failed], repeat: int = 0) -> Judgment:
    return kind(example_id=f"e{example:03}", sample=0, repeat=repeat, reason="x")


def judged(who: Variant, *given: Judgment) -> VariantScores:
    return VariantScores(who, {}, {"j": given})


def test_unscored_judgments_are_left_out_by_pair_and_counted_by_side() -> None:
    draw = np.random.default_rng(4)
    first, second = draw.normal(60, 10, 60), draw.normal(50, 10, 60)
    lost_a, lost_b = [0, 1, 2], [2, 3]
    alpaca = [*judgments(rows(first))[3:], *(unscored(i, Unparsed) for i in lost_a)]
    phi = [judgments(rows(second))[i] for i in range(60) if i not in lost_b]
    phi += [unscored(2, Refused), unscored(3, Failed)]
    result = compare(make_inputs(judged(variant("alpaca"), *alpaca), judged(variant("phi"), *phi), measures=(JUDGE,)))
    keep = [i for i in range(60) if i not in lost_a + lost_b]
    found = pair(result, "j")
    expected = stats.ttest_rel(first[keep], second[keep])
    assert (found.n_items, found.p) == (56, pytest.approx(expected.pvalue))
    assert (found.mean_a, found.mean_b) == pytest.approx((first[keep].mean(), second[keep].mean()))
    sides = [cell_score(result, variant(style).cell, "j") for style in ("alpaca", "phi")]
    assert [(side.n_items, side.unscored) for side in sides] == [(57, 3), (58, 2)]
    assert sides[0].mean == pytest.approx(first[3:].mean())
    assert any("5 of 120 responses have no score" in warning for warning in result.warnings)


def test_repeats_are_averaged_first() -> None:
    """One repeat of an item lost: the item keeps the mean of the others."""
    given = judgments(rows([10.0, 20.0, 30.0]), repeats=2)  # repeats add 0 and 1
    alpaca = [*given[1:], unscored(0, Unparsed)]  # item 0 keeps 11
    result = compare(make_inputs(judged(variant("alpaca"), *alpaca), judged(variant("phi"), *given), measures=(JUDGE,)))
    side = cell_score(result, variant("alpaca").cell, "j")
    assert side.mean == pytest.approx((11 + 20.5 + 30.5) / 3) and side.unscored == 0 and side.n_items == 3


def test_seed_without_a_score_leaves_the_item_to_the_other_seed() -> None:
    one, two = judgments(rows([10.0, 20.0])), [unscored(0, Unparsed), judgments(rows([0.0, 40.0]))[1]]
    result = compare(make_inputs(judged(variant(seed=1), *one), judged(variant(seed=2), *two), measures=(JUDGE,)))
    side = result.rows[0].scores[0]
    assert side.mean == pytest.approx((10 + 30) / 2)
    assert (side.per_seed, side.n_items, side.unscored) == ((15.0, 40.0), 2, 1)


def test_cell_without_any_score() -> None:
    nothing = [unscored(i, Unparsed) for i in range(60)]
    full = judgments(rows(np.arange(60.0)))
    result = compare(make_inputs(judged(variant("alpaca"), *nothing), judged(variant("phi"), *full), measures=(JUDGE,)))
    assert result.rows[0].cell.prompt_style == "phi"
    empty = result.rows[1].scores[0]
    assert (empty.mean, empty.interval, empty.rank_low, empty.n_items, empty.unscored) == (None, None, None, 0, 60)
    assert result.comparisons == () and result.effects == ()


def test_disjoint_items_are_not_compared() -> None:
    scores = judgments(rows(np.arange(60.0)))
    alpaca = [*scores[:30], *(unscored(i, Unparsed) for i in range(30, 60))]
    phi = [*scores[30:], *(unscored(i, Unparsed) for i in range(30))]
    result = compare(make_inputs(judged(variant("alpaca"), *alpaca), judged(variant("phi"), *phi), measures=(JUDGE,)))
    assert result.comparisons == ()
    assert any("no scored item in common" in warning for warning in result.warnings)


def trust(trusted: bool) -> TrustReport:
    probe = ProbeResult(probe="reference", n=20, mean=50.0, unscored=0)
    return TrustReport(
        judge="j", trusted=trusted, reason="it cannot tell the reference from another answer (AUC 0.50).",
        probes=(probe,), auc_other_reference=0.5, auc_empty=0.5, interval_other_reference=None, interval_empty=None,
        threshold=0.8,
    )  # fmt: skip


def with_judge(trusted: bool, primary: str, **given_settings: Any) -> Result:
    variants = tuple(
        VariantScores(each.variant, each.metrics, {"j": judgments(each.metrics["rougeL"])}) for each in quick_matrix()
    )
    given = make_inputs(*variants, measures=(ROUGE, JUDGE))
    settings = CompareSettings(primary=primary, permutations=1000, **given_settings)
    return compare(replace(given, trust=(trust(trusted),), settings=settings))


def test_an_untrusted_judge_ranks_where_the_matrix_says_so_and_stays_marked() -> None:
    result = with_judge(False, "j", rank_untrusted=True)
    assert result.primary == "j"
    assert [info.trusted for info in result.measures] == [True, False]
    assert all(row.scores[1].rank_low is not None for row in result.rows)
    assert "is not trusted and ranks all the same" in " ".join(result.answer)
    assert {table.measure for table in result.variances} == {"rougeL", "j"}


def test_untrusted_judge_is_shown_but_neither_ranks_nor_answers() -> None:
    result = with_judge(False, "j")
    assert result.primary == "rougeL" and [info.primary for info in result.measures] == [True, False]
    assert "j is not trusted and cannot decide" in result.warnings[0]
    for row in result.rows:
        metric, judge = row.scores
        assert metric.rank_low is not None and judge.rank_low is None and judge.mean is not None
    assert result.answer[-1] == (
        "Judge j is not trusted and left out: it cannot tell the reference from another answer (AUC 0.50)."
    )
    assert all("judge j" not in sentence for sentence in result.answer[:-1])


def test_a_margin_is_in_points_of_the_measure_that_was_to_decide() -> None:
    result = with_judge(False, "j", margin=0.2, seed_sd=0.1)
    assert result.primary == "rougeL" and {each.margin for each in result.comparisons} == {None}
    assert {each.margin for each in with_judge(True, "j", margin=0.2).comparisons if each.measure == "j"} == {0.2}
    assert "margin and seed_sd are in points of j and are not used for rougeL" in result.warnings


def test_trusted_judge_can_be_primary() -> None:
    result = with_judge(True, "j")
    assert result.primary == "j" and all("judge j points" in s for s in result.answer[:2])


# ---------------------------------------------------------------- corpus measures


def bleu_rows(texts: Sequence[str], references: Sequence[str]) -> list[MetricRow]:
    items = [Item(text, (own,)) for text, own in zip(texts, references, strict=True)]
    return [
        MetricRow(example_id=f"e{i}", sample=0, value=outcome.value, counts=outcome.counts)
        for i, outcome in enumerate(score(load_metric("bleu"), items).outcomes)
        if isinstance(outcome, ItemScore)
    ]


def corpus_inputs() -> tuple[CompareInputs, dict[str, list[list[str]]], list[str]]:
    draw = random.Random(2)
    words = [f"w{i}" for i in range(40)]
    references = [" ".join(draw.choices(words, k=draw.randint(6, 14))) for _ in range(60)]

    def spoil(text: str, share: float) -> str:
        return " ".join(draw.choice(words) if draw.random() < share else word for word in text.split())

    texts = {
        style: [[spoil(text, share) for text in references] for _ in range(2)]
        for style, share in (("alpaca", 0.15), ("phi", 0.45))
    }
    variants = [
        VariantScores(variant(style, seed=s), {"bleu": bleu_rows(run, references)})
        for style, runs in texts.items()
        for s, run in enumerate(runs)
    ]
    return make_inputs(*variants, measures=(BLEU_INFO,)), texts, references


def test_corpus_measure() -> None:
    given, texts, references = corpus_inputs()
    result = compare(given)
    for style, runs in texts.items():
        score = cell_score(result, variant(style).cell, "bleu")
        expected = [BLEU().corpus_score(run, [references]).score for run in runs]
        assert score.per_seed == pytest.approx(expected) and score.mean == pytest.approx(np.mean(expected))
        assert score.interval is not None and score.interval.low < np.mean(expected) < score.interval.high
    found = pair(result, "bleu")
    assert found.verdict == "better" and found.scope == "recipe" and found.wins > 40
    assert [test.name for test in found.tests] == [
        "crossed t (recipe)",
        "crossed t (checkpoint)",
        "swap permutation",
    ] + ["percentile bootstrap"]
    assert found.tests[2].p == pytest.approx(1 / 2001)
    assert effect(result, "prompt_style", "bleu").comparison.delta == pytest.approx(found.delta)


@pytest.mark.parametrize(("noise", "lost", "doubted"), [(0.75, 0, False), (0.0, 8, True)])
def test_a_corpus_figures_t_is_doubted_for_the_corpus_own_skewness(noise: float, lost: int, doubted: bool) -> None:
    """Sentence BLEU is skewed in both: where few sentences have any, and where few are lost. BLEU only by the lost."""
    draw = random.Random(5)
    words = [f"w{i}" for i in range(40)]
    references = [" ".join(draw.choices(words, k=draw.randint(8, 14))) for _ in range(120)]
    sides, values = [], []
    for style, share in (("alpaca", noise), ("phi", max(noise - 0.05, 0))):
        texts = [" ".join("x" if draw.random() < share else word for word in text.split()) for text in references]
        if style == "phi":
            texts[:lost] = ["x " * 9] * lost
        sides.append(VariantScores(variant(style), {"bleu": bleu_rows(texts, references)}))
        values.append(np.array([row.value for row in sides[-1].metrics["bleu"] if isinstance(row, MetricRow)]))
    found = pair(compare(make_inputs(*sides, measures=(BLEU_INFO,))), "bleu")
    assert abs(stats.skew(values[0] - values[1])) > 1 and found.method == "crossed t"
    assert ("the t test may be too sure" in found.note) is doubted
    assert all(test.holds is not doubted for test in found.tests)


def test_no_common_item_is_not_no_scored_response() -> None:
    texts = [f"a b c d {i}" for i in range(4)]
    both = bleu_rows(texts, texts)
    lost = [NoMetricRow(example_id=row.example_id, sample=0, reason="x") for row in both]
    first = VariantScores(variant("alpaca"), {"bleu": [*both[:2], *lost[2:]]})
    second = VariantScores(variant("phi"), {"bleu": [*lost[:2], *both[2:]]})
    assert compare(make_inputs(first, second, measures=(BLEU_INFO,))).answer == (
        "No item has a score on BLEU in every cell.",
    )


def test_identical_corpora() -> None:
    given, _, _ = corpus_inputs()
    first = given.variants[0]
    result = compare(replace(given, variants=(first, VariantScores(variant("phi"), first.metrics))))
    assert pair(result, "bleu").verdict == "identical" and pair(result, "bleu").p == 1.0


# ---------------------------------------------------------------- the answer in words


def test_answer_in_words() -> None:
    answer = compare(make_inputs(*quick_matrix())).answer
    assert len(answer) == 4
    training, style, best, masking = answer
    assert training.startswith("Training (full) beats the untuned model by 2")
    assert style.startswith("Prompt style: alpaca beats phi by 6.")
    assert (
        "ROUGE-L points (95 % CI " in style and "after Holm over 3 effects; recipe scope: 2 seeds, 80 items)." in style
    )
    assert (
        best.startswith("Highest ROUGE-L: m/alpaca/full/mask-") and "ranks 1–2 cannot be told apart: m/alpaca" in best
    )
    assert masking.startswith("Masking: no difference shown between none and prompt (")
    assert "; this run could have seen " in masking and "points; recipe scope" in masking
    assert all("p = 0.000" not in sentence and "nan" not in sentence for sentence in answer)


@pytest.mark.parametrize(
    ("p", "words"), [(1e-300, "p < 0.001"), (0.00099, "p < 0.001"), (0.004, "p = 0.004"), (0.0496, "p = 0.0496"),
                     (0.0504, "p = 0.0504"),
                     (0.0999, "p = 0.100"), (0.71, "p = 0.71"), (1.0, "p = 1.00")],
)  # fmt: skip
def test_p_words(p: float, words: str) -> None:
    assert p_words(p) == words


def test_number_words() -> None:
    assert number(-1.94, 1) == "−1.9" and number(-0.04, 1) == "0.0" and number(3.06, 1) == "3.1"
    widths = (None, Interval(low=0, high=5), Interval(low=0, high=0.5), Interval(low=0, high=0.05))
    assert [decimals(interval) for interval in widths] == [1, 1, 2, 3]


# ---------------------------------------------------------------- cross-validation


def test_folds_are_pooled_into_the_seed_that_they_belong_to() -> None:
    """Two folds of a seed are compared as one variant that answered both: the figures are those without folds."""
    generator = np.random.default_rng(3)
    base = generator.normal(40, 10, 30)
    seeds = [base + generator.normal(4, 5, 30) for _ in range(2)]
    whole = [scored(variant(seed=s), values) for s, values in enumerate(seeds)]
    halves = [
        VariantScores(each.variant.model_copy(update={"fold": fold}), {"rougeL": each.metrics["rougeL"][fold - 1 :: 2]})
        for each in whole
        for fold in (1, 2)
    ]
    untuned = scored(variant(method="none"), base)
    plain, folded = (compare(make_inputs(untuned, *trained)) for trained in (whole, halves))
    assert folded.comparisons == plain.comparisons
    assert folded.rows == plain.rows and folded.rows[0].seeds == (0, 1)
    assert "pooled over 2 folds" in folded.warnings[0] and not any("fold" in text for text in plain.warnings)


def test_a_failed_fold_leaves_its_items_out_and_is_counted() -> None:
    values = np.random.default_rng(4).normal(40, 10, 30)
    one = VariantScores(variant().model_copy(update={"fold": 1}), {"rougeL": rows(values)[::2]})
    result = compare(make_inputs(scored(variant(method="none"), values - 3), one))
    cell = next(row for row in result.rows if row.cell.method == "full")
    assert cell.scores[0].unscored == 15 and cell.scores[0].n_items == 15
