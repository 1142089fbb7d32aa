"""Verdicts: equivalence, few items, skewed scores, clusters, families; and the errors of other tools."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from harness import board, contrast, finished
from harness.align import align, lay_out
from harness.board import Warned, said_once
from harness.compare import CompareInputs, VariantScores, compare
from harness.errors import HarnessError
from harness.finished import pick_pair, turned_round
from harness.ranking import strengths
from harness.records.result import Comparison, Result
from harness.records.rows import MetricRow
from harness.samplesize import pilot_spread
from harness.store import Store
from reports.significance import print_effects, print_pair, print_ranking
from tests.unit.test_compare import (
    JUDGE,
    ROUGE,
    Scores,
    cell_score,
    judged,
    judgments,
    make_inputs,
    pair,
    quick_matrix,
    rows,
    scored,
    trust,
    two_cells,
    unscored,
    variant,
)

# Garbage of other tests may be collected while one of these runs: a socket left open is not theirs.
pytestmark = pytest.mark.filterwarnings("error", "ignore::ResourceWarning")


def settled(given: CompareInputs, **settings: object) -> Result:
    return compare(replace(given, settings=replace(given.settings, **settings)))  # type: ignore[arg-type]


def of(result: Result, name: str) -> float | None:
    return next(test.p for test in pair(result).tests if test.name == name)


def noisy(items: int, gap: float, sd: float = 5.0, seed: int = 1) -> CompareInputs:
    draw = np.random.default_rng(seed)
    base = draw.normal(50, 10, (1, items))
    return two_cells(base + gap + draw.normal(0, sd, (1, items)), base)


# ---------------------------------------------------------------- equivalence


def test_equivalent_only_with_a_stated_margin() -> None:
    given = noisy(200, 0.2)
    assert pair(settled(given)).verdict == "not shown" and pair(settled(given)).p_equivalent is None
    found = pair(settled(given, margin=2.0))
    assert found.verdict == "equivalent" and found.margin == 2.0
    assert found.p_equivalent is not None and found.p_equivalent < 0.01
    answer = settled(given, margin=2.0).answer[-1]
    assert "alpaca and phi are equivalent within ±2 points (" in answer
    assert pair(settled(given, margin=0.3)).verdict == "not shown"


def test_a_difference_within_the_margin_is_still_better_and_says_so() -> None:
    found = pair(settled(noisy(400, 1.5), margin=4.0))
    assert found.verdict == "better" and "within ±4" in found.note


def test_not_worse_by_the_margin_is_statsmodels() -> None:
    """Non-inferiority is `ttest_1samp(d + m, 0, alternative="greater")`, both ways round."""
    given = noisy(120, -1.0)
    found = pair(settled(given, margin=3.0))
    first, second = (np.array([row.value for row in side.metrics["rougeL"]]) for side in given.variants)
    d = (first - second) * (1 if found.a == given.variants[0].variant.cell.name else -1)
    assert found.p_not_worse == pytest.approx(stats.ttest_1samp(d + 3, 0, alternative="greater").pvalue)
    assert found.p_not_better == pytest.approx(stats.ttest_1samp(3 - d, 0, alternative="greater").pvalue)


def test_equivalence_is_corrected_over_its_family() -> None:
    draw = np.random.default_rng(2)
    base = draw.normal(50, 10, 150)
    given = make_inputs(*(scored(variant(f"s{i}"), base + draw.normal(0, 5, 150)) for i in range(4)))
    found = settled(given, margin=1.6).comparisons
    alone = settled(replace(given, variants=given.variants[:2]), margin=1.6).comparisons[0]
    same = next(c for c in found if {c.a, c.b} == {alone.a, alone.b})
    assert same.p_equivalent is not None and alone.p_equivalent is not None
    assert same.p_equivalent > alone.p_equivalent


# ---------------------------------------------------------------- few items, skewed scores


def skewed(items: int, rare: int, seed: int = 3) -> CompareInputs:
    """One item in fifteen lost by 60 points, the others gain 4."""
    gain = np.full(items, 4.0) + np.random.default_rng(seed).normal(0, 0.5, items)
    gain[:rare] -= 60
    base = np.full(items, 70.0)
    return two_cells((base + gain)[None], base[None])


def test_skewed_differences_are_decided_by_bootstrap_t() -> None:
    found = pair(settled(skewed(90, 4)))
    assert found.method == "bootstrap-t" and "skewed" in found.note
    assert found.tests[0].name == "bootstrap-t (checkpoint)" and found.p == found.tests[0].p
    assert found.interval == found.tests[0].interval
    t = found.tests[1]
    assert t.interval is not None and found.interval is not None and found.mde is not None
    wider = max(found.interval.high - found.delta, found.delta - found.interval.low) - (t.interval.high - found.delta)
    as_t = stats.t.ppf(0.975, 89) + stats.t.ppf(0.8, 89)
    assert found.mde - wider == pytest.approx(as_t * abs(found.delta / (t.statistic or 0)), rel=0.01)
    assert wider > 0 and found.tipping_point is None
    assert pair(settled(skewed(400, 20))).method == "crossed t", "many items: the t test holds"
    assert pair(settled(noisy(90, 1))).method == "crossed t", "symmetric: the t test holds"


@pytest.mark.parametrize(("differing", "told"), [(2, True), (12, False)])
def test_few_items_that_differ_do_not_bound_what_rare_ones_may_be(differing: int, told: bool) -> None:
    base = np.full((1, 60), 50.0)
    better = base.copy()
    better[0, :differing] += np.linspace(5, 40, differing)
    found = pair(compare(two_cells(better, base)))
    assert found.method == "bootstrap-t"
    assert (f"only {differing} items that differ" in found.note) is told
    assert found.interval is not None
    assert (found.interval.high == 100) is told


def test_few_items_without_the_rare_loss_give_no_verdict() -> None:
    """30 items that all gain 4 points: t is sure, but an item in fifteen that loses 60 may not have been drawn."""
    found = pair(settled(skewed(30, 0)))
    assert found.mde is not None and found.mde > 8, "unseen items may hide as much"
    assert found.p_adjusted is not None and found.p_adjusted < 1e-6
    assert found.verdict == "too few items" and "points wider at each end" in found.note
    assert pair(settled(skewed(60, 0))).verdict == "better"
    answer = settled(skewed(30, 0)).answer[-1]
    assert "share too few scored items for a verdict (" in answer


def test_a_widened_interval_ends_where_the_scale_does() -> None:
    draw = np.random.default_rng(2)
    low, high = draw.uniform(0, 5, (1, 20)), draw.uniform(95, 100, (1, 20))
    found = pair(settled(two_cells(high, low)))
    assert found.interval is not None and found.interval.high == 100 and 60 < found.interval.low < 85
    cells = [scored(variant(style, masking=masking), values[0]) for style, masking, values in (
        ("alpaca", "prompt", high), ("alpaca", "none", low), ("phi", "prompt", low + 1), ("phi", "none", high - 1)
    )]  # fmt: skip
    [square] = settled(make_inputs(*cells)).interactions
    assert square.interval is not None and 180 < abs(square.delta) < 200
    assert max(map(abs, (square.interval.low, square.interval.high))) > 190, "a difference of differences reaches twice"


def test_few_items_with_a_huge_difference_do() -> None:
    assert pair(settled(noisy(40, 30))).verdict == "better"


@pytest.mark.parametrize("items", [0, 1, 2, 3])
def test_hardly_any_items(items: int) -> None:
    result = settled(
        noisy(max(items, 1), 3) if items else make_inputs(scored(variant("a"), []), scored(variant("b"), []))
    )
    for comparison in result.comparisons:
        assert comparison.p is None or 0 < comparison.p <= 1
        assert comparison.verdict in ("too few items", "not shown")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(HarnessError, match="not a finite number"):
        compare(two_cells(np.array([[1.0, value, 2.0]]), np.array([[1.0, 2.0, 3.0]])))


def test_constant_scores_on_both_sides() -> None:
    same, apart = (pair(settled(two_cells(np.full((1, 60), 50.0), np.full((1, 60), b)))) for b in (50.0, 40.0))
    assert (same.verdict, same.p, same.method) == ("identical", 1.0, "rule")
    assert (apart.verdict, apart.method) == ("better", "permutation") and apart.p is not None and apart.p > 0


def test_unequal_item_sets_are_paired_where_both_have_a_score() -> None:
    values = np.random.default_rng(4).normal(50, 10, 80)
    first, second = rows(values)[:70], rows(values + 1 + np.arange(80) % 3)[10:]
    given = make_inputs(VariantScores(variant("a"), {"rougeL": first}), VariantScores(variant("b"), {"rougeL": second}))
    found = pair(compare(given))
    assert found.n_items == 60
    assert [(each.reason, each.responses) for each in found.left_out_a] == [("missing", 10)]


def test_what_was_left_out_and_why() -> None:
    from harness.records.rows import Failed, Refused, Unparsed

    full = judgments(rows(np.arange(60.0)))
    alpaca = [*full[4:], unscored(0, Unparsed), unscored(1, Unparsed), unscored(2, Refused), unscored(3, Failed)]
    result = compare(make_inputs(judged(variant("alpaca"), *alpaca), judged(variant("phi"), *full), measures=(JUDGE,)))
    left = cell_score(result, variant("alpaca").cell, "j").left_out
    assert [(each.reason, each.responses) for each in left] == [("failed", 1), ("refused", 1), ("unparsed", 2)]
    assert {side for c in result.comparisons for side in (c.left_out_a, c.left_out_b)} == {left, ()}


# ---------------------------------------------------------------- families


def test_secondary_measures_are_exploratory() -> None:
    both = tuple(
        VariantScores(each.variant, each.metrics | {"rouge1": each.metrics["rougeL"]}, {}) for each in quick_matrix()
    )
    other = ROUGE.model_copy(update={"name": "rouge1", "label": "ROUGE-1", "primary": False})
    result = compare(make_inputs(*both, measures=(ROUGE, other)))
    first, second = ([c for c in result.comparisons if c.measure == name] for name in ("rougeL", "rouge1"))
    assert all(c.family.startswith("Holm over 15 pairs") for c in first)
    assert all(c.family == "Benjamini–Hochberg over 15 pairs of cells on ROUGE-1, exploratory" for c in second)
    expected = stats.false_discovery_control([c.p for c in second if c.p is not None])
    assert [c.p_adjusted for c in second] == pytest.approx(expected)
    ranks = [[(s.rank_low, s.rank_high) for s in row.scores] for row in result.rows]
    assert all(one == two for one, two in ranks), "ranks hold family-wise on every measure"


def test_family_against_the_baseline() -> None:
    result = settled(make_inputs(*quick_matrix()), against_baseline=True)
    chosen = [c for c in result.comparisons if result.baseline in (c.a, c.b)]
    assert len(chosen) == 5 and all("Holm over 5 cells against the baseline" in c.family for c in chosen)
    assert all("15 pairs" in c.family for c in result.comparisons if c not in chosen)


@pytest.mark.parametrize(("least", "told"), [(0.0, "more than 4 times"), (0.5, " times; each pair")])
def test_pairs_that_use_their_own_seed_variance_say_so(least: float, told: str) -> None:
    draw = np.random.default_rng(3)
    base = draw.normal(50, 10, 100)
    shifts = [(style, seed, (seed - 2) * least) for style in ("a", "b", "c") for seed in (1, 2, 3)]
    shifts += [("d", seed, shift) for seed, shift in ((1, -12.0), (2, 0.0), (3, 12.0))]
    result = compare(make_inputs(*(scored(variant(style, seed=seed), base + shift) for style, seed, shift in shifts)))
    assert any("cells differ in seed variance by" in each and told in each for each in result.warnings)


def test_what_is_said_of_several_measures_is_said_once() -> None:
    said = [Warned("40 items", "BLEU"), Warned("one seed"), Warned("40 items", "chrF"), Warned("one seed")]
    assert said_once(said) == ["BLEU, chrF: 40 items", "one seed"]


def test_max_t_is_stated_and_no_stricter_than_holm() -> None:
    given = make_inputs(*quick_matrix())
    holm, joint = ({(c.a, c.b): c for c in settled(given, correction=how).comparisons} for how in ("holm", "max-t"))
    assert all(c.family.startswith("max-T over 15 pairs") for c in joint.values())
    assert all(0 < (c.p_adjusted or 0) <= 1 for c in joint.values())
    weak = [names for names, c in holm.items() if c.p is not None and 0.02 < c.p < 0.9]
    assert weak and all((joint[n].p_adjusted or 0) <= (holm[n].p_adjusted or 0) + 0.02 for n in weak)


def test_max_t_knows_how_cells_hang_together_where_scores_are_missing() -> None:
    """One cell lacks 30 % of the scores, a long way from nil: the correlations are still those of all scores."""
    draw = np.random.default_rng(5)
    base = draw.normal(60, 15, 200)
    cells = [base + draw.normal(0, 6, 200) for _ in range(4)]
    whole = [scored(variant(f"s{k}"), values) for k, values in enumerate(cells)]
    torn = VariantScores(whole[3].variant, {"rougeL": whole[3].metrics["rougeL"][:140]})

    def roots(*given: VariantScores) -> np.ndarray:
        inputs = make_inputs(*given)
        layout = lay_out(inputs.variants)
        aligned = align(layout, inputs.measures[0])
        pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
        measure = contrast.measured(inputs.measures[0], aligned, None, contrast.Testing(0.05, 1000, 0))
        found = board._root(measure, pairs)
        return found @ found.T

    complete, missing = roots(*whole), roots(*whole[:3], torn)
    assert np.allclose(np.diag(missing), 1)
    assert np.allclose(missing[:2, :2], complete[:2, :2]), "pairs that lack nothing"
    # Contrasts over 200 and over 140 items: correlations are smaller by the root of 140/200 or so.
    assert np.abs(missing - complete).max() < 0.2


def test_a_p_that_the_resamples_cut_off_is_told() -> None:
    sure = np.full(90, 74.0) + np.random.default_rng(1).exponential(2, 90) ** 2
    given = make_inputs(scored(variant("best"), sure), *(scored(variant(f"s{k}"), np.full(90, 70.0)) for k in range(7)))
    few, enough = settled(given, permutations=1000), settled(given, permutations=11200)
    assert any("28 pairs; 7 of them stop there: set `compare.permutations: 11200`" in each for each in few.warnings)
    assert not any("resamples" in warning for warning in enough.warnings)
    assert [sum(c.verdict in ("better", "worse") for c in each.comparisons) for each in (few, enough)] == [0, 7]


def test_what_a_run_could_have_seen_and_what_tips_it_are_at_the_familys_level() -> None:
    result = settled(make_inputs(*quick_matrix(seeds=(1,))))
    assert all("Holm over 15 pairs" in c.family for c in result.comparisons)
    for c in result.comparisons:
        half = (c.interval.high - c.interval.low) / 2 if c.interval else 0.0
        error = half / stats.t.ppf(0.975, c.n_items - 1)
        found = 1 - stats.nct.cdf(stats.t.isf(0.05 / 15 / 2, c.n_items - 1), c.n_items - 1, (c.mde or 0) / error)
        assert found == pytest.approx(0.8, abs=1e-3)
        assert (c.tipping_point is not None) == (c.verdict in ("better", "worse") and c.seeds_a + c.seeds_b > 0)


def test_declared_seed_sd_speaks_of_the_recipe() -> None:
    given = noisy(100, 2)
    found = pair(settled(given, seed_sd=3.0))
    assert found.scope == "recipe" and found.verdict == "not shown" and found.tipping_point is None
    assert pair(settled(given)).scope == "checkpoint" and pair(settled(given)).verdict == "better"


def test_clusters_widen_what_hangs_together() -> None:
    draw = np.random.default_rng(5)
    shared = np.repeat(draw.normal(0, 6, 20), 4)
    base = draw.normal(50, 10, 80)
    given = two_cells((base + 2 + shared + draw.normal(0, 2, 80))[None], base[None])
    clusters = {f"e{i:03}": f"source {i // 4}" for i in range(80)}
    alone, grouped = pair(compare(given)), pair(compare(replace(given, clusters=clusters)))
    assert alone.interval is not None and grouped.interval is not None
    assert grouped.n_items == 80 and grouped.delta == alone.delta
    assert grouped.interval.high - grouped.interval.low > 1.6 * (alone.interval.high - alone.interval.low)
    assert "fewer than 50 clusters" in grouped.note
    assert "Wilcoxon signed-rank" not in [test.name for test in grouped.tests]


# ---------------------------------------------------------------- effects, chance, winner


def test_interaction_is_found_and_said() -> None:
    """Masking helps by 6 with alpaca and hurts by 2 with phi."""
    draw = np.random.default_rng(6)
    base = draw.normal(50, 10, 120)
    gain = {("alpaca", "prompt"): 6.0, ("alpaca", "none"): 0.0, ("phi", "prompt"): -2.0, ("phi", "none"): 0.0}
    given = make_inputs(
        *(
            scored(variant(style, "full", masking, seed), base + extra + draw.normal(0, 4, 120))  # type: ignore[arg-type]
            for (style, masking), extra in gain.items()
            for seed in (1, 2, 3)
        )
    )
    result = compare(given)
    (found,) = result.interactions
    assert (found.axis, found.other_axis, found.shown) == ("prompt_style", "masking", True)
    assert abs(found.delta) == pytest.approx(8, abs=1) and found.delta == pytest.approx(found.at_c - found.at_d)
    assert found.interval is not None and found.interval.low < found.delta < found.interval.high
    assert any(" with prompt and " in sentence or " with none and " in sentence for sentence in result.answer)


def test_levels_that_never_meet_are_told_apart_by_a_bridge() -> None:
    """phi only with `none`, instruction only with alpaca: an additive model links them."""
    draw = np.random.default_rng(7)
    base = draw.normal(50, 5, 100)
    cells = {("alpaca", "none"): 0.0, ("alpaca", "instruction"): 4.0, ("phi", "none"): 3.0}
    result = compare(
        make_inputs(
            *(
                scored(variant(style, "full", masking, seed), base + gain + draw.normal(0, 2, 100))  # type: ignore[arg-type]
                for (style, masking), gain in cells.items()
                for seed in (1, 2)
            )
        )
    )
    effects = {effect.axis: effect for effect in result.effects}
    assert effects["prompt_style"].comparison.delta == pytest.approx(-3, abs=0.7)
    assert effects["masking"].comparison.delta == pytest.approx(-4, abs=0.7)


def test_variance_table_and_pilot() -> None:
    result = compare(make_inputs(*quick_matrix(seeds=(1, 2, 3))))
    (table,) = result.variances
    shares = [table.items, table.seeds, table.seeds_by_items, table.samples, table.judge]
    assert sum(share for share in shares if share is not None) == pytest.approx(1)
    assert table.judge is None and table.samples is None and table.pairs == 6
    assert all(bought.shrinks_by > -0.01 for bought in table.purchases)
    spread = pilot_spread(result)
    assert "measured in matrix" in spread.source and spread.seed == table.seed_sd
    assert result.winner is not None and result.winner.out_of == 6 and result.winner.optimism >= 0


def test_one_seed_has_no_share_for_seeds() -> None:
    (table,) = compare(make_inputs(*quick_matrix(seeds=(1,)))).variances
    assert table.seeds is None and table.items == pytest.approx(1)
    assert not any("seed" in bought.what for bought in table.purchases)


def test_judge_repeats_have_their_share() -> None:
    draw = np.random.default_rng(8)
    sides = []
    for style in ("alpaca", "phi"):
        base = rows(draw.normal(60, 8, 80))
        repeated = [
            j.model_copy(update={"value": j.value + float(draw.normal(0, 5))})
            for j in judgments(base, repeats=3)  # type: ignore[union-attr]
        ]
        sides.append(judged(variant(style), *repeated))
    (table,) = compare(make_inputs(*sides, measures=(JUDGE,))).variances
    assert table.judge is not None and table.judge_sd == pytest.approx(5.1, abs=0.5)
    assert "1 more judge repeat" in [bought.what for bought in table.purchases]


def values_of(given: VariantScores) -> list[float]:
    return [row.value for row in given.metrics["rougeL"] if isinstance(row, MetricRow)]


def test_strengths_go_by_the_measure_that_decides() -> None:
    given = make_inputs(*quick_matrix(items=60))
    turned = tuple(
        replace(each, judgments={"j": judgments(rows([100 - v for v in values_of(each)]))}) for each in given.variants
    )
    asked = replace(given, variants=turned, measures=(ROUGE, JUDGE), trust=(trust(False),))
    asked = replace(asked, settings=replace(asked.settings, primary="j"))
    assert strengths(asked) == strengths(given)


def test_strengths_of_cells() -> None:
    found = strengths(make_inputs(*quick_matrix(items=60)))
    assert len(found) == 6 and found[0].chance > 0.6 and found[-1].chance < 0.4
    assert all(each.interval.low <= each.chance <= each.interval.high and each.items == 60 for each in found)


# ---------------------------------------------------------------- one pair, turned round


def test_pair_by_part_of_a_name_and_from_either_side() -> None:
    result = settled(make_inputs(*quick_matrix()), margin=1.0)
    there = pick_pair(result, "alpaca/full/mask-none", "phi/full/mask-none")
    back = pick_pair(result, "phi/full/mask-none", "alpaca/full/mask-none")
    assert back == turned_round(there) and turned_round(back) == there
    assert (there.verdict, back.verdict) == ("better", "worse") and there.delta == -back.delta
    assert pick_pair(result, "phi/untuned", None).b == result.baseline
    for a, b, message in (
        ("phi", None, "fits 3 cells"),
        ("zephyr", None, "no cell"),
        ("phi/untuned", "phi/untuned", "on both sides"),
    ):
        with pytest.raises(HarnessError, match=message):
            pick_pair(result, a, b)


# ---------------------------------------------------------------- errors of others


def test_a_fall_that_leaves_every_score_above_nil_is_no_pass() -> None:
    """NeMo Evaluator counts flips at reward > 0: scores that fall by 40 on every item are `identical`, PASS."""
    draw = np.random.default_rng(9)
    before = draw.integers(10, 20, (1, 100)) * 5.0
    after = before - 40 + draw.integers(-1, 2, (1, 100)) * 5.0
    found = pick_pair(settled(two_cells(after, before), margin=4.0), "alpaca", "phi")
    assert found.verdict == "worse" and found.p_not_worse is not None and found.p_not_worse > 0.99


def test_a_margin_is_in_points_and_no_cohens_d() -> None:
    """NeMo compares Cohen's d with a margin in points: a tight gain of one point has d of 2, a loose one of 0.03."""
    base = np.random.default_rng(10).normal(50, 10, (1, 200))
    noise = np.random.default_rng(11).normal(0, 1, (1, 200))
    tight, loose = (pair(settled(two_cells(base + 1 + sd * noise, base), margin=4.0)) for sd in (0.5, 40.0))
    assert tight.p_equivalent is not None and tight.p_equivalent < 1e-6
    assert loose.verdict != "equivalent"


