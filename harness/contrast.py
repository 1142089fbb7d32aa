"""One measure over all cells, contrasted: what the statistics say about differences between cells, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from harness.align import Aligned
from harness.records.result import MeasureInfo
from harness.sequential import Course, Sequential
from harness.stats.bootstrap import Bootstrap, SeedNoise, paired_bootstrap, percentile_interval
from harness.stats.corpus import CorpusMoments, CorpusPanel, CorpusScore, corpus_moments
from harness.stats.crossed import (
    CrossedTest,
    Scope,
    SeedVariance,
    crossed_t,
    declared_seed_variance,
    seed_noise,
    seed_variance,
)
from harness.stats.equivalence import WithinMargin, within_margin
from harness.stats.panel import (
    BoolArray,
    CellPairs,
    FloatArray,
    ItemContrasts,
    Moments,
    contrast_weights,
    item_contrasts,
    item_means,
)
from harness.stats.passfail import mcnemar
from harness.stats.signflip import sign_flip
from harness.stats.swap import swap_test
from harness.stats.wilcoxon import signed_rank

SKEWED = 1.0
"""Skewness of the items' differences above which, with up to `MANY_ITEMS` items, bootstrap-t takes the t's place."""
MANY_ITEMS = 200
"""Above this many items the t test holds for skewed differences too: false alarms 5 %, against 13 % at 30 items."""
FEW_ITEMS = 50
"""Below this many items neither test holds where some scores are rare and far away."""


@dataclass(frozen=True, slots=True)
class Testing:
    """How differences are tested: two-sided at `alpha`, with intervals at `level`, this many resamples, from this seed.

    `margin`: points that do not matter, None for no claim of equivalence. `seed_sd`: standard deviation of a cell's
    score between training seeds that the user vouches for, used where no cell has two seeds; None where none is.
    `headline_only`: leave out the tests that stand beside the one that decides.
    """

    alpha: float = 0.05
    permutations: int = 10_000
    seed: int = 0
    margin: float | None = None
    seed_sd: float | None = None
    level: float = 0.95
    headline_only: bool = False


@dataclass(frozen=True, slots=True)
class CorpusPart:
    """What a corpus measure has beyond its items' values."""

    panel: CorpusPanel
    score: CorpusScore
    moments: CorpusMoments


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure over all cells, ready to be contrasted. `seeds` is None where no seed variance is known."""

    info: MeasureInfo
    aligned: Aligned
    seeds: SeedVariance | None
    corpus: CorpusPart | None
    testing: Testing
    sequential: Sequential | None = None

    def course(self, values: FloatArray, there: BoolArray, low: float, high: float) -> Course:
        """Values (n,) of the items, in the order in which the judge was asked about them."""
        assert self.sequential is not None  # noqa: S101 - only such a measure has an order
        return Course.of(values, there, self.sequential.places(self.aligned.items), low, high)

    def generator(self) -> np.random.Generator:
        """A fresh generator that depends on the seed and the measure's name, and on nothing computed before."""
        return np.random.default_rng((self.testing.seed, crc32(self.info.name.encode())))

    @property
    def clustered(self) -> bool:
        """Whether items come in groups."""
        return self.aligned.panel.clusters is not None

    @property
    def pass_or_fail(self) -> BoolArray:
        """(C,): cells with one run whose items score the one end of the scale or the other, and nothing between."""
        panel = self.aligned.panel
        folded = item_means(panel)
        low, high = self.info.bounds
        at_end = ((folded.means == low) | (folded.means == high) | ~folded.scored).all(axis=1)
        return np.asarray(at_end & (panel.present.any(axis=2).sum(axis=1) == 1), dtype=np.bool_)


def measured(
    info: MeasureInfo,
    aligned: Aligned,
    score: CorpusScore | None,
    testing: Testing,
    sequential: Sequential | None = None,
) -> Measured:
    """Estimate what all contrasts of a measure share. `score` is needed for a corpus measure.

    A judge that stopped when it was decided (`sequential`) decided about checkpoints: seeds play no part.
    """
    plain = Measured(info, aligned, None, None, testing, sequential)
    if sequential is not None:
        return plain
    if aligned.counts is None or score is None:
        found = seed_variance(aligned.panel)
    else:
        moments = corpus_moments(aligned.counts, score, testing.permutations, plain.generator())
        plain, found = replace(plain, corpus=CorpusPart(aligned.counts, score, moments)), moments.seeds
    if found is None and testing.seed_sd is not None:
        found = declared_seed_variance(testing.seed_sd, len(aligned.panel.seeded))
    return replace(plain, seeds=found)


