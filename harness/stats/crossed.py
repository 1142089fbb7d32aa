"""The headline test: a t test of a contrast of cells with two crossed sources of chance, items and training seeds.

V = max(T_item + T_seed - T_int, T_item), df by Satterthwaite (1946). T_item already holds the seed×item interaction,
and so does T_seed; T_int takes it out once. The variance over seeds is pooled over the whole matrix, because a cell
alone has too few seeds to estimate it. T_int is the interaction over as many items as the seeds were compared over:
fewer than the contrast's where scores are missing. Each source by itself: Clark et al. 2011 ("Better hypothesis testing
for statistical machine translation: controlling for optimizer instability"), Miller 2024 (arXiv 2411.00640).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import fdtrc, stdtr, stdtrit

from harness.stats.panel import RELATIVE_TOLERANCE, BoolArray, FloatArray, Moments, Panel, cluster_sums

Scope = Literal["checkpoint", "recipe"]
"""checkpoint: other items might have been drawn; recipe: other items, and other training seeds."""

WARN_RATIO = 4.0
"""Largest over smallest seed variance above which pooling is questioned."""


@dataclass(frozen=True, slots=True)
class SeedVariance:
    """Variance of a cell's score between training seeds, in points², pooled over the matrix and cell by cell.

    `by_cell` is None and `df_by_cell` 0 for a cell with fewer than two seeds.
    """

    pooled: float
    df: int
    interaction: float
    """Mean square of the seed×item residuals, pooled; points²."""
    of_items: float
    """What `pooled` owes to that interaction: over n items that all seeds have, interaction / n; points²."""
    by_cell: tuple[float | None, ...]
    df_by_cell: tuple[int, ...]

    @property
    def between(self) -> float:
        """`pooled` without what it owes to the items."""
        return max(self.pooled - self.of_items, 0.0)

    @property
    def ratio(self) -> float | None:
        """Largest over smallest of the cells' variances; None with fewer than two cells or a variance of nil."""
        known = [variance for variance in self.by_cell if variance is not None]
        return max(known) / min(known) if len(known) > 1 and min(known) > 0 else None

    @property
    def unequal_p(self) -> float | None:
        """p-value of the hypothesis that no cell's seed variance exceeds the others' (Cochran 1941, unequal df).

        Each cell against the pooled rest by F, Bonferroni over the cells. None with fewer than two cells to compare.
        """
        known = [(v, df) for v, df in zip(self.by_cell, self.df_by_cell, strict=True) if v is not None]
        if len(known) < 2 or self.pooled <= 0:
            return None
        return min(1.0, len(known) * min(_above_rest_p(v, df, self.pooled, self.df) for v, df in known))

    @property
    def unequal(self) -> bool:
        """True where the ratio is above 4 and chance does not explain it: contrasts then use their own variances.

        With two seeds a cell, ratios far above 4 are the rule under equal variances: the ratio alone decides nothing.
        """
        known = [variance for variance in self.by_cell if variance is not None]
        p = self.unequal_p
        return p is not None and p <= 0.05 and max(known) > WARN_RATIO * min(known)


def _above_rest_p(variance: float, df: int, pooled: float, df_pooled: int) -> float:
    rest_df = df_pooled - df
    rest = (pooled * df_pooled - variance * df) / rest_df
    if rest <= pooled * 1e-12:
        return 0.0
    return float(fdtrc(df, rest_df, variance / rest))


def pool_seed_variance(
    variances: list[float | None], dfs: list[int], loads: list[float], interaction_ss: float, interaction_df: float
) -> SeedVariance | None:
    """Pool the cells' variances over seeds, weighted by their df; None where no cell has two seeds.

    `loads`: what the interaction is multiplied with in each cell's variance, 1 / n over n items that all seeds have.
    """
    df = sum(dfs)
    if df == 0:
        return None
    pooled = sum(v * f for v, f in zip(variances, dfs, strict=True) if v is not None) / df
    interaction = interaction_ss / interaction_df if interaction_df > 0 else 0.0
    return SeedVariance(
        pooled=pooled,
        df=df,
        interaction=interaction,
        of_items=interaction * sum(load * f for load, f in zip(loads, dfs, strict=True)) / df,
        by_cell=tuple(variances),
        df_by_cell=tuple(dfs),
    )