def test_judges_with_unequal_repeats_pair() -> None:
    """NeMo: repeats 1 and k never pair."""
    base = rows(np.random.default_rng(12).normal(50, 10, 60))
    sides = (judged(variant("a"), *judgments(base)), judged(variant("b"), *judgments(base, repeats=3)))
    found = pair(compare(make_inputs(*sides, measures=(JUDGE,))), "j")
    assert found.n_items == 60 and abs(found.delta) == pytest.approx(1)


def test_a_constant_gain_is_neither_one_nor_nil() -> None:
    """errorbars reports p 1.0 for a constant +5."""
    found = pair(compare(two_cells(np.full((1, 60), 55.0), np.full((1, 60), 50.0))))
    assert found.p == pytest.approx(1 / 2001)


def test_seed_nil_is_a_seed() -> None:
    """sacrebleu takes seed 0 for no seed."""
    given = noisy(60, 1)
    first, second = (settled(given, seed=0) for _ in range(2))
    assert first == second
    assert of(settled(given, seed=1), "sign-flip permutation") != of(first, "sign-flip permutation")


def test_ties_of_rounded_means_are_counted() -> None:
    """evalsig, evalstats and NeMo report 0.0432 where the exact answer is 0.0518: sums of 0.1 are not exact."""
    d = np.array([0.1, 0.2, -0.3, 0.3, 0.3, 0.1, 0.2, 0.2, -0.1, 0.1, 0.3, 0.1])
    result = compare(two_cells((50 + d)[None], np.full((1, 12), 50.0)))
    assert of(result, "sign-flip permutation") == pytest.approx(0.0517578, abs=1e-7)