@dataclass(frozen=True, slots=True)
class Contrast:
    """First side minus second side of one contrast, tested in every way on offer.

    `headline` is the test that decides: the widest scope that the data allow (the recipe where seeds are known, else
    these checkpoints), by bootstrap-t where 50 to 200 items have skewed differences. None without spread.
    """

    items: int
    units: int
    mean_a: float
    mean_b: float
    delta: float
    item_variance: float
    seed_load: float
    skewness: float
    headline: CrossedTest | None
    within: WithinMargin | None
    tests: tuple[CrossedTest, ...]
    bootstraps: tuple[tuple[str, tuple[float, float]], ...]
    """Checkpoint scope: (name, interval)."""
    permutation_p: float | None
    wilcoxon_p: float | None
    mcnemar_p: float | None
    wins: int
    ties: int
    losses: int
    identical: bool
    furthest: float = np.inf
    """How far apart the sides can lie on the measure's scale, points."""
    arms: FloatArray | None = None
    """Of bootstrap-t's interval the longer one at each of `stats.bootstrap.ALPHAS`, points."""
    fixed_half_width: float | None = None
    """Half of the t interval, had a judge that stopped when it was decided been asked about a fixed number of items."""

    @property
    def effect_size(self) -> float | None:
        """Cohen's d_z; None without spread. For a corpus measure the spread is the bootstrap's, brought to one item."""
        spread = float(np.sqrt(self.item_variance * self.items))
        return self.delta / spread if spread > 0 else None


@dataclass(frozen=True, slots=True)
class _Tested:
    """All contrasts of a measure with everything that is computed for all of them at once."""

    by_item: ItemContrasts
    moments: Moments
    tests: dict[Scope, tuple[CrossedTest | None, ...]]
    skewness: FloatArray
    bootstrap: Bootstrap | None
    percentile: FloatArray | None
    permutation: FloatArray | None
    wilcoxon: FloatArray | None
    mcnemar: FloatArray | None
    sides: tuple[FloatArray, FloatArray]


def contrast_all(measure: Measured, contrasts: Sequence[CellPairs]) -> tuple[Contrast, ...]:
    """Test every contrast of cells on one measure."""
    weights = contrast_weights(contrasts, len(measure.aligned.panel.seeded))
    return contrast_weighted(measure, weights, contrasts)


def contrast_weighted(
    measure: Measured, weights: FloatArray, pairs: Sequence[CellPairs] | None = None
) -> tuple[Contrast, ...]:
    """Test weighted sums of cells (K, C). `pairs`: the same as pairs of cells, which a swap test needs."""
    if not len(weights):
        return ()
    by_item = item_contrasts(measure.aligned.panel, weights)
    moments = measure.corpus.moments.contrasts(weights) if measure.corpus else by_item.moments
    corpus, beside = measure.corpus, not measure.testing.headline_only
    skewness = _skewness(by_item) if corpus is None else _corpus_skewness(corpus.moments, weights)
    bootstrap = corpus is None and (beside or bool(_skewed(skewness, moments).any()))
    tested = _Tested(
        by_item,
        moments,
        {scope: crossed_t(moments, measure.seeds, scope, measure.testing.level) for scope in SCOPES},
        skewness,
        _bootstrap(measure, by_item, moments) if bootstrap else None,
        percentile_interval(weights, corpus.moments.draw_means, measure.testing.level) if corpus and beside else None,
        _permutation(measure, pairs, by_item) if beside else None,
        signed_rank(by_item.differences) if beside and corpus is None and not measure.clustered else None,
        _mcnemar(measure, weights, by_item) if beside else None,
        _side_means(measure, weights, by_item),
    )
    found = tuple(_possible(measure, _contrast(measure, tested, k), row) for k, row in enumerate(weights))
    if measure.sequential is None:
        return found
    return tuple(
        _until_decided(measure, each, row, by_item, k) for k, (each, row) in enumerate(zip(found, weights, strict=True))
    )


