"""Rows of all variants -> arrays: aligned by example and sample, never by file order; repeats averaged first."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.errors import HarnessError
from harness.records.result import LeftOut, MeasureInfo
from harness.records.rows import Judgment, MetricRow, NoMetricRow, Scored, ScoreRow
from harness.records.variant import Cell, Variant
from harness.stats.components import Replicates
from harness.stats.corpus import CorpusPanel
from harness.stats.panel import BoolArray, FloatArray, IntArray, Panel, cluster_sums

Reason = Literal["unscorable", "unparsed", "refused", "failed", "missing", "decided"]


@dataclass(frozen=True, slots=True)
class VariantScores:
    """One variant's rows: metric rows and judgments, by measure name, each in any order."""

    variant: Variant
    metrics: Mapping[str, Sequence[ScoreRow]] = field(default_factory=dict)
    judgments: Mapping[str, Sequence[Judgment]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """The cells of a matrix in the order of their first variant, and each cell's variants by seed."""

    cells: tuple[Cell, ...]
    variants: tuple[tuple[VariantScores, ...], ...]

    def seeds(self, cell: int) -> tuple[int, ...]:
        """The cell's seeds, ascending; empty for an untuned model, which has none."""
        return tuple(scores.variant.seed for scores in self.variants[cell] if scores.variant.seed is not None)


def lay_out(variants: Iterable[VariantScores]) -> Layout:
    """Fold variants into cells, the folds of a seed as one. Raises HarnessError where a variant is there twice."""
    found: dict[Cell, list[VariantScores]] = {}
    names: set[str] = set()
    for scores in variants:
        if scores.variant.name in names:
            raise HarnessError(f"variant {scores.variant.name} is there twice", hint="each variant is compared once")
        names.add(scores.variant.name)
        found.setdefault(scores.variant.cell, []).append(scores)
    return Layout(tuple(found), tuple(tuple(sorted(one_a_seed(group), key=_seed_order)) for group in found.values()))


def one_a_seed(variants: Iterable[VariantScores]) -> list[VariantScores]:
    """One cell's variants, the folds of a seed as one: each item was answered by the training that did not see it.

    The pooled items stand for a test set as large as the data. A seed's mean is over as many trainings as there are
    folds, so seeds stay replicates. What is not seen: the training sets of two folds overlap (Bengio and Grandvalet
    2004, JMLR 5: no unbiased estimate of the variance that this brings exists).
    """
    found: dict[int | None, list[VariantScores]] = defaultdict(list)
    for scores in variants:
        found[scores.variant.seed].append(scores)
    return [_pooled(folds) for folds in found.values()]


def _pooled(folds: Sequence[VariantScores]) -> VariantScores:
    if len(folds) == 1:
        return folds[0]
    metrics: dict[str, list[ScoreRow]] = defaultdict(list)
    judgments: dict[str, list[Judgment]] = defaultdict(list)
    for scores in folds:
        for name, rows in scores.metrics.items():
            metrics[name] += rows
        for name, verdicts in scores.judgments.items():
            judgments[name] += verdicts
    return VariantScores(folds[0].variant.model_copy(update={"fold": None}), metrics, judgments)


def _seed_order(scores: VariantScores) -> int:
    # A cell without a seed has one variant, so its key is never compared.
    return 0 if scores.variant.seed is None else scores.variant.seed


@dataclass(frozen=True, slots=True)
class Aligned:
    """One measure over all cells. `unscored[c]`: items × seeds without a score; `counts` only for corpus measures.

    `left_out[c]`: the unscored ones by reason. `noise`: how values differ within one response or one item and seed.
    """

    items: tuple[str, ...]
    panel: Panel
    counts: CorpusPanel | None
    unscored: IntArray  # (C,)
    left_out: tuple[tuple[LeftOut, ...], ...]
    noise: Replicates


ItemValues = dict[str, tuple[float, tuple[float, ...]]]
"""example id -> (value, counts), for one variant; an unscored item is absent."""


def align(
    layout: Layout, measure: MeasureInfo, clusters: Mapping[str, str] | None = None, *, stopped: bool = False
) -> Aligned:
    """Items are all that any variant has a row for, sorted by id, so that no order of files or rows can matter.

    `clusters`: the group of each item, by example id; an item that is not in it stands for itself. `stopped`: an item
    without a row was not asked about because it was decided without it.
    Raises HarnessError where a row is there twice or a score is not a finite number.
    """
    asked: set[str] = set()
    folded: list[list[ItemValues]] = []
    noise = Replicates.of(_replicates(scores, measure) for group in layout.variants for scores in group)
    for group in layout.variants:
        cell: list[ItemValues] = []
        for scores in group:
            ids, values = fold(scores, measure)
            asked |= ids
            cell.append(values)
        folded.append(cell)
    items = tuple(sorted(asked))
    seeded = np.array([cell.method != "none" for cell in layout.cells], dtype=np.bool_)
    panel = _panel(items, folded, seeded, None if clusters is None else _cluster_index(items, clusters))
    runs = np.array([len(group) for group in folded], dtype=np.int64)
    unscored = runs * len(items) - panel.present.sum(axis=(1, 2))
    counts = _corpus_panel(items, folded, panel) if measure.corpus else None
    left_out = tuple(_left_out(group, measure, items, "decided" if stopped else "missing") for group in layout.variants)
    for number, reasons in enumerate(left_out):
        unscored[number] -= sum(each.responses for each in reasons if each.reason == "decided")
    return Aligned(items, panel, counts, unscored, left_out, noise)


def _cluster_index(items: tuple[str, ...], clusters: Mapping[str, str]) -> IntArray:
    """(n,): clusters by number, in the order of their first item."""
    # A pair cannot be mistaken for a cluster's name, whatever that is.
    names = [clusters.get(item, ("alone", item)) for item in items]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _left_out(
    group: Sequence[VariantScores], measure: MeasureInfo, items: tuple[str, ...], absent: Reason
) -> tuple[LeftOut, ...]:
    """Why responses of one cell have no score; one with several unscored repeats counts by the first of them."""
    counts: Counter[Reason] = Counter()
    for scores in group:
        asked, values = fold(scores, measure)
        counts[absent] += len(items) - len(asked)
        reasons: dict[str, Reason] = {}
        for judgment in scores.judgments.get(measure.name, ()) if measure.kind == "judge" else ():
            if judgment.kind != "scored" and judgment.example_id not in values:
                reasons.setdefault(judgment.example_id, judgment.kind)
        for row in scores.metrics.get(measure.name, ()) if measure.kind == "metric" else ():
            if isinstance(row, NoMetricRow) and row.example_id not in values:
                reasons[row.example_id] = "unscorable"
        counts.update(reasons.values())
    return tuple(LeftOut(reason=reason, responses=n) for reason, n in sorted(counts.items()) if n)


def _replicates(scores: VariantScores, measure: MeasureInfo) -> Iterator[list[list[float]]]:
    """For each item, the values of each sample: one for a metric, one a repeat for a judge."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    if measure.kind == "metric":
        for row in scores.metrics.get(measure.name, ()):
            if isinstance(row, MetricRow):
                found[row.example_id][row.sample].append(row.value)
    for judgment in scores.judgments.get(measure.name, ()) if measure.kind == "judge" else ():
        if isinstance(judgment, Scored):
            found[judgment.example_id][judgment.sample].append(judgment.value)
    return (list(samples.values()) for samples in found.values())


def fold(scores: VariantScores, measure: MeasureInfo) -> tuple[set[str], ItemValues]:
    """(every item that was asked for, the scored ones): repeats averaged first, then samples."""
    name = measure.name
    if measure.kind == "metric":
        rows = scores.metrics.get(name, ())
        return {row.example_id for row in rows}, _fold_metric(rows, f"{name} of {scores.variant.name}")
    judgments = scores.judgments.get(name, ())
    return {judgment.example_id for judgment in judgments}, fold_judgments(judgments)


def _fold_metric(rows: Sequence[ScoreRow], where: str) -> ItemValues:
    """Mean over the scored samples of each item, of value and counts."""
    samples: dict[str, dict[int, ScoreRow]] = defaultdict(dict)
    for row in rows:
        if row.sample in samples[row.example_id]:
            raise HarnessError(
                f"two rows for example {row.example_id}, sample {row.sample}",
                where=where,
                hint="`harness store verify` finds damaged objects",
            )
        samples[row.example_id][row.sample] = row
    folded: ItemValues = {}
    for example, found in samples.items():
        if scored := [row for row in found.values() if isinstance(row, MetricRow)]:
            counts = zip(*(row.counts for row in scored), strict=True)
            folded[example] = (_mean([row.value for row in scored]), tuple(_mean(column) for column in counts))
    return folded


def fold_judgments(judgments: Sequence[Judgment]) -> ItemValues:
    """Mean over the scored repeats of each sample, then over the samples: repeats are never items."""
    repeats: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for judgment in judgments:
        if isinstance(judgment, Scored):
            repeats[judgment.example_id][judgment.sample].append(judgment.value)
    return {
        example: (_mean([_mean(values) for values in samples.values()]), ()) for example, samples in repeats.items()
    }


def _mean(values: Sequence[float]) -> float:
    # fsum is exact, so the order of the rows cannot move the last digit.
    mean = math.fsum(values) / len(values)
    if not math.isfinite(mean):
        raise HarnessError("a score is not a finite number", hint="an absent score is an unscored row, not a NaN")
    return mean


def _panel(
    items: tuple[str, ...], folded: list[list[ItemValues]], seeded: BoolArray, clusters: IntArray | None
) -> Panel:
    shape = (len(folded), max((len(cell) for cell in folded), default=0), len(items))
    values, present = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    for c, cell in enumerate(folded):
        for s, scores in enumerate(cell):
            present[c, s] = [item in scores for item in items]
            values[c, s] = [scores[item][0] if item in scores else 0.0 for item in items]
    return Panel(values, present, seeded, clusters)


def _corpus_panel(items: tuple[str, ...], folded: list[list[ItemValues]], panel: Panel) -> CorpusPanel:
    """A corpus figure needs the same items everywhere: those that every scored variant has."""
    used = np.asarray(panel.present.any(axis=2))  # (C, S)
    complete = np.flatnonzero((panel.present | ~used[:, :, None]).all(axis=(0, 1)))
    k = max((len(counts) for cell in folded for scores in cell for _, counts in scores.values()), default=0)
    counts: FloatArray = np.zeros((*used.shape, len(complete), k))
    for c, s in zip(*np.nonzero(used), strict=True):
        scores = folded[c][s]
        counts[c, s] = np.array([scores[items[i]][1] for i in complete], dtype=np.float64).reshape(len(complete), k)
    if panel.clusters is not None:  # a cluster's counts are its items' sums
        counts = np.moveaxis(cluster_sums(np.moveaxis(counts, 2, 3), panel.clusters[complete]), 3, 2)
    return CorpusPanel(counts, used, panel.seeded, len(complete))