def test_other_seeds_rows_are_not_dropped() -> None:
    """evalsig keeps one seed's rows."""
    draw = np.random.default_rng(13)
    first, second = draw.normal(55, 5, (3, 80)), draw.normal(50, 5, (3, 80))
    found = pick_pair(compare(two_cells(first, second)), "alpaca", "phi")
    assert found.delta == pytest.approx(first.mean() - second.mean()) and found.seeds_a == 3


def test_a_whole_seeds_shift_does_not_vanish() -> None:
    """evalstats draws seeds anew for each item: a seed that lifts every item by 6 points averages out."""
    base = np.random.default_rng(14).normal(50, 5, 200)
    lifted: Scores = np.stack([base, base + 6, base + 12])
    found = pair(compare(two_cells(lifted, np.stack([base - 4, base + 2, base + 8]))))
    assert found.interval is not None and found.interval.high - found.interval.low > 12


def test_undecided_is_neither_a_fall_nor_dropped() -> None:
    """evalshift exits 0 on it, evalproof drops it, evalsig fails a build where nothing changed."""
    result = compare(noisy(60, 0.1))
    assert [c.verdict for c in result.comparisons] == ["not shown"]
    values = np.random.default_rng(15).normal(50, 10, (1, 60))
    assert pair(compare(two_cells(values, values))).verdict == "identical"