def _possible(measure: Measured, found: Contrast, weights: FloatArray) -> Contrast:
    """Intervals within what scores of this scale can differ by: with few degrees of freedom a t's end lies beyond."""
    low, high = measure.info.bounds
    if found.headline is None or not np.isfinite([low, high]).all():
        return found
    reach = float(np.maximum(weights, 0).sum()) * (high - low)

    def within(interval: tuple[float, float]) -> tuple[float, float]:
        return max(interval[0], -reach), min(interval[1], reach)

    return replace(
        found,
        furthest=reach,
        headline=replace(found.headline, interval=within(found.headline.interval)),
        tests=tuple(replace(test, interval=within(test.interval)) for test in found.tests),
        bootstraps=tuple((name, within(interval)) for name, interval in found.bootstraps),
    )


def _until_decided(measure: Measured, found: Contrast, weights: FloatArray, by_item: ItemContrasts, k: int) -> Contrast:
    """The same by the one test that holds whenever a judge stops; the others need a number fixed beforehand."""
    low, high = measure.info.bounds
    if found.identical or found.units < 2 or measure.sequential is None or not np.isfinite([low, high]).all():
        return found
    reach = float(np.maximum(weights, 0).sum()) * (high - low)
    course = measure.course(by_item.differences[k], by_item.included[k], -reach, reach)
    test, within = course.test(measure.testing.level, measure.sequential.alpha, measure.testing.margin)
    fixed = None if found.headline is None else (found.headline.interval[1] - found.headline.interval[0]) / 2
    return replace(
        found, headline=test, within=within, tests=(test,), bootstraps=(), permutation_p=None, wilcoxon_p=None,
        mcnemar_p=None, fixed_half_width=fixed,
    )  # fmt: skip


def _skewed(skewness: FloatArray, moments: Moments) -> BoolArray:
    """(K,): where bootstrap-t decides."""
    few = (moments.units >= FEW_ITEMS) & (moments.units <= MANY_ITEMS)
    return np.asarray(few & (np.abs(skewness) > SKEWED), dtype=np.bool_)


SCOPES: tuple[Scope, Scope] = ("recipe", "checkpoint")


def _contrast(measure: Measured, all_: _Tested, k: int) -> Contrast:
    differences, moments = all_.by_item.differences[k], all_.moments
    better = differences if measure.info.higher_is_better else -differences
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    identical = wins == losses == 0 and abs(float(moments.estimate[k])) < 1e-9
    tests = [test for scope in SCOPES if (test := all_.tests[scope][k]) is not None and not identical]
    headline, within = _headline(measure, all_, k, tests)
    if headline is not None and headline.method == "bootstrap-t":
        tests.insert(0, headline)
    return Contrast(
        items=int(moments.items[k]),
        units=int(moments.units[k]),
        mean_a=float(all_.sides[0][k]),
        mean_b=float(all_.sides[1][k]),
        delta=float(moments.estimate[k]),
        item_variance=float(moments.item_variance[k]),
        seed_load=float(moments.seed_load[k].sum()),
        skewness=float(all_.skewness[k]),
        headline=headline,
        within=within,
        tests=tuple(tests),
        bootstraps=_bootstraps(all_, k) if tests else (),
        permutation_p=None if all_.permutation is None else float(all_.permutation[k]),
        wilcoxon_p=None if all_.wilcoxon is None else float(all_.wilcoxon[k]),
        mcnemar_p=None if all_.mcnemar is None or np.isnan(all_.mcnemar[k]) else float(all_.mcnemar[k]),
        wins=wins,
        ties=int(all_.by_item.included[k].sum()) - wins - losses,
        losses=losses,
        identical=identical,
        arms=None if all_.bootstrap is None else all_.bootstrap.arms[k],
    )


def _headline(
    measure: Measured, all_: _Tested, k: int, tests: list[CrossedTest]
) -> tuple[CrossedTest | None, WithinMargin | None]:
    """The test that decides, and what it says of the margin."""
    if not tests:
        return None, None
    test, margin, boot = tests[0], measure.testing.margin, all_.bootstrap
    if boot is None or not _skewed(all_.skewness, all_.moments)[k] or np.isnan(boot.p[k]):
        return test, None if margin is None else within_margin(test, margin)
    low, high = boot.t[k]
    headline = replace(test, p=float(boot.p[k]), interval=(float(low), float(high)), method="bootstrap-t")
    return headline, None if margin is None else WithinMargin(float(boot.above[k]), float(boot.below[k]))


