"""Statistics against other programs' answers, published tables, and simulation."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from harness.errors import HarnessError
from harness.stats.auc import auc
from harness.stats.corpus import CorpusPanel, corpus_moments
from harness.stats.crossed import crossed_t, seed_variance, tipping_point
from harness.stats.families import benjamini_hochberg, holm
from harness.stats.means import interval_at_bound
from harness.stats.panel import BoolArray, FloatArray, Panel, contrast_weights, item_contrasts
from harness.stats.power import smallest_detectable_difference
from harness.stats.ranks import RankInterval, rank_intervals
from harness.stats.signflip import exact_sign_flip, sign_flip
from harness.stats.swap import swap_test

# Garbage of other tests may be collected while one of these runs: a socket left open is not theirs.
pytestmark = pytest.mark.filterwarnings("error", "ignore::ResourceWarning")

A = np.array([85.0, 90, 70, 95, 60, 80, 75, 100, 85, 90])
B = np.array([80.0, 90, 75, 85, 60, 70, 75, 95, 80, 75])
PAIR = contrast_weights([[(0, 1)]], 2)


def panel(*cells: FloatArray, present: BoolArray | None = None, seeded: bool = True) -> Panel:
    """Cells of (S, n) scores with equal S."""
    values = np.stack([np.atleast_2d(cell) for cell in cells]).astype(np.float64)
    here = np.ones(values.shape, dtype=np.bool_) if present is None else present
    return Panel(np.where(here, values, 0.0), here, np.full(len(cells), seeded))


# ---------------------------------------------------------------- crossed t


def test_checkpoint_scope_is_the_paired_t() -> None:
    """scipy.stats.ttest_rel: t 2.37722, p 0.0414162, interval 0.217806 to 8.782194."""
    (test,) = crossed_t(item_contrasts(panel(A, B), PAIR).moments, None, "checkpoint")
    assert test is not None
    assert (test.t, test.p) == pytest.approx((2.37722, 0.0414162), rel=1e-5)
    assert test.interval == pytest.approx((0.217806, 8.782194), abs=1e-6)
    assert test.df == 9


def test_recipe_scope_without_item_spread_is_the_two_sample_t_of_seed_means() -> None:
    """Additive seeds, no interaction: only the seeds' spread is left, and scipy's pooled t test is the answer."""
    first, second = np.array([1.0, 2.5, 4.0]), np.array([-1.0, 0.0, 0.5])
    data = panel(A + 5 + first[:, None], A + second[:, None])
    moments = item_contrasts(data, PAIR).moments
    (test,) = crossed_t(moments, seed_variance(data), "recipe")
    expected = stats.ttest_ind(first + 5, second)
    assert test is not None
    assert (test.t, test.p, test.df) == pytest.approx((expected.statistic, expected.pvalue, expected.df))
    assert crossed_t(moments, None, "checkpoint") == (None,)


def test_recipe_scope_by_hand() -> None:
    """The formula of the module's docstring, written out with loops for a 3-seed pair inside a 3-cell matrix."""
    draw = np.random.default_rng(5)
    scores = draw.normal(60, 10, (3, 3, 20)) + draw.normal(0, 3, (3, 3, 1))
    data = panel(*scores)
    seeds = seed_variance(data)
    assert seeds is not None and seeds.df == 6
    variances = [np.var([row.mean() for row in cell], ddof=1) for cell in scores]
    residual = sum(
        (cell[s, i] - cell[s].mean() - cell[:, i].mean() + cell.mean()) ** 2
        for cell in scores
        for s in range(3)
        for i in range(20)
    ) / (3 * 2 * 19)
    differences = scores[0].mean(axis=0) - scores[1].mean(axis=0)
    t_item, t_seed = differences.var(ddof=1) / 20, np.mean(variances) * 2 / 3
    variance = max(t_item + t_seed - residual * 2 / 3 / 20, t_item)
    df = variance**2 / (t_item**2 / 19 + t_seed**2 / 6)
    (test,) = crossed_t(item_contrasts(data, contrast_weights([[(0, 1)]], 3)).moments, seeds, "recipe")
    assert test is not None
    assert (test.variance, test.df) == pytest.approx((variance, df))
    assert test.p == pytest.approx(2 * stats.t.sf(abs(differences.mean()) / variance**0.5, df))


