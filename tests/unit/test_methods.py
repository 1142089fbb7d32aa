"""Methods beside the headline, against other programs and published tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from harness.errors import HarnessError
from harness.stats.additive import curve_weights, level_contrast
from harness.stats.betting import betting
from harness.stats.bootstrap import SeedNoise, paired_bootstrap
from harness.stats.bradley_terry import strengths
from harness.stats.components import Design, Replicates, components, purchases
from harness.stats.corpus import CorpusPanel, corpus_moments
from harness.stats.crossed import crossed_t, declared_seed_variance, seed_variance
from harness.stats.equivalence import within_margin
from harness.stats.families import max_t
from harness.stats.panel import FloatArray, IntArray, Panel, Units, contrast_weights, item_contrasts
from harness.stats.passfail import mcnemar, wilson
from harness.stats.power import power, smallest_detectable_difference
from harness.stats.prediction import corrected_mean
from harness.stats.signflip import exact_sign_flip, sign_flip
from harness.stats.wilcoxon import signed_rank
from harness.stats.winner import optimism

# Garbage of other tests may be collected while one of these runs: a socket left open is not theirs.
pytestmark = pytest.mark.filterwarnings("error", "ignore::ResourceWarning")

A = np.array([85.0, 90, 70, 95, 60, 80, 75, 100, 85, 90])
B = np.array([80.0, 90, 75, 85, 60, 70, 75, 95, 80, 75])
PAIR = contrast_weights([[(0, 1)]], 2)


def panel(*cells: FloatArray, clusters: IntArray | None = None) -> Panel:
    values = np.stack([np.atleast_2d(cell) for cell in cells]).astype(np.float64)
    return Panel(values, np.ones(values.shape, dtype=np.bool_), np.ones(len(cells), dtype=np.bool_), clusters)


def units(rows: FloatArray) -> Units:
    rows = np.atleast_2d(rows)
    return Units(rows, rows, np.ones(rows.shape, dtype=np.bool_))


# ---------------------------------------------------------------- clusters


def test_clusters_are_statsmodels_cluster_robust_ols() -> None:
    """OLS of the differences on 1, clusters 0 0 1 1 … 4 4, use_t: SE 1.457738, p 0.036682, 0.452671 … 8.547329."""
    contrast = item_contrasts(panel(A, B, clusters=np.repeat(np.arange(5), 2)), PAIR)
    (test,) = crossed_t(contrast.moments, None, "checkpoint")
    assert test is not None and test.df == 4
    assert test.variance**0.5 == pytest.approx(1.457738, abs=1e-6)
    assert test.p == pytest.approx(0.036682, abs=1e-6)
    assert test.interval == pytest.approx((0.452671, 8.547329), abs=1e-6)


def test_unequal_clusters_are_statsmodels_too() -> None:
    draw = np.random.default_rng(3)
    clusters = np.sort(draw.integers(0, 12, 60))
    first, second = draw.normal(60, 10, 60) + draw.normal(0, 8, 12)[clusters], draw.normal(58, 10, 60)
    _, numbered = np.unique(clusters, return_inverse=True)
    (test,) = crossed_t(item_contrasts(panel(first, second, clusters=numbered), PAIR).moments, None, "checkpoint")
    fit = sm.OLS(first - second, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": numbered}, use_t=True)
    assert test is not None
    assert (test.variance**0.5, test.p) == pytest.approx((fit.bse[0], fit.pvalues[0]))


def test_singleton_clusters_change_nothing() -> None:
    draw = np.random.default_rng(4)
    scores = draw.normal(60, 10, (2, 3, 30)) + draw.normal(0, 2, (2, 3, 1))
    plain, single = panel(*scores), panel(*scores, clusters=np.arange(30))
    first, second = (crossed_t(item_contrasts(p, PAIR).moments, seed_variance(p), "recipe")[0] for p in (plain, single))
    assert first is not None and second is not None
    assert (second.variance, second.df, second.p) == pytest.approx((first.variance, first.df, first.p))


def test_one_cluster_is_no_test() -> None:
    """deltagate reports p 0.0 and Inspect a standard error of 0."""
    contrast = item_contrasts(panel(A, B, clusters=np.zeros(10, dtype=np.int64)), PAIR)
    assert crossed_t(contrast.moments, None, "checkpoint") == (None,)
    assert contrast.moments.units.tolist() == [1]
    assert np.isnan(paired_bootstrap(contrast.units, 100, np.random.default_rng(0)).p).all()


def test_two_clusters_have_one_degree_of_freedom() -> None:
    """NeMo Evaluator takes z: 1.96 where t asks for 12.7."""
    clusters = np.repeat([0, 1], 5)
    (test,) = crossed_t(item_contrasts(panel(A, B, clusters=clusters), PAIR).moments, None, "checkpoint")
    assert test is not None and test.df == 1
    assert test.interval[1] - test.estimate == pytest.approx(stats.t.ppf(0.975, 1) * test.variance**0.5)


def test_clusters_are_flipped_and_resampled_whole() -> None:
    clusters = np.repeat(np.arange(5), 2)
    contrast = item_contrasts(panel(A, B, clusters=clusters), PAIR)
    sums = (A - B).reshape(5, 2).sum(axis=1)
    (p,) = sign_flip(contrast.units.sums, 1000, np.random.default_rng(0))
    assert p == exact_sign_flip(sums[sums != 0])
    assert contrast.units.values.mean(axis=1) == pytest.approx(contrast.moments.estimate)


# ---------------------------------------------------------------- bootstrap


def test_percentile_and_bca_are_scipys() -> None:
    rows = np.random.default_rng(1).exponential(1, (3, 80)) - 1
    found = paired_bootstrap(units(rows), 20_000, np.random.default_rng(0))
    for row, percentile, bca in zip(rows, found.percentile, found.bca, strict=True):
        for ours, method in ((percentile, "percentile"), (bca, "BCa")):
            theirs = stats.bootstrap((row,), np.mean, n_resamples=20_000, method=method, rng=2).confidence_interval
            assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_t_by_hand() -> None:
    """Efron and Tibshirani 1993, ch. 12.5, written out with a loop over the resamples."""
    row = np.random.default_rng(5).exponential(2, 40) - 1.5
    draw = np.random.default_rng(6)
    t = []
    for _ in range(8000):
        sample = draw.choice(row, 40)
        t.append((sample.mean() - row.mean()) / (sample.std(ddof=1) / 40**0.5))
    error = row.std(ddof=1) / 40**0.5
    expected = row.mean() - np.quantile(t, [0.975, 0.025]) * error
    found = paired_bootstrap(units(row), 20_000, np.random.default_rng(0))
    assert found.t[0] == pytest.approx(expected, abs=0.06)
    upper = np.mean(np.array(t) >= row.mean() / error)
    assert found.p[0] == pytest.approx(2 * min(upper, 1 - upper), abs=0.02)


def test_bootstrap_t_of_normal_differences_with_seeds_is_the_crossed_t() -> None:
    row = stats.norm.ppf((np.arange(150) + 0.5) / 150) + 0.12
    item, seed, df = row.var(ddof=1) / 150, 0.01, 6.0
    variance = item + seed
    exact_df = variance**2 / (item**2 / 149 + seed**2 / df)
    found = paired_bootstrap(
        units(row), 40_000, np.random.default_rng(0), seeds=SeedNoise(np.array([seed]), np.array([df]))
    )
    half = stats.t.ppf(0.975, exact_df) * variance**0.5
    assert found.t[0] == pytest.approx((row.mean() - half, row.mean() + half), abs=0.015)
    assert found.p[0] == pytest.approx(2 * stats.t.sf(row.mean() / variance**0.5, exact_df), abs=0.015)


def test_bootstrap_margin_is_one_sided() -> None:
    row = np.random.default_rng(7).normal(0.3, 2, 120)
    found = paired_bootstrap(units(row), 20_000, np.random.default_rng(0), margin=1.0)
    error = row.std(ddof=1) / 120**0.5
    assert found.above[0] == pytest.approx(stats.t.sf((row.mean() + 1) / error, 119), abs=0.004)
    assert found.below[0] == pytest.approx(stats.t.sf((1 - row.mean()) / error, 119), abs=0.004)


@pytest.mark.parametrize("row", [np.zeros(30), np.full(30, 5.0), np.zeros(0), np.ones(1)])
def test_bootstrap_without_spread_says_nothing(row: FloatArray) -> None:
    found = paired_bootstrap(units(row), 100, np.random.default_rng(0))
    assert np.isnan(found.p).all() and np.isnan(found.t).all() and np.isnan(found.bca).all()


def test_bootstrap_p_is_never_nil() -> None:
    """evalproof reports 0.0."""
    row = np.random.default_rng(8).normal(50, 1, 60)
    found = paired_bootstrap(units(row), 500, np.random.default_rng(0))
    assert found.p[0] == pytest.approx(2 / 501)


def test_same_seed_same_digits_whatever_the_other_rows() -> None:
    rows = np.random.default_rng(9).normal(0.2, 1, (300, 40))
    first, second = (paired_bootstrap(units(rows), 300, np.random.default_rng(0)) for _ in range(2))
    assert first.t.tolist() == second.t.tolist()


# ---------------------------------------------------------------- Wilcoxon, McNemar, Wilson


def test_wilcoxon_is_scipys() -> None:
    """wilcoxon(d) = 0.078125 for the ten items; above 20 items the normal approximation with ties."""
    assert signed_rank((A - B)[None]).tolist() == [0.078125]
    draw = np.random.default_rng(10)
    rows = np.stack([draw.normal(0.2, 1, 60), 5.0 * draw.integers(-4, 6, 60), np.zeros(60)])
    expected = [stats.wilcoxon(row[row != 0], method="asymptotic").pvalue for row in rows[:2]]
    assert signed_rank(rows) == pytest.approx([*expected, 1.0])


def test_wilcoxon_is_no_test_of_means() -> None:
    """evalshift's verdict: Wilcoxon's p with the mean's sign. Mean nil, and it is sure of a difference."""
    row = np.array([4.0] * 84 + [-56.0] * 6)
    assert row.mean() == 0 and signed_rank(row[None])[0] < 1e-6
    assert stats.ttest_1samp(row, 0).pvalue == 1.0