def _bootstraps(all_: _Tested, k: int) -> tuple[tuple[str, tuple[float, float]], ...]:
    if all_.percentile is not None:
        return (("percentile bootstrap", _ends(all_.percentile[k])),)
    if all_.bootstrap is None or np.isnan(all_.bootstrap.p[k]):
        return ()
    named = {"percentile bootstrap": all_.bootstrap.percentile, "BCa bootstrap": all_.bootstrap.bca}
    return tuple((name, _ends(intervals[k])) for name, intervals in named.items())


def _ends(interval: FloatArray) -> tuple[float, float]:
    return float(interval[0]), float(interval[1])


def _bootstrap(measure: Measured, by_item: ItemContrasts, moments: Moments) -> Bootstrap:
    seeds = None if measure.seeds is None else SeedNoise(*seed_noise(moments, measure.seeds))
    testing = measure.testing
    return paired_bootstrap(
        by_item.units,
        testing.permutations,
        measure.generator(),
        seeds=seeds,
        level=testing.level,
        margin=testing.margin or 0.0,
    )


def _skewness(by_item: ItemContrasts) -> FloatArray:
    """(K,): of the units' values; 0 without spread."""
    counted, values = by_item.units.counted, by_item.units.values
    n = np.maximum(counted.sum(axis=1), 1)
    centred = np.where(counted, values - by_item.moments.estimate[:, None], 0.0)
    square = (centred**2).sum(axis=1) / n
    cube = np.einsum("kg,kg,kg->k", centred, centred, centred) / n  # ** 3 takes far longer
    return _standardised(cube, square, by_item.moments)


def _corpus_skewness(corpus: CorpusMoments, weights: FloatArray) -> FloatArray:
    """(K,): of what each unit does to the corpus figures' difference."""
    moved = weights @ corpus.influence
    cube = np.einsum("kg,kg,kg->k", moved, moved, moved) / max(moved.shape[1], 1)
    return _standardised(cube, (moved**2).mean(axis=1), corpus.contrasts(weights))


def _standardised(cube: FloatArray, square: FloatArray, moments: Moments) -> FloatArray:
    spread = (moments.item_variance > 0) & (square > 0)
    return np.where(spread, cube / np.where(spread, square, 1.0) ** 1.5, 0.0)


def _permutation(measure: Measured, pairs: Sequence[CellPairs] | None, by_item: ItemContrasts) -> FloatArray | None:
    resamples = measure.testing.permutations
    if measure.corpus is None:
        return sign_flip(by_item.units.sums, resamples, measure.generator(), by_item.units.factors)
    if pairs is None:
        return None
    return swap_test(measure.corpus.panel, pairs, measure.corpus.score, resamples, measure.generator())


def _mcnemar(measure: Measured, weights: FloatArray, by_item: ItemContrasts) -> FloatArray | None:
    """(K,), nan for a contrast of more than two cells or of scores that are not pass or fail; None if all are."""
    if measure.corpus is not None or measure.clustered:
        return None
    binary = measure.pass_or_fail
    pair = ((weights != 0).sum(axis=1) == 2) & (((weights != 0) & ~binary).sum(axis=1) == 0)
    if not pair.any():
        return None
    gains, losses = ((by_item.differences * sign > 0).sum(axis=1) for sign in (1, -1))
    return np.where(pair, mcnemar(gains, losses), np.nan)


def _side_means(measure: Measured, weights: FloatArray, by_item: ItemContrasts) -> tuple[FloatArray, FloatArray]:
    """(K,) each: the means of the first and of the second side, over the items of the contrast."""
    sides = np.maximum(weights, 0), np.maximum(-weights, 0)
    if measure.corpus is not None:
        first, second = (side @ measure.corpus.moments.means for side in sides)
        return first, second
    means = item_means(measure.aligned.panel).means
    items = np.maximum(by_item.moments.items, 1)
    first, second = (np.where(by_item.included, side @ means, 0.0).sum(axis=1) / items for side in sides)
    return first, second
