"""Paired bootstrap of contrasts: percentile, BCa (Efron 1987) and bootstrap-t (Efron and Tibshirani 1993, ch. 12, 14).

All contrasts share their resamples, which are one matrix of weights: every resampled sum is a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from harness.stats.blocks import each_block
from harness.stats.corpus import resample_weights
from harness.stats.panel import BoolArray, FloatArray, IntArray, Reals, Units

_BLOCK = 256
"""Contrasts at a time: with 10,000 resamples 10 MB in single precision."""
_CHUNK = 1000
_LEAST_VARIANCE = 1e-6
"""Share of the sample's variance below which a resample's does not fall: one item drawn throughout has none."""


ALPHAS = np.array([0.05, 0.02, 0.01, 0.005, 0.002, 0.001])
"""Levels of two-sided tests for which the arms of bootstrap-t's interval are kept."""


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """What the choice of training seeds adds to each contrast: variance (K,) and its degrees of freedom (K,)."""

    variance: FloatArray
    df: FloatArray


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Bootstrap of K contrasts. Intervals are (K, 2), equal-tailed; `p` two-sided, never below 2 / (resamples + 1).

    `above`, `below`: one-sided p-values of "not above -margin" and "not below +margin" (K,), by bootstrap-t. `arms`
    (K, levels): the longer arm of bootstrap-t's interval that leaves out each of `ALPHAS`.
    """

    percentile: FloatArray
    bca: FloatArray
    t: FloatArray
    p: FloatArray
    above: FloatArray
    below: FloatArray
    arms: FloatArray


def paired_bootstrap(
    units: Units,
    resamples: int,
    generator: np.random.Generator,
    *,
    seeds: SeedNoise | None = None,
    level: float = 0.95,
    margin: float = 0.0,
) -> Bootstrap:
    """Bootstrap the mean of each row's counted units.

    Percentile and BCa speak of the items alone. Bootstrap-t divides each resample's error by its own standard error;
    with `seeds`, normal seed effects of that variance are drawn too, and the variance's own chi-square error, so that
    for symmetric scores it comes out as the crossed t. Rows with fewer than two units or no spread give nan.
    """
    rows, size = units.values.shape
    weights = _weights(resamples, size, generator)
    sums = None
    if units.factors is not None:  # centred, so that single precision is enough
        cells = units.factors[1] - units.factors[1].mean(axis=1, keepdims=True)
        sums = cells.astype(np.float32) @ weights
    normal = generator.standard_normal(resamples).astype(np.float32)
    shapes = (*[(rows, 2)] * 3, *[(rows,)] * 3, (rows, len(ALPHAS)))
    found = Bootstrap(*(np.full(shape, np.nan) for shape in shapes))
    counts = units.counted.sum(axis=1)
    generators = generator.spawn(-(-rows // _BLOCK))  # one a block, so that threads cannot change the digits

    def fill(number: int, block: slice) -> None:
        n = np.maximum(counts[block], 1)
        estimate = units.values[block].sum(axis=1) / n
        centred = np.where(units.counted[block], units.values[block] - estimate[:, None], 0.0)
        variance = (centred**2).sum(axis=1) / np.maximum(n - 1, 1)
        usable = np.flatnonzero((counts[block] > 1) & (variance > (1e-9 * (1 + np.abs(estimate))) ** 2))
        if not usable.size:
            return
        at = usable + block.start
        standard = centred[usable] / np.sqrt(variance[usable])[:, None]
        left = None if units.factors is None else units.factors[0][at]
        piece = _Piece(estimate[usable], variance[usable], standard, units.counted[at], left)
        noise = None if seeds is None else SeedNoise(seeds.variance[at], seeds.df[at])
        _fill(found, at, piece, _Resamples(weights, sums, normal, noise, generators[number]), level, margin)

    each_block(fill, rows, _BLOCK)
    return found


@dataclass(frozen=True, slots=True)
class _Piece:
    """J rows with their units centred and brought to variance 1; `left`: their rows of the units' first factor."""

    estimate: FloatArray  # (J,)
    variance: FloatArray  # (J,)
    standard: FloatArray  # (J, G)
    counted: BoolArray  # (J, G)
    left: FloatArray | None  # (J, C)