def test_mcnemar_is_statsmodels() -> None:
    """mcnemar([[50, 9], [2, 39]], exact=True): 0.0654297."""
    found = mcnemar(np.array([9, 0, 5]), np.array([2, 0, 5]))
    assert found == pytest.approx([0.0654297, 1.0, 1.0], abs=1e-7)


@pytest.mark.parametrize(("passed", "n"), [(0, 60), (60, 60), (7, 60), (1, 1), (0, 1)])
def test_wilson_is_scipys(passed: int, n: int) -> None:
    expected = stats.binomtest(passed, n).proportion_ci(0.95, "wilson")
    assert wilson(passed, n) == pytest.approx((expected.low, expected.high))
    low, high = wilson(passed, n)
    assert low < high, "garak reports zero-width intervals at 0 % and 100 %"


def test_wilson_of_nothing_is_refused() -> None:
    for passed, n in ((0, 0), (3, 2), (-1, 4)):
        with pytest.raises(ValueError, match="no share"):
            wilson(passed, n)


# ---------------------------------------------------------------- equivalence, families, power


def test_equivalence_is_statsmodels_tost() -> None:
    """ttost_paired(a, b, -5, 5): 0.398812; non-inferiority ttest_1samp(d + 5, 0, "greater"): 0.000360246."""
    (test,) = crossed_t(item_contrasts(panel(A, B), PAIR).moments, None, "checkpoint")
    assert test is not None
    found = within_margin(test, 5.0)
    assert found.equivalent == pytest.approx(0.398812, abs=1e-6)
    assert found.not_worse() == pytest.approx(0.000360246, abs=1e-9)
    assert found.not_worse(higher_is_better=False) == pytest.approx(found.below)