def test_one_seed_cell_borrows_the_matrix_seed_variance() -> None:
    draw = np.random.default_rng(6)
    scores = draw.normal(60, 10, (3, 3, 40)) + draw.normal(0, 4, (3, 3, 1))
    present = np.ones(scores.shape, dtype=np.bool_)
    present[0, 1:] = False  # cell 0 has one seed
    data = panel(*scores, present=present)
    seeds = seed_variance(data)
    assert seeds is not None and seeds.by_cell[0] is None and seeds.df == 4
    contrast = item_contrasts(data, contrast_weights([[(0, 1)]], 3))
    assert contrast.moments.seed_load.tolist() == [pytest.approx([1.0, 1 / 3, 0.0])]
    recipe, checkpoint = (crossed_t(contrast.moments, seeds, scope)[0] for scope in ("recipe", "checkpoint"))
    assert recipe is not None and checkpoint is not None
    assert recipe.p > checkpoint.p


def test_untuned_cell_brings_no_seed_variance() -> None:
    draw = np.random.default_rng(8)
    scores = draw.normal(60, 10, (2, 2, 40))
    present = np.ones(scores.shape, dtype=np.bool_)
    present[1, 1] = False
    data = Panel(np.where(present, scores, 0), present, np.array([True, False]))
    assert item_contrasts(data, PAIR).moments.seed_load.tolist() == [[0.5, 0.0]]
    untuned = Panel(data.values, data.present, np.array([False, False]))
    assert seed_variance(untuned) is None
    assert crossed_t(item_contrasts(untuned, PAIR).moments, seed_variance(data), "recipe") == (None,)