def test_a_winner_comes_with_its_interval_and_its_luck() -> None:
    """A sweep that names the best of eight by the fourth decimal, one seed, no error bars."""
    draw = np.random.default_rng(16)
    base = draw.normal(50, 10, 60)
    result = compare(make_inputs(*(scored(variant(f"s{i}"), base + draw.normal(0, 5, 60)) for i in range(8))))
    assert result.winner is not None and result.winner.optimism > 0.3
    assert any("cannot be told apart" in s and "picked out of 8" in s for s in result.answer)


def test_every_p_of_everything_is_above_nil() -> None:
    draw = np.random.default_rng(17)
    base = draw.normal(20, 1, 300)
    result = compare(two_cells((base + 60 + draw.normal(0, 0.01, 300))[None], base[None]))
    found: Comparison = pair(result)
    assert found.verdict == "better" and all(test.p is None or test.p > 0 for test in found.tests)
    assert found.p is not None and found.p > 0 and found.p_adjusted is not None and found.p_adjusted > 0


# ---------------------------------------------------------------- on the page


def test_reports_show_interactions_chance_and_equivalence() -> None:
    from reports.markdown import report_markdown
    from reports.page import report_html

    result = settled(make_inputs(*quick_matrix(seeds=(1, 2, 3))), margin=3.0)
    assert any(effect.comparison.verdict == "equivalent" for effect in result.effects)
    html, text = report_html(result, (), ()), report_markdown(result, ())
    for page in (html, text):
        assert "equivalent within ±3" in page
        assert "3 more seeds" in page and "% narrower" in page and "seeds, item by item" in page
    assert 'id="interactions"' in html and "## Interactions" in text
    assert 'id="chance"' in html and "## Where chance comes from" in text