def test_max_t_lies_between_nothing_and_bonferroni() -> None:
    """Uncorrelated: Sidak, step by step. All the same: none. The largest of all pairs: Tukey's studentized range."""
    draw, many = np.random.default_rng(0), 200_000
    raw = 2 * stats.norm.sf(np.array([2.5, 1.0]))
    assert max_t(raw, 1e6, np.eye(2), many, draw) == pytest.approx([1 - (1 - raw[0]) ** 2, raw[1]], abs=4e-3)
    same = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert max_t(raw, 1e6, same, many, draw) == pytest.approx(raw, abs=4e-3)
    pairs = contrast_weights([[(0, 1)], [(0, 2)], [(1, 2)]], 3) / 2**0.5
    t = np.array([2.0, 0.5, 3.0])
    found = max_t(2 * stats.t.sf(t, 20), 20.0, pairs, many, draw)
    assert found[2] == pytest.approx(stats.studentized_range.sf(3.0 * 2**0.5, 3, 20), abs=4e-3)
    assert found[1] == pytest.approx(2 * stats.t.sf(0.5, 20), abs=4e-3)
    assert max_t(np.zeros(0), 1.0, np.zeros((0, 3)), 100, draw).tolist() == []


def test_power_is_statsmodels() -> None:
    """TTestPower().power(0.199065, 200, 0.05) = 0.8."""
    assert power(0.199065, 1 / 200, 199) == pytest.approx(0.8, abs=1e-5)
    assert power(smallest_detectable_difference(2.0, 7.5), 2.0, 7.5) == pytest.approx(0.8, abs=1e-6)