def test_items_without_a_score_are_left_out_of_the_pair() -> None:
    present = np.ones((2, 1, 10), dtype=np.bool_)
    present[0, 0, 0] = present[1, 0, 3] = False
    contrast = item_contrasts(panel(A, B, present=present), PAIR)
    (test,) = crossed_t(contrast.moments, None, "checkpoint")
    keep = [1, 2, 4, 5, 6, 7, 8, 9]
    expected = stats.ttest_rel(A[keep], B[keep])
    assert test is not None and contrast.moments.items.tolist() == [8]
    assert (test.t, test.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_seed_load_with_scores_missing() -> None:
    """Seed 0 scores both items, seed 1 one of them: weights 3/4 and 1/4, so 10/16 of one seed's variance is left."""
    present = np.array([[[True, True], [True, False]]])
    data = panel(np.array([[1.0, 2.0], [3.0, 0.0]]), present=present)
    contrast = item_contrasts(data, np.eye(1))
    assert contrast.moments.seed_load.tolist() == [[0.625]]
    assert contrast.moments.estimate.tolist() == [2.0]


@pytest.mark.parametrize("shift", [0.0, 5.0, 0.1])
def test_equal_differences_are_no_t_test(shift: float) -> None:
    """No p of 0 and none of 1 by accident: the caller is told that there is no spread."""
    contrast = item_contrasts(panel(A / 3 + shift, A / 3), PAIR)
    assert crossed_t(contrast.moments, None, "checkpoint") == (None,)
    assert contrast.moments.item_variance.tolist() == [0.0]
    assert (contrast.differences == 0).all() == (shift == 0)


@pytest.mark.parametrize("items", [0, 1])
def test_too_few_items(items: int) -> None:
    contrast = item_contrasts(panel(A[:items], B[:items]), PAIR)
    assert crossed_t(contrast.moments, None, "checkpoint") == (None,)


def test_p_is_never_nil() -> None:
    far = A + 1e6 + np.arange(10) * 1e-3
    (test,) = crossed_t(item_contrasts(panel(np.tile(far, 100), np.tile(A, 100)), PAIR).moments, None, "checkpoint")
    assert test is not None and 0 < test.p < 1e-300


def test_tipping_point_is_where_significance_ends() -> None:
    """With that much seed variance added to the variance, t falls to its critical value."""
    (test,) = crossed_t(item_contrasts(panel(A, B), PAIR).moments, None, "checkpoint")
    assert test is not None
    tip = tipping_point(test, 2.0)
    assert tip is not None
    critical = stats.t.ppf(0.975, 9)
    assert test.estimate / (test.variance + 2 * tip**2) ** 0.5 == pytest.approx(critical)
    assert tipping_point(test, 2.0, alpha=0.01) is None


def test_scores_that_are_missing_make_no_seed_variance() -> None:
    """Half of the scores dropped: seed effects beside the items', as statsmodels has them; no false variance."""
    draw = np.random.default_rng(12)
    between, errors, deltas, wrong = [], [], [], []
    for _ in range(300):
        scores = draw.normal(50, 15, 200) + draw.normal(0, 12, (4, 3, 200))
        present = draw.random(scores.shape) >= 0.5
        data = panel(*np.where(present, scores, 0), present=present)
        found, moments = seed_variance(data), item_contrasts(data, contrast_weights([[(0, 1)]], 4)).moments
        assert found is not None
        (test,) = crossed_t(moments, found, "recipe")
        assert test is not None
        between.append(found.pooled - found.of_items)
        deltas.append(test.estimate)
        errors.append(test.variance)
        wrong.append(test.p <= 0.05)
    assert np.mean(between) == pytest.approx(0, abs=0.2), "points²; 6 before, of seeds that do not vary"
    assert np.mean(errors) ** 0.5 == pytest.approx(np.std(deltas), rel=0.2) and np.mean(wrong) < 0.07
    cell, seeds, items = scores[0], *np.nonzero(present[0])
    frame = pd.DataFrame({"y": cell[present[0]], "s": seeds, "i": items})
    frame = frame[frame.groupby("i").s.transform("count") > 1]
    fit = sm.OLS.from_formula("y ~ C(s) + C(i)", frame).fit()
    effects = np.array([0, *(fit.params[f"C(s)[T.{s}]"] for s in (1, 2))])
    assert seed_variance(panel(cell, present=present[:1])).by_cell[0] == pytest.approx(effects.var(ddof=1))  # type: ignore[union-attr]
    assert seed_variance(panel(cell, present=present[:1])).interaction == pytest.approx(fit.mse_resid)  # type: ignore[union-attr]


def test_clusters_cost_no_square_of_their_number() -> None:
    """20,000 items in pairs: a table of items by clusters would take 1.6 GB."""
    draw = np.random.default_rng(1)
    scores = draw.normal(60, 10, (2, 2, 20_000))
    data = replace(panel(*scores), clusters=np.arange(20_000) // 2)
    tracemalloc.start()
    found, contrasts = seed_variance(data), item_contrasts(data, PAIR)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8 and found is not None
    sums = contrasts.differences.reshape(-1, 2).sum(axis=1)
    # CR1: clusters of one size
    assert contrasts.moments.item_variance[0] == pytest.approx(sums.var(ddof=1) * 10_000 / 20_000**2)


def test_unequal_seed_variance_is_noticed_and_not_pooled() -> None:
    draw = np.random.default_rng(2)
    base = draw.normal(60, 10, 50)
    spreads = np.array([0.3, 0.3, 0.3, 9.0])
    scores = base + draw.normal(0, 1, (4, 5, 1)) * spreads[:, None, None] + draw.normal(0, 2, (4, 5, 50))
    data = panel(*scores)
    seeds = seed_variance(data)
    assert seeds is not None and seeds.ratio is not None
    assert seeds.unequal and seeds.ratio > 4
    weights = contrast_weights([[(0, 1)], [(0, 3)]], 4)
    calm, wild = crossed_t(item_contrasts(data, weights).moments, seeds, "recipe")
    assert calm is not None and wild is not None
    assert wild.variance > 20 * calm.variance
    assert wild.df < 6


def test_two_seeds_make_large_ratios_without_alarm() -> None:
    """Equal seed variance, two seeds a cell: the ratio is nearly always above 4, the test seldom raises its hand."""
    draw = np.random.default_rng(9)
    found = [seed_variance(panel(*draw.normal(0, 1, (6, 2, 30)))) for _ in range(300)]
    ratios = [seeds.ratio for seeds in found if seeds is not None and seeds.ratio is not None]
    assert np.mean(np.array(ratios) > 4) > 0.9
    assert np.mean([seeds is not None and seeds.unequal for seeds in found]) < 0.09


@pytest.mark.parametrize(("seed_sd", "low", "high"), [(0.0, 0.005, 0.08), (1.7, 0.02, 0.09)])
def test_false_alarms(seed_sd: float, low: float, high: float) -> None:
    """6 variants, 3 seeds, 200 items, heaped 0–100 scores, no true difference: 5 % alarms, not the items-only 20 %."""
    draw = np.random.default_rng(11)
    weights = contrast_weights([[(0, 1)]], 6)
    recipe, items_only = [], []
    for _ in range(400):
        truth = 60 + draw.normal(0, 20, 200) + draw.normal(0, 17, (6, 3, 200)) + draw.normal(0, seed_sd, (6, 3, 1))
        data = panel(*(5 * np.round(np.clip(truth, 0, 100) / 5)))
        moments = item_contrasts(data, weights).moments
        (wide,), (narrow,) = crossed_t(moments, seed_variance(data), "recipe"), crossed_t(moments, None, "checkpoint")
        assert wide is not None and narrow is not None
        recipe.append(wide.p <= 0.05)
        items_only.append(narrow.p <= 0.05)
    assert low <= np.mean(recipe) <= high
    assert seed_sd == 0 or np.mean(items_only) > 0.14


# ---------------------------------------------------------------- permutation tests


def test_exact_sign_flip_oracles() -> None:
    """scipy.stats.permutation_test(permutation_type="samples", n_resamples=inf); ties of means need the tolerance."""
    rows = np.zeros((2, 12))
    rows[0, :10] = A - B
    rows[1] = [0.1, 0.2, -0.3, 0.3, 0.3, 0.1, 0.2, 0.2, -0.1, 0.1, 0.3, 0.1]
    assert sign_flip(rows, 1000, np.random.default_rng(0)).tolist() == [0.078125, 0.0517578125]


@pytest.mark.parametrize("m", [2, 3, 7, 12])
def test_exact_sign_flip_is_scipys(m: int) -> None:
    draw = np.random.default_rng(m)
    for differences in (draw.normal(0.5, 1, m), draw.integers(-3, 5, m) * 5 + 0.5):
        expected = stats.permutation_test(
            (differences, np.zeros(m)), lambda x, y, axis: (x - y).mean(axis=axis), vectorized=True,
            permutation_type="samples", n_resamples=np.inf,
        )  # fmt: skip
        assert exact_sign_flip(differences) == pytest.approx(expected.pvalue)


def test_monte_carlo_sign_flip_agrees_with_the_exact_one() -> None:
    differences = np.random.default_rng(4).normal(0.35, 1, (5, 24))
    p = sign_flip(differences, 20_000, np.random.default_rng(0))
    exact = [exact_sign_flip(row) for row in differences]
    assert p == pytest.approx(exact, abs=4 * 0.5 / 20_000**0.5)
    assert p.tolist() == sign_flip(differences, 20_000, np.random.default_rng(0)).tolist()


def test_sign_flip_at_the_ends() -> None:
    constant = np.full((1, 200), 5.0)
    zeros = np.zeros((1, 200))
    generator = np.random.default_rng(0)
    assert sign_flip(zeros, 1000, generator).tolist() == [1.0]
    assert sign_flip(constant, 1000, generator).tolist() == [1 / 1001]
    assert sign_flip(np.zeros((1, 0)), 1000, generator).tolist() == [1.0]
    assert sign_flip(np.array([[1.0, -1.0]]), 1000, generator).tolist() == [1.0]


def ratio(counts: FloatArray) -> FloatArray:
    """A corpus measure whose figure is the plain mean of its items, so that the per-item theory is its oracle."""
    return np.asarray(counts[..., 0] / np.maximum(counts[..., 1], 1e-300))


def mean_corpus(scores: FloatArray) -> CorpusPanel:
    """(C, S, n) scores as (value, 1) counts."""
    counts = np.stack([scores, np.ones_like(scores)], axis=-1)
    return CorpusPanel(
        counts, np.ones(scores.shape[:2], dtype=np.bool_), np.ones(len(scores), dtype=np.bool_), scores.shape[2]
    )


def test_corpus_moments_of_a_mean_are_the_items_moments() -> None:
    draw = np.random.default_rng(12)
    scores = draw.normal(50, 10, 80) + draw.normal(0, 8, (3, 3, 80)) + draw.normal(0, 2, (3, 3, 1))
    weights = contrast_weights([[(0, 1)], [(0, 2)], [(0, 1), (2, 1)]], 3)
    corpus = corpus_moments(mean_corpus(scores), ratio, 20_000, np.random.default_rng(0))
    found, expected = corpus.contrasts(weights), item_contrasts(panel(*scores), weights).moments
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.item_variance == pytest.approx(expected.item_variance, rel=0.05)
    assert found.seed_load == pytest.approx(expected.seed_load)
    seeds = seed_variance(panel(*scores))
    assert seeds is not None and corpus.seeds is not None
    assert corpus.seeds.by_cell == pytest.approx(seeds.by_cell)
    assert corpus.seeds.interaction == pytest.approx(seeds.interaction, rel=0.05)


def test_swap_test_of_a_mean_is_the_sign_flip_test() -> None:
    draw = np.random.default_rng(13)
    scores = np.round(draw.normal(50, 10, (4, 2, 12)))
    contrasts = [*([pair] for pair in combinations(range(4), 2)), [(0, 1), (2, 3)]]
    p = swap_test(mean_corpus(scores), contrasts, ratio, 20_000, np.random.default_rng(0))
    rows = item_contrasts(panel(*scores), contrast_weights(contrasts, 4)).differences
    assert p == pytest.approx([exact_sign_flip(row[row != 0]) for row in rows], abs=0.015)


def test_swap_test_of_identical_and_nearly_identical_systems() -> None:
    """Others report 0.001 for identical systems, and 0.0005 where three changed items of 100 allow 0.25 at best."""
    scores = np.tile(np.random.default_rng(14).integers(0, 100, 100).astype(np.float64), (3, 1, 1))
    scores[2, 0, :3] += 7
    same, three = swap_test(mean_corpus(scores), [[(0, 1)], [(2, 0)]], ratio, 4000, np.random.default_rng(0))
    assert same == 1.0
    assert three == pytest.approx(0.25, abs=0.03)


def test_swap_test_with_unequal_numbers_of_seeds() -> None:
    """Counts of 2 and 3 seeds: thirds do not add up to nil again, so sums are kept whole."""
    draw = np.random.default_rng(15)
    counts = draw.integers(0, 3, (2, 3, 30, 2)).astype(np.float64)
    used = np.array([[True, True, False], [True, True, True]])
    counts[0, 2] = 0
    seen: list[float] = []

    def watch(sums: FloatArray) -> FloatArray:
        seen.extend(np.abs(sums[..., 0] * 6 - np.round(sums[..., 0] * 6)).ravel())
        return ratio(sums)

    (p,) = swap_test(
        CorpusPanel(counts, used, np.array([True, True]), 30), [[(0, 1)]], watch, 500, np.random.default_rng(0)
    )
    assert 1 / 501 <= p <= 1
    assert max(seen) < 1e-12


# ---------------------------------------------------------------- families, ranks, power, ends of the scale


def test_families_are_statsmodels() -> None:
    p = [0.001, 0.012, 0.03, 0.04, 0.2]
    assert holm(p) == pytest.approx([0.005, 0.048, 0.09, 0.09, 0.2])
    assert benjamini_hochberg(p) == pytest.approx([0.005, 0.03, 0.05, 0.05, 0.2])
    assert holm(p[::-1]) == pytest.approx([0.2, 0.09, 0.09, 0.048, 0.005])
    assert holm([]).tolist() == [] and holm([0.7, 0.8]).tolist() == [1.0, 1.0]


def test_rank_intervals() -> None:
    """0 beats all, 1 and 2 are alike, 2 beats 3 and 1 does not."""
    beats = np.zeros((4, 4), dtype=np.bool_)
    beats[0, 1:] = True
    beats[2, 3] = True
    assert rank_intervals(beats) == (RankInterval(1, 1), RankInterval(2, 4), RankInterval(2, 3), RankInterval(3, 4))


def test_smallest_detectable_difference_is_statsmodels() -> None:
    """TTestPower().solve_power(nobs=200, alpha=.05, power=.8) = 0.199065 standard deviations."""
    assert smallest_detectable_difference(1 / 200, 199) == pytest.approx(0.199065, abs=2e-6)


@pytest.mark.parametrize("df", [1.3, 5.0, 40.0])
def test_smallest_detectable_difference_has_its_power(df: float) -> None:
    found = smallest_detectable_difference(4.0, df, alpha=0.1, power=0.9) / 2
    assert stats.nct.sf(stats.t.ppf(0.95, df), df, found) == pytest.approx(0.9, abs=1e-4)


def test_interval_at_bound_is_clopper_pearson() -> None:
    expected = stats.binomtest(0, 60).proportion_ci(0.95, "exact")
    assert interval_at_bound(60, 0, 100, at_high=False) == pytest.approx((0, 100 * expected.high))
    assert interval_at_bound(60, 1, 5, at_high=True) == pytest.approx((5 - 4 * expected.high, 5))


# ---------------------------------------------------------------- AUC


def test_auc_is_mann_whitney() -> None:
    draw = np.random.default_rng(16)
    good, bad = draw.integers(3, 9, 40).tolist(), draw.integers(1, 8, 30).tolist()
    expected = stats.mannwhitneyu(good, bad).statistic / 1200
    found = auc(good, bad)
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high
    mirrored = auc(bad, good)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))


