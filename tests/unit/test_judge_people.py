"""People and judges: kappas as scikit-learn and statsmodels give them, and means that few labels correct."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from harness.raters import Ratings, corrected, rater_agreement
from harness.stats.kappa import agreement, grades


def rated(n: int, seed: int, levels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Grades 0 … levels - 1 of two raters who mostly agree."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(0, 1, n)
    a, b = (np.digitize(truth + dice.normal(0, 0.6, n), np.linspace(-1.5, 1.5, levels - 1)) for _ in range(2))
    return a, b


@pytest.mark.parametrize(("n", "levels", "seed"), [(40, 5, 0), (200, 3, 1), (60, 2, 2), (500, 7, 3)])
def test_kappas_and_rank_correlation_are_those_of_other_programs(n: int, levels: int, seed: int) -> None:
    a, b = rated(n, seed, levels)
    found = agreement(a / (levels - 1), b / (levels - 1), np.arange(n), levels, 400, np.random.default_rng(0))
    every = list(range(levels))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(a, b, labels=every))
    assert found.weighted.value == pytest.approx(cohen_kappa_score(a, b, labels=every, weights="quadratic"))
    assert found.spearman.value == pytest.approx(spearmanr(a, b).statistic)


def test_the_interval_over_items_is_the_asymptotic_one_where_answers_stand_alone() -> None:
    """statsmodels' delta-method interval (Fleiss, Cohen and Everitt 1969) of one large table."""
    a, b = rated(800, 4)
    found = agreement(a / 4, b / 4, np.arange(800), 5, 4000, np.random.default_rng(0)).kappa
    table = np.histogram2d(a, b, bins=[np.arange(6) - 0.5] * 2)[0]
    theirs = cohens_kappa(table)
    assert (found.low, found.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=0.01)


def test_answers_to_one_item_hang_together() -> None:
    """Every answer twice is no more evidence."""
    a, b = rated(100, 5)
    items = np.arange(100)
    once = agreement(a / 4, b / 4, items, 5, 4000, np.random.default_rng(0)).weighted
    twice = agreement(
        np.tile(a, 2) / 4, np.tile(b, 2) / 4, np.tile(items, 2), 5, 4000, np.random.default_rng(0)
    ).weighted
    assert (once.value, once.low, once.high) == pytest.approx((twice.value, twice.low, twice.high))


def test_a_rater_of_one_grade_tells_nothing() -> None:
    flat = agreement(np.zeros(20), np.zeros(20), np.arange(20), 5, 100, np.random.default_rng(0))
    assert np.isnan([flat.kappa.value, flat.weighted.value, flat.spearman.value]).all()


def test_grades_cut_a_scale_into_equal_parts() -> None:
    assert grades(np.array([0, 0.25, 0.5, 0.75, 1]), 5).tolist() == [0, 1, 2, 3, 4]
    assert grades(np.array([0, 0.19, 0.2, 0.99, 1]), 5).tolist() == [0, 0, 1, 4, 4]
    assert grades(np.array([0, 0.25, 0.5, 0.75, 1]), 3).tolist() == [0, 0, 1, 2, 2], "one order of a pair is no win"


def judge_and_people(labels: int, n: int = 400, seed: int = 0) -> tuple[Ratings, Ratings, float]:
    """A judge that is two grades of a hundred too kind, and a person who rated some of its items."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(50, 15, n)
    scored = {("v", f"e{i}", 0): float(truth[i] + 12 + dice.normal(0, 5)) for i in range(n)}
    said = {("v", f"e{i}", 0): float(truth[i]) for i in range(labels)}
    scale = (0.0, 100.0)
    return (
        Ratings("j", scale, 101, "pointwise", "rubric", scored),
        Ratings("p", scale, 101, "pointwise", "rubric", said),
        float(truth.mean()),
    )


def test_few_labels_take_a_judge_s_kindness_out() -> None:
    judge, person, truth = judge_and_people(60)
    [found] = corrected(judge, [person], {"v": "cell"})
    assert found.judge_mean > truth + 10
    assert found.corrected.low is not None and found.corrected.high is not None
    assert found.corrected.low < truth < found.corrected.high
    assert found.corrected.high - found.corrected.low < 5, "people alone would need an interval of 7.6"
    assert (found.cell, found.labels, found.items, found.raters, found.decides) == ("cell", 60, 400, 1, True)


def test_a_corrected_mean_covers_as_often_as_it_says() -> None:
    """Over items drawn anew: the truth is the mean of all items that there could be, 50."""
    hits = 0
    for seed in range(300):
        judge, person, _ = judge_and_people(40, 200, seed)
        [found] = corrected(judge, [person], {"v": "cell"})
        assert found.corrected.low is not None and found.corrected.high is not None
        hits += found.corrected.low <= 50 <= found.corrected.high
    assert 0.91 <= hits / 300 <= 0.98


def test_only_raters_of_the_judge_s_own_rubric_correct_it_but_all_of_its_mode_are_compared() -> None:
    judge, person, _ = judge_and_people(60)
    fifths = {key: 1 + value // 25 for key, value in person.scores.items()}
    other = Ratings("q", (1.0, 5.0), 5, "pointwise", "rubric", fifths)
    pair = Ratings("r", (0.0, 100.0), 3, "pairwise", "rubric", person.scores)
    style = Ratings("s", (0.0, 100.0), 101, "pointwise", "another rubric", person.scores)
    assert not list(corrected(judge, [other, pair, style], {"v": "cell"}))
    found = rater_agreement(other, judge, judge=True)
    assert found is not None and found.spearman is not None and found.weighted is not None
    assert (found.n, found.levels) == (60, 5)
    assert found.spearman.value > 0.8
    assert rater_agreement(pair, judge, judge=True) is None
