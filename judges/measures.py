"""What judgments tell of the judge that gave them: noise, use of the scale, order and length bias, agreement."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import kendalltau, spearmanr

from harness.records.result import (
    Interval,
    JudgeAgreement,
    OrderBias,
    Rate,
    RepeatAgreement,
    ScaleUse,
    ScoreCount,
    Slope,
)
from harness.records.rows import Judgment, Scored
from judges.rubric import Scale

LEVEL = 0.95
AnswerKey = tuple[str, str, int]
"""(variant, example id, sample) of an answer."""


def rate(count: int, n: int) -> Rate | None:
    """A share with its Wilson (1927) interval; None of nothing."""
    if n == 0:
        return None
    z = float(ndtri((1 + LEVEL) / 2))
    share = count / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == n else min(1.0, centre + half)
    return Rate(count=count, n=n, value=share, interval=Interval(low=low, high=high))


def mean_slope(slopes: Sequence[float]) -> Slope | None:
    """The mean of per-item slopes with its t interval; no interval where nothing varies or there is one item."""
    if not slopes:
        return None
    values = np.asarray(slopes, dtype=np.float64)
    mean, n = float(values.mean()), len(values)
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if spread == 0:
        return Slope(value=mean, interval=None, n=n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(n)
    return Slope(value=mean, interval=Interval(low=mean - half, high=mean + half), n=n)


TIE = 0.005
"""Share of the scale: a mean score that lies nearer to the middle prefers neither answer."""

ALIKE = 1e-6
"""Points within which two mean scores are one: the engine's floats end there."""


def repeat_agreement(rows: Iterable[Judgment]) -> RepeatAgreement | None:
    """How far repeats of one question agree (a one-way random effects model); None where nothing was asked twice."""
    groups: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Scored):
            groups[(row.example_id, row.sample)].append(row.value)
    repeated = [values for values in groups.values() if len(values) > 1]
    identical = rate(sum(max(values) - min(values) <= ALIKE for values in repeated), len(repeated))
    if identical is None:
        return None
    within_df = sum(len(values) - 1 for values in repeated)
    varied = [values for values in repeated if len(set(values)) > 1]  # equal ones would leave a rounding error
    within = sum(float(np.var(values)) * len(values) for values in varied) / within_df
    means = [fmean(values) for values in repeated]
    size = float(np.mean([len(values) for values in repeated]))
    between: float = max(0.0, float(np.var(means, ddof=1)) - within / size) if len(means) > 1 else 0.0
    total = within + between
    return RepeatAgreement(
        answers=len(repeated),
        identical=identical,
        sd=math.sqrt(within),
        noise_share=within / total if total > 0 else None,
    )


def order_bias(rows: Iterable[Judgment], scale: Scale) -> OrderBias | None:
    """Pairwise judgments, where the odd repeat has the answers swapped; None where no pair was judged in both orders.

    Texts that were equal, about which nobody was asked, do not count.
    """
    found: defaultdict[tuple[str, int, int], dict[int, int]] = defaultdict(dict)
    for row in rows:
        if isinstance(row, Scored) and not row.same:
            found[(row.example_id, row.sample, row.repeat // 2)][row.repeat % 2] = _side(row.value, scale)
    both = [pair for pair in found.values() if len(pair) == 2]
    consistent = rate(sum(pair[0] == pair[1] for pair in both), len(both))
    if consistent is None:
        return None
    decided = [(pair[order], order) for pair in both for order in (0, 1) if pair[order]]
    first = sum((side > 0) == (order == 0) for side, order in decided)
    return OrderBias(consistent=consistent, first_wins=rate(first, len(decided)))


def _side(value: float, scale: Scale) -> int:
    """1: ours is the better one; -1: the other; 0: a tie."""
    share = (value - scale.low) / (scale.high - scale.low) - 0.5
    return 0 if abs(share) < TIE else int(math.copysign(1, share))


def fallbacks(rows: Iterable[Judgment]) -> Rate | None:
    """Of the verdicts of a judge with expected scores, those that have none."""
    given = [row.fallback for row in rows if isinstance(row, Scored) and not row.same]
    return rate(sum(given), len(given))


def scale_use(rows: Iterable[Judgment]) -> ScaleUse | None:
    """The histogram of scores that were given; None without any."""
    counts = Counter(row.value for row in rows if isinstance(row, Scored) and not row.same)
    if not counts:
        return None
    histogram = tuple(ScoreCount(score=score, count=counts[score]) for score in sorted(counts))
    return ScaleUse(histogram=histogram, heaping=max(counts.values()) / counts.total(), distinct=len(counts))


def length_slope(scores: Mapping[AnswerKey, float], lengths: Mapping[AnswerKey, int]) -> Slope | None:
    """How scores go with length among the answers to one item, in points per 100 characters; one slope an item.

    Longer answers may be better answers: this shows a tendency, and `verbosity` (see judges.trust) what is none of
    merit. None where no item has answers of different length.
    """
    items: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, value in scores.items():
        if key in lengths:
            items[key[1]].append((lengths[key] / 100, value))
    slopes = []
    for pairs in items.values():
        x, y = np.asarray(pairs, dtype=np.float64).T
        spread = float(((x - x.mean()) ** 2).sum())
        if spread > 0:
            slopes.append(float(((x - x.mean()) * (y - y.mean())).sum()) / spread)
    return mean_slope(slopes)


def agreement(
    a: str, b: str, scores: Mapping[str, Mapping[AnswerKey, float]], scales: Mapping[str, tuple[float, float]]
) -> JudgeAgreement | None:
    """Two judges over the answers that both have scored; None where they share fewer than two."""
    import krippendorff

    shared = sorted(scores[a].keys() & scores[b].keys())
    if len(shared) < 2:
        return None
    ours, theirs = (
        np.asarray([(scores[name][key] - scales[name][0]) / (scales[name][1] - scales[name][0]) for key in shared])
        for name in (a, b)
    )
    both = np.stack([ours, theirs])
    varied = len(np.unique(both)) > 1
    ranked = len(np.unique(ours)) > 1 and len(np.unique(theirs)) > 1
    return JudgeAgreement(
        a=a,
        b=b,
        n=len(shared),
        alpha=float(krippendorff.alpha(both, level_of_measurement="interval")) if varied else None,
        spearman=float(spearmanr(ours, theirs).statistic) if ranked else None,
        kendall=float(kendalltau(ours, theirs, variant="b").statistic) if ranked else None,
    )