def test_declared_seed_variance_widens_one_seed_everywhere() -> None:
    draw = np.random.default_rng(11)
    moments = item_contrasts(panel(draw.normal(60, 10, 100), draw.normal(55, 10, 100)), PAIR).moments
    (recipe,) = crossed_t(moments, declared_seed_variance(2.0, 2), "recipe")
    assert recipe is not None
    assert recipe.variance == pytest.approx(float(moments.item_variance[0]) + 2 * 4.0)


# ---------------------------------------------------------------- effects of axes


def test_unbalanced_effect_is_statsmodels_cluster_robust_ols() -> None:
    """Five of six cells of a 2 × 3 matrix, one score a cell and item, errors clustered by item."""
    draw = np.random.default_rng(12)
    levels = [("alpaca", "none"), ("alpaca", "prompt"), ("alpaca", "half"), ("phi", "none"), ("phi", "half")]
    gain = {"alpaca": 3.0, "phi": 0.0, "none": 0.0, "prompt": 1.0, "half": -1.0}
    base = draw.normal(50, 8, 70)
    scores = np.stack([base + gain[a] + gain[b] + draw.normal(0, 5, 70) for a, b in levels])
    weights = level_contrast(levels, 0, "alpaca", "phi")
    assert weights is not None
    contrast = item_contrasts(panel(*scores), weights[None])
    columns = np.array([[1, a == "alpaca", b == "prompt", b == "half"] for a, b in levels], dtype=np.float64)
    design = np.repeat(columns, 70, axis=0)
    groups = np.tile(np.arange(70), 5)
    fit = sm.OLS(scores.ravel(), design).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert contrast.moments.estimate[0] == pytest.approx(fit.params[1])
    rows, columns_ = design.shape
    assert contrast.moments.item_variance[0] ** 0.5 == pytest.approx(
        fit.bse[1] / ((rows - 1) / (rows - columns_)) ** 0.5
    )


def test_a_curve_is_statsmodels_quadratic_with_cluster_robust_errors() -> None:
    """Two styles at four weights, one cell missing: score ~ style + x + x², errors clustered by item."""
    draw = np.random.default_rng(21)
    cells = [(style, x) for style in ("alpaca", "phi") for x in (0.0, 0.1, 0.3, 1.0)][:-1]
    base = draw.normal(50, 8, 60)
    scores = np.stack([base + 3 * (s == "phi") + 8 * x - 9 * x**2 + draw.normal(0, 5, 60) for s, x in cells])
    found = curve_weights([(s,) for s, _ in cells], [x for _, x in cells], [0.2, 0.7], 2)
    assert found is not None
    moments = item_contrasts(panel(*scores), np.array([*found[0], found[1]])).moments
    columns = np.array([[1, s == "phi", x, x**2] for s, x in cells], dtype=np.float64)
    fit = sm.OLS(scores.ravel(), np.repeat(columns, 60, axis=0)).fit(
        cov_type="cluster", cov_kwds={"groups": np.tile(np.arange(60), 7)}, use_t=True
    )
    expected = fit.t_test([[0, 0, 0.2, 0.04], [0, 0, 0.7, 0.49], [0, 0, 0, 1]])
    correction = ((60 * 7 - 1) / (60 * 7 - 4)) ** 0.5  # statsmodels' CR1 counts the columns
    assert moments.estimate == pytest.approx(expected.effect)
    assert moments.item_variance**0.5 == pytest.approx(expected.sd.ravel() / correction)
    assert curve_weights([("a",), ("b",), ("c",)], [0.0, 0.5, 1.0], [1.0], 1) is None, "every value has its own style"


def test_levels_tied_to_another_axis_cannot_be_told() -> None:
    assert level_contrast([("alpaca", "none"), ("phi", "prompt")], 0, "alpaca", "phi") is None
    assert level_contrast([("alpaca", "none")], 0, "alpaca", "phi") is None
    assert level_contrast([], 0, "alpaca", "phi") is None