@dataclass(frozen=True, slots=True)
class _Resamples:
    """`weights` (G, B) of the units, standard `normal` seed effects (B,), and the seed noise of some rows."""

    weights: Reals
    sums: Reals | None
    """(C, B): resampled sums of the units' second factor."""
    normal: Reals
    noise: SeedNoise | None
    generator: np.random.Generator

    def sorted_means_and_t(self, piece: _Piece) -> tuple[Reals, Reals]:
        """Each (J, B), of the centred units of variance 1."""
        x = piece.standard.astype(np.float32)
        if piece.counted.all():
            n: Reals = np.full((len(x), 1), x.shape[1], dtype=np.float32)
        else:
            n = np.maximum(piece.counted.astype(np.float32) @ self.weights, 1)
        if piece.left is None or self.sums is None:
            means = (x @ self.weights) / n
        else:
            # Scaled last: the difference of two cells is then rounded once, whatever the order of the cells.
            means = piece.left.astype(np.float32) @ self.sums
            means *= (1 / (n * np.sqrt(piece.variance)[:, None])).astype(np.float32)
        variance = (x**2 @ self.weights) / n - means**2
        variance = np.maximum(variance, _LEAST_VARIANCE) / np.maximum(n - 1, 1)
        error = means
        if self.noise is not None:
            share = (self.noise.variance / piece.variance).astype(np.float32)[:, None]
            df = self.noise.df[:, None]
            error = means + np.sqrt(share) * self.normal
            variance += share * (self.generator.chisquare(df, size=means.shape) / df).astype(np.float32)
        t = error / np.sqrt(variance)
        means.sort(axis=1)
        t.sort(axis=1)
        return means, t


def _fill(found: Bootstrap, at: IntArray, piece: _Piece, resamples: _Resamples, level: float, margin: float) -> None:
    means, t = resamples.sorted_means_and_t(piece)
    noise = resamples.noise
    n = piece.counted.sum(axis=1)
    error = np.sqrt(piece.variance / n + (0.0 if noise is None else noise.variance))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    both = np.broadcast_to(tails, (len(at), 2))
    centre, scale = piece.estimate[:, None], np.sqrt(piece.variance)[:, None]
    found.t[at] = centre - _order_statistics(t, both)[:, ::-1] * error[:, None]
    found.percentile[at] = centre + scale * _order_statistics(means, both)
    found.bca[at] = centre + scale * _order_statistics(means, _bca_levels(piece, means, tails))
    ends = [np.broadcast_to(level, (len(at), len(ALPHAS))) for level in (ALPHAS / 2, 1 - ALPHAS / 2)]
    found.arms[at] = np.maximum(-_order_statistics(t, ends[0]), _order_statistics(t, ends[1])) * error[:, None]
    upper, lower = _tails(t, piece.estimate / error)
    found.p[at] = np.minimum(1.0, 2 * np.minimum(upper, lower))
    found.above[at] = _tails(t, (piece.estimate + margin) / error)[0]
    found.below[at] = _tails(t, (piece.estimate - margin) / error)[1]


def _weights(resamples: int, units: int, generator: np.random.Generator) -> Reals:
    """(G, B) in single precision, which holds these counts exactly."""
    found = np.empty((units, resamples), dtype=np.float32)
    for start in range(0, resamples, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, resamples))
        found[:, chunk] = resample_weights(chunk.stop - chunk.start, units, generator, np.float32).T
    return found


def _order_statistics(values: Reals, levels: FloatArray) -> FloatArray:
    """(J, L): quantiles of sorted rows (J, B) at each row's levels, as order statistics of B + 1 gaps."""
    count = values.shape[1]
    place = np.clip(np.round(levels * (count + 1)).astype(np.int64) - 1, 0, count - 1)
    return np.take_along_axis(values, place, axis=1).astype(np.float64)


def _bca_levels(piece: _Piece, means: Reals, tails: FloatArray) -> FloatArray:
    """(J, 2): the levels whose percentiles correct for bias and skewness; the acceleration of a mean is analytic."""
    count = means.shape[1]
    below = np.array([(np.searchsorted(row, 0, "left") + np.searchsorted(row, 0, "right")) / 2 for row in means])
    bias = ndtri(np.clip(below / count, 0.5 / count, 1 - 0.5 / count))[:, None]
    squares = (piece.standard**2).sum(axis=1)
    cubes = np.einsum("jg,jg,jg->j", piece.standard, piece.standard, piece.standard)  # ** 3 takes far longer
    acceleration = (cubes / (6 * squares**1.5))[:, None]
    z = bias + ndtri(tails)
    return np.asarray(ndtr(bias + z / np.maximum(1 - acceleration * z, 1e-3)), dtype=np.float64)


def _tails(t: Reals, observed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(upper, lower), each (J,): share of sorted t at least, and at most, the observed one; (c + 1) / (B + 1)."""
    count = t.shape[1]
    below = np.array([np.searchsorted(row, value, "left") for row, value in zip(t, observed, strict=True)])
    up_to = np.array([np.searchsorted(row, value, "right") for row, value in zip(t, observed, strict=True)])
    return (count - below + 1) / (count + 1), (up_to + 1) / (count + 1)


def percentile_interval(weights: FloatArray, draws: FloatArray, level: float = 0.95) -> FloatArray:
    """(K, 2): percentile intervals of contrasts (K, C) of resampled figures (B, C), as of corpus measures."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    found = np.empty((len(weights), 2))

    def fill(_: int, block: slice) -> None:
        ordered = np.sort(weights[block] @ draws.T, axis=1)
        found[block] = _order_statistics(ordered, np.broadcast_to(tails, (len(ordered), 2)))

    each_block(fill, len(weights), _BLOCK)
    return found