def declared_seed_variance(sd: float, cells: int) -> SeedVariance:
    """Seed variance that the user vouches for, where no cell has two seeds: known, so with as good as endless df."""
    return SeedVariance(sd**2, 1_000_000, 0.0, 0.0, (None,) * cells, (0,) * cells)


def seed_variance(panel: Panel) -> SeedVariance | None:
    """Seed variance of a per-item measure, over items that two seeds of a cell have; None with one seed each."""
    variances: list[float | None] = []
    dfs: list[int] = []
    loads: list[float] = []
    interaction_ss = interaction_df = 0.0
    nothing = (RELATIVE_TOLERANCE * panel.scale) ** 2
    for values, present, seeded in zip(panel.values, panel.present, panel.seeded, strict=True):
        found = _seed_effects(values, present) if seeded else None
        if found is None:
            variances.append(None)
            dfs.append(0)
            loads.append(0.0)
            continue
        variance = float(found.effects.var(ddof=1))
        variances.append(variance if variance > nothing else 0.0)
        dfs.append(len(found.effects) - 1)
        loads.append(found.load)
        free = found.scores - found.residuals.shape[1]  # a mean an item
        if panel.clusters is None:
            interaction_ss += float((found.residuals**2).sum())
            interaction_df += free - dfs[-1]
        else:  # the clusters' sums take the items' place, so that interaction / n is the CR1 variance again
            sums = cluster_sums(found.residuals, panel.clusters[found.shared])
            groups = sums.shape[1]
            interaction_ss += float((sums**2).sum()) * groups / max(groups - 1, 1)
            interaction_df += free
    return pool_seed_variance(variances, dfs, loads, interaction_ss, interaction_df)


@dataclass(frozen=True, slots=True)
class _SeedEffects:
    """One cell's scores as item + seed + rest, over the m items of `shared`. `load`: see `pool_seed_variance`."""

    effects: FloatArray  # (S,)
    residuals: FloatArray  # (S, m), 0 where there is no score
    shared: BoolArray  # (n,)
    scores: int
    load: float


def _seed_effects(values: FloatArray, present: BoolArray) -> _SeedEffects | None:
    """By least squares, since a mean over what happens to be scored would hold the items' own differences.

    With every score there, an effect is the seed's mean less the cell's. None with fewer than two seeds or items, and
    where seeds have no item in common that would tie them.
    """
    used, shared = present.any(axis=1), present.sum(axis=0) >= 2
    there, scores = present[used][:, shared], values[used][:, shared]  # (S, m)
    seeds, items = there.shape
    count = int(there.sum())
    if seeds < 2 or items < 2 or count - items < seeds:
        return None
    shares = there / there.sum(axis=0)
    centred = np.where(there, scores - (shares * scores).sum(axis=0), 0.0)
    information = np.diag(there.sum(axis=1)) - there @ shares.T  # (S, S), its rows sum to nil
    if np.linalg.eigvalsh(information)[1] < 1e-6:
        return None
    inverse = np.linalg.inv(information + items / seeds) - 1 / (items * seeds)
    effects = inverse @ centred.sum(axis=1)
    residuals = np.where(there, centred - effects[:, None] + effects @ shares, 0.0)
    return _SeedEffects(effects, residuals, shared, count, float(np.trace(inverse)) / (seeds - 1))


@dataclass(frozen=True, slots=True)
class CrossedTest:
    """One contrast tested. `variance` is V, the square of the standard error; `interval` is two-sided at `level`."""

    scope: Scope
    estimate: float
    variance: float
    df: float
    t: float
    p: float
    interval: tuple[float, float]
    method: Literal["crossed t", "bootstrap-t", "betting"] = "crossed t"