def auc_variance(value: float, m: int, n: int) -> float:
    """Variance of an AUC of `m` positive and `n` negative scores (Hanley and McNeil 1982, exponential model)."""
    above, below = value / (2 - value), 2 * value**2 / (1 + value)
    return (value * (1 - value) + (m - 1) * (above - value**2) + (n - 1) * (below - value**2)) / (m * n)


def test_auc_variance_is_hanley_and_mcneils() -> None:
    """Hanley and McNeil 1982: area 0.893, 51 abnormal and 58 normal cases, standard error 0.032."""
    assert auc_variance(0.893, 51, 58) ** 0.5 == pytest.approx(0.0325, abs=0.0005)


def test_auc_interval_ends_where_newcombe_says() -> None:
    """Equal groups: each end is 1.96 Hanley-McNeil standard errors, as of that end, away from the estimate."""
    found = auc([3, 4, 5, 6, 7, 8, 2, 9], [1, 2, 3, 4, 2, 5, 6, 1])
    for end in (found.low, found.high):
        assert abs(end - found.value) == pytest.approx(1.959964 * auc_variance(end, 8, 8) ** 0.5, rel=1e-6)


def test_auc_at_its_ends() -> None:
    perfect = auc([1.0] * 20, [0.0] * 20)
    assert (perfect.value, perfect.high) == (1.0, 1.0) and 0.8 < perfect.low < 0.95
    tied = auc([50] * 20, [50] * 20)
    assert tied.value == 0.5 and tied.low == pytest.approx(1 - tied.high)
    with pytest.raises(HarnessError, match="both sides"):
        auc([], [1.0])


def test_auc_interval_covers() -> None:
    """Normal scores one standard deviation apart, 25 a side: the true area is 0.7602."""
    draw = np.random.default_rng(17)
    true = float(stats.norm.cdf(1 / 2**0.5))
    found = [auc(draw.normal(1, 1, 25).tolist(), draw.normal(0, 1, 25).tolist()) for _ in range(400)]
    assert 0.91 < np.mean([each.low <= true <= each.high for each in found]) < 0.985