# ---------------------------------------------------------------- selfcheck


def test_selfcheck_tells_a_method_that_cries_wolf_from_one_that_does_not() -> None:
    """Seeds that vary by twice the items' standard error: items alone are wrong about half of the time."""
    from harness.selfcheck import Setting, simulate, table

    rates = simulate(Setting(items=60, seed_ratio=2.0), 120, seed=1, resamples=200)
    assert rates.alarms["crossed t (checkpoint)"] > 0.3
    assert rates.verdicts < 0.13 and rates.family < 0.13 and rates.covered > 0.87
    guarded = simulate(Setting(items=30, seeds=1, seed_ratio=0.0, shape="skewed"), 60, seed=2, resamples=200)
    assert guarded.verdicts == 0 and guarded.refused > 0.02 and guarded.guarded
    header, _, first, second = table([rates, guarded]).splitlines()
    assert header.count("|") == first.count("|") == second.count("|")
    assert "| – |" in second


def test_another_measure_does_not_inherit_margin_and_seed_sd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = make_inputs(*quick_matrix(), measures=(ROUGE, JUDGE))
    given = replace(given, settings=replace(given.settings, primary="j", margin=0.2, seed_sd=0.1))
    monkeypatch.setattr(finished, "load_spec", lambda _: None)
    monkeypatch.setattr(finished, "gather", lambda *_: given)
    run: Any = SimpleNamespace(result=None, folder=tmp_path, plan=None)
    own, other = (finished.gathered(run, Store(tmp_path), measure).settings for measure in ("j", "rougeL"))
    assert (own.margin, own.seed_sd) == (0.2, 0.1)
    assert (other.primary, other.margin, other.seed_sd) == ("rougeL", None, None)
    assert finished.gathered(run, Store(tmp_path), "rougeL", 2.0).settings.margin == 2.0