def crossed_t(
    moments: Moments, seeds: SeedVariance | None, scope: Scope, level: float = 0.95
) -> tuple[CrossedTest | None, ...]:
    """Test every contrast against nil. None where a scope cannot be tested: see `variance_and_df`.

    `scope` "checkpoint" is the paired t of the items (df = items - 1, or clusters - 1) and ignores `seeds`.
    """
    variance, df, testable = variance_and_df(moments, seeds, scope)
    safe_variance, safe_df = np.where(testable, variance, 1.0), np.where(testable, df, 1.0)
    error = np.sqrt(safe_variance)
    t = moments.estimate / error
    # Where t is so large that p underflows, the smallest positive number says "not nil".
    p = np.maximum(2 * stdtr(safe_df, -np.abs(t)), sys.float_info.min)
    half = stdtrit(safe_df, (1 + level) / 2) * error
    return tuple(
        CrossedTest(scope, float(d), float(v), float(f), float(s), float(q), (float(d - h), float(d + h)))
        if ok
        else None
        for d, v, f, s, q, h, ok in zip(moments.estimate, variance, df, t, p, half, testable, strict=True)
    )


def variance_and_df(
    moments: Moments, seeds: SeedVariance | None, scope: Scope
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """(V, df, testable), each (K,).

    Not testable: fewer than two items or clusters; no spread to test against (V = 0); or scope "recipe" where no seed
    variance is known, or where the contrast has no trained cell (then checkpoint and recipe are the same).
    """
    item = moments.item_variance
    item_df = np.maximum(moments.units - 1, 1).astype(np.float64)
    if scope == "checkpoint" or seeds is None:
        testable = (moments.units >= 2) & (item > 0) & (scope == "checkpoint")
        return item, item_df, testable
    seed, seed_spread = _seed_term(moments.seed_load, seeds)
    interaction = moments.seed_load.sum(axis=1) * seeds.of_items
    variance = np.maximum(item + seed - interaction, item)
    spread = item**2 / item_df + seed_spread
    testable = (moments.units >= 2) & (variance > 0) & (spread > 0) & (moments.seed_load.sum(axis=1) > 0)
    df = np.where(testable, variance**2 / np.where(testable, spread, 1.0), 1.0)
    # Every source has one degree of freedom at least; taking T_int out of V could bring the formula far below that.
    return variance, np.maximum(df, 1.0), testable


def seed_noise(moments: Moments, seeds: SeedVariance) -> tuple[FloatArray, FloatArray]:
    """(variance, df), each (K,): what the choice of seeds adds to T_item in scope "recipe"."""
    variance, _, _ = variance_and_df(moments, seeds, "recipe")
    term, spread = _seed_term(moments.seed_load, seeds)
    df = np.where(spread > 0, term**2 / np.where(spread > 0, spread, 1.0), 1.0)
    return variance - moments.item_variance, df


def _seed_term(load: FloatArray, seeds: SeedVariance) -> tuple[FloatArray, FloatArray]:
    """(T_seed, its Satterthwaite term), each (K,): pooled, or cell by cell where the cells' variances differ."""
    if not seeds.unequal:
        term = load.sum(axis=1) * seeds.pooled
        return term, term**2 / seeds.df
    own = np.array([seeds.pooled if v is None else v for v in seeds.by_cell])
    own_df = np.array([seeds.df if v is None else df for v, df in zip(seeds.by_cell, seeds.df_by_cell, strict=True)])
    terms = load * own  # (K, C)
    return terms.sum(axis=1), (terms**2 / own_df).sum(axis=1)


def tipping_point(test: CrossedTest, seed_load: float, alpha: float = 0.05) -> float | None:
    """With one seed everywhere: the standard deviation between seeds (points) up to which the difference still stands.

    None where the difference is not significant at `alpha` even for these checkpoints, or no cell has a seed.
    `seed_load` is the contrast's summed seed load, 1/S_a + 1/S_b for a pair.
    """
    critical = float(stdtrit(test.df, 1 - alpha / 2))
    spare = (test.estimate / critical) ** 2 - test.variance
    return float(np.sqrt(spare / seed_load)) if spare >= 0 and seed_load > 0 else None