def test_balanced_effects_and_interaction_are_anova_rm() -> None:
    """t squared of each contrast of cell means equals AnovaRM's F, for both axes and their interaction."""
    draw = np.random.default_rng(13)
    scores = draw.normal(50, 8, 40) + draw.normal(0, 5, (4, 40)) + np.array([[0.0], [1.0], [2.0], [5.0]])
    frame = pd.DataFrame(
        [(i, c // 2, c % 2, scores[c, i]) for c in range(4) for i in range(40)], columns=["item", "x", "y", "score"]
    )
    expected = AnovaRM(frame, "score", "item", within=["x", "y"]).fit().anova_table["F Value"]
    weights = np.array([[-1.0, -1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, 1]]) / 2
    tests = crossed_t(item_contrasts(panel(*scores), weights).moments, None, "checkpoint")
    assert [test.t**2 for test in tests if test] == pytest.approx(expected.to_list())


# ---------------------------------------------------------------- variance, winner, strengths, people's labels


def test_components_are_recovered() -> None:
    """Items 8², seeds 1.5², seeds by items 5², judge 6² with 2 repeats: the shares follow from the formula."""
    draw = np.random.default_rng(14)
    cells, seeds, items = 40, 4, 600
    truth = 50 + draw.normal(0, 8, (cells, 1, items)) + draw.normal(0, 1.5, (cells, seeds, 1))
    truth += draw.normal(0, 5, (cells, seeds, items))
    judged = truth + draw.normal(0, 6, (2, cells, seeds, items))
    data = panel(*judged.mean(axis=0))
    noise = Replicates.of([[[judged[:, c, s, i].tolist()] for i in range(items)] for c in range(4) for s in range(4)])
    assert noise.judge == pytest.approx(36, rel=0.05) and noise.repeats == 2 and noise.samples is None
    seeds_found = seed_variance(data)
    assert seeds_found is not None
    weights = contrast_weights([[(c, c + 1)] for c in range(0, cells, 2)], cells)
    item_variance = float(item_contrasts(data, weights).moments.item_variance.mean())
    design = Design(items=items, seeds=seeds, repeats=2, samples=1, cells=cells)
    found = components(item_variance, design, seeds_found.between, seeds_found.interaction, noise)
    assert found.items == pytest.approx(2 * 64, rel=0.05)
    assert found.seeds == pytest.approx(2.25, rel=0.25)
    assert found.seeds_by_items == pytest.approx(25, rel=0.07)
    widths = {what: found.half_width(bought) for what, bought in purchases(found)}
    assert set(widths) == {"100 more items", "500 more items", "1 more seed", "3 more seeds", "1 more judge repeat"}
    assert all(width < found.half_width(design) for width in widths.values())


def test_seed_variance_is_the_mixed_models() -> None:
    """statsmodels MixedLM (REML), score ~ 1 with crossed random effects of item and seed, balanced: where no estimate
    lies at nil, REML's variances are those of the moments (Searle, Casella and McCulloch 1992, ch. 4)."""
    draw = np.random.default_rng(22)
    seeds, items = 8, 40
    scores = 50 + draw.normal(0, 8, items) + draw.normal(0, 3, (seeds, 1)) + draw.normal(0, 4, (seeds, items))
    frame = pd.DataFrame(
        [(s, i, scores[s, i], 1) for s in range(seeds) for i in range(items)], columns=["s", "i", "y", "all"]
    )
    fit = sm.MixedLM.from_formula(
        "y ~ 1", frame, groups="all", re_formula="0", vc_formula={"seed": "0 + C(s)", "item": "0 + C(i)"}
    ).fit()
    by_name = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    found = seed_variance(panel(scores))
    assert found is not None
    assert found.interaction == pytest.approx(fit.scale, rel=1e-3)
    assert found.between == pytest.approx(found.pooled - found.interaction / items)
    assert found.between == pytest.approx(by_name["seed"], rel=2e-3)
    assert seed_variance(panel(scores.T)).pooled - found.interaction / seeds == pytest.approx(by_name["item"], rel=2e-3)  # type: ignore[union-attr]


# ---------------------------------------------------------------- stopping when it is decided


def test_betting_is_the_papers_definition() -> None:
    """Waudby-Smith and Ramdas 2024, section 4: capital of each supposed mean on a grid, bets by the plug-in of eq. 26.

    Written out with loops; what the capital has not ruled out is the interval.
    """
    x = np.random.default_rng(23).beta(2, 3, 60)
    inside = []
    for mean in np.linspace(0.001, 0.999, 999):
        up = down = most = 1.0
        seen: list[float] = []
        total, squares = 0.5, 0.25
        for t, value in enumerate(x, 1):
            bet = (2 * np.log(2 / 0.05) / (squares / t * t * np.log(1 + t))) ** 0.5
            up *= 1 + min(bet, 0.75 / mean) * (value - mean)
            down *= 1 - min(bet, 0.75 / (1 - mean)) * (value - mean)
            most = max(most, up / 2, down / 2)
            seen.append(value)
            total += value
            squares += (value - total / (t + 1)) ** 2
        if most < 1 / 0.05:
            inside.append(mean)
    found = betting(10 * x - 4, -4, 6)
    assert found.interval == pytest.approx((10 * inside[0] - 4, 10 * inside[-1] - 4), abs=0.011)


def test_betting_at_its_ends() -> None:
    nothing = betting(np.zeros(0), -100, 100, margin=3)
    assert (nothing.interval, nothing.p, nothing.above, nothing.below) == ((-100.0, 100.0), 1.0, 1.0, 1.0)
    assert betting(np.zeros(300), -100, 100).p == 1.0, "all ties decide nothing"
    assert betting(np.full(20, 100.0), -100, 100).p < 0.01
    assert betting(np.full(400, 100.0), 0, 100).interval[1] == 100.0
    apart = np.random.default_rng(1).normal(5, 10, 400)
    plain, turned = betting(apart, -100, 100, margin=2), betting(-apart, -100, 100, margin=2)
    assert (plain.p, plain.above, plain.below) == pytest.approx((turned.p, turned.below, turned.above))
    assert plain.interval == pytest.approx((-turned.interval[1], -turned.interval[0]))
    assert plain.interval[0] > 0 and plain.above < 1e-4 and plain.below > 0.9
    close = betting(np.random.default_rng(1).normal(0, 5, 900), -100, 100, margin=4)
    assert max(close.above, close.below) < 0.05


@pytest.mark.parametrize("rare", [False, True])
def test_looking_after_every_item_is_paid_for(rare: bool) -> None:
    """No true difference, looked at after each of 400 items: 5 % wrong decisions at most; a t test makes 25 %."""
    draw = np.random.default_rng(24)
    wrong = naive = 0
    for _ in range(200):
        apart = np.where(draw.random(400) < 1 / 15, -56.0, 4.0) if rare else draw.normal(0, 20, 400).clip(-100, 100)
        wrong += betting(apart, -100, 100).p <= 0.05  # the running best: as if looked at after each
        n = np.arange(20, 401)
        mean, square = np.cumsum(apart)[19:] / n, np.cumsum(apart**2)[19:] / n
        t = mean / np.sqrt(np.maximum(square - mean**2, 1e-9) / (n - 1))
        naive += bool((np.abs(t) > stats.t.ppf(0.975, n - 1)).any())
    assert wrong <= 10 + 3 and naive > 50


def test_optimism_of_equal_cells_is_the_expected_maximum() -> None:
    """Five equal means with unit variance: the largest of five standard normals is expected at 1.16296."""
    found = optimism(np.zeros(5), np.eye(5), 200_000, np.random.default_rng(0))
    assert found == pytest.approx(1.16296, abs=0.01)
    assert optimism(np.array([0.0, 100.0]), np.eye(2), 20_000, np.random.default_rng(0)) == pytest.approx(0, abs=0.03)


def test_strengths_are_evalicas_bradley_terry() -> None:
    """AABABCA against BBCCAAC, X X X Y Y Y Draw: A 2.099906, C 0.875873, B 0.543700."""
    from evalica import Winner, bradley_terry

    outcomes = [Winner.X] * 3 + [Winner.Y] * 3 + [Winner.Draw]
    direct = bradley_terry(list("AABABCA"), list("BBCCAAC"), outcomes).scores
    assert [direct[name] for name in "ACB"] == pytest.approx([2.099906, 0.875873, 0.543700], abs=1e-6)
    scores = np.random.default_rng(15).normal([[2.0], [0.0], [0.0]], 1.5, (3, 200))
    found = strengths(scores, 100, np.random.default_rng(0))
    assert found is not None
    assert found.chance[0] > 0.6 and abs(found.chance[1] - found.chance[2]) < 0.1
    assert (found.interval[:, 0] < found.chance).all() and (found.chance < found.interval[:, 1]).all()
    assert strengths(scores[:1], 100, np.random.default_rng(0)) is None


def test_two_cells_strengths_are_the_share_of_wins() -> None:
    """30 wins of 40, one half draw: the odds of two cells are those of their wins, and each is measured to the mean."""
    scores = np.stack([np.where(np.arange(40) < 30, 1.0, 0.0), np.where(np.arange(40) < 30, 0.0, 1.0)])
    found = strengths(scores, 10, np.random.default_rng(0))
    assert found is not None
    odds = (30 + 0.25) / (10 + 0.25)
    assert found.chance[0] == pytest.approx(odds**0.5 / (1 + odds**0.5), abs=1e-3)


def test_one_sided_sweep_keeps_strengths_finite() -> None:
    found = strengths(np.stack([np.ones(50), np.zeros(50)]), 20, np.random.default_rng(0))
    assert found is not None and np.isfinite(found.interval).all() and found.chance[0] < 1


def test_prediction_powered_mean_is_ppi_pythons() -> None:
    """ppi_mean_ci(people, judge there, judge elsewhere, lam=1): 73.6333, 67.9101 … 79.3566."""
    people, there = np.array([60.0, 70, 80, 90, 50, 75]), np.array([70.0, 75, 85, 95, 60, 80])
    elsewhere = np.array([72.0, 85, 90, 65, 77, 88, 93, 70, 82, 81])
    found = corrected_mean(people, there, elsewhere, trust=1.0)
    assert (found.mean, found.low, found.high) == pytest.approx((73.6333, 67.9101, 79.3566), abs=5e-5)
    assert not found.decides
    tuned = corrected_mean(people, there, elsewhere)
    assert tuned.high - tuned.low < found.high - found.low
    useless = corrected_mean(people, np.full(6, 7.0), np.full(10, 7.0))
    assert useless.trust == 0 and useless.mean == people.mean()
    with pytest.raises(HarnessError, match="too few"):
        corrected_mean(people[:1], there[:1], elsewhere)


# ---------------------------------------------------------------- corpus measures


def test_clustered_corpus_moments_of_a_mean_are_the_clusters() -> None:
    draw = np.random.default_rng(16)
    clusters = np.repeat(np.arange(30), 3)
    scores = draw.normal(50, 6, (2, 90)) + draw.normal(0, 8, (2, 30))[:, clusters]
    counts = np.stack([scores, np.ones_like(scores)], axis=-1).reshape(2, 1, 30, 3, 2).sum(axis=3)
    used, seeded = np.ones((2, 1), dtype=np.bool_), np.ones(2, dtype=np.bool_)
    corpus = corpus_moments(
        CorpusPanel(counts, used, seeded, 90), lambda c: c[..., 0] / c[..., 1], 20_000, np.random.default_rng(0)
    )
    expected = item_contrasts(panel(*scores, clusters=clusters), PAIR).moments
    found = corpus.contrasts(PAIR)
    assert found.item_variance == pytest.approx(expected.item_variance, rel=0.05)
    assert (found.items.tolist(), found.units.tolist()) == ([90], [30])


# ---------------------------------------------------------------- the book's example


def test_the_books_four_scores_cannot_be_told_apart() -> None:
    """docs/statistics.md prints these: the items are granted no chance, two runs of the baseline give all there is."""
    from pathlib import Path

    values, present = np.zeros((4, 2, 110)), np.zeros((4, 2, 110), dtype=np.bool_)
    for cell, runs in enumerate([(49.45, 51.75), (48.87,), (47.73,), (50.23,)]):
        for run, mean in enumerate(runs):
            values[cell, run], present[cell, run] = mean, True
    data = Panel(values, present, np.ones(4, dtype=np.bool_))
    moments = item_contrasts(data, contrast_weights([[(c, 0)] for c in (1, 2, 3)], 4)).moments
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    for test in crossed_t(moments, seed_variance(data), "recipe"):
        assert test is not None and test.df == pytest.approx(1) and test.p > 0.35
        low, high = (f"{end:.1f}".replace("-", "−") for end in test.interval)
        assert f"| {test.estimate:.2f} | {low} to {high} | {test.p:.2f} |".replace("| -", "| −") in text