def test_a_measure_that_does_not_rank_is_refused_and_none_stands_in_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    length = ROUGE.model_copy(update={"name": "length", "ranks": False, "descriptive": True, "primary": False})
    given = replace(make_inputs(*quick_matrix(), measures=(ROUGE, JUDGE, length)), trust=(trust(False),))
    monkeypatch.setattr(finished, "load_spec", lambda _: None)
    monkeypatch.setattr(finished, "gather", lambda *_: given)
    run: Any = SimpleNamespace(result=None, folder=tmp_path, plan=None)
    for measure, why in (("j", "cannot tell the reference"), ("length", "description")):
        with pytest.raises(HarnessError, match=why):
            finished.compared(run, Store(tmp_path), measure)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf")])
def test_a_margin_is_a_number_of_points(margin: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(finished, "load_spec", lambda _: None)
    monkeypatch.setattr(finished, "gather", lambda *_: make_inputs(*quick_matrix()))
    run: Any = SimpleNamespace(result=None, folder=tmp_path, plan=None)
    with pytest.raises(HarnessError, match="a margin of"):
        finished.gathered(run, Store(tmp_path), None, margin)


def test_the_terminal_names_the_measure_and_prints_the_warnings() -> None:
    told = compare(make_inputs(*quick_matrix())).model_copy(update={"warnings": ("mind this",)})
    for shown in (print_ranking, print_effects, print_pair):
        console = Console(file=io.StringIO(), width=120)
        middle = {print_ranking: ((),), print_pair: (told.comparisons[0],)}.get(shown, ())
        shown(told, *middle, console)  # type: ignore[operator]
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "ROUGE-L" in text and "mind this" in text
