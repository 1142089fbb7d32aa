"""Three dimensions of a fine-tuning, before and after: does it follow, how good is what it says, is it stable. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pstdev
from typing import Any

from harness.align import VariantScores
from harness.metrics.base import Item, ItemScore, References
from harness.metrics.copies import TrainedOutputs
from harness.metrics.registry import load_metric
from harness.metrics.scoring import corpus_figure
from harness.records.data import Example
from harness.records.result import Interval, Rate
from harness.records.rows import Generation, MetricRow, Scored
from harness.records.variant import Cell
from harness.stats.passfail import wilson

FOLLOWING = "instruction-following"
QUALITY = "content-quality"
"""Rubrics of the judges that are read here."""
EXCELLENT_LINE = 0.8
"""Share of excellent answers from which the instructions count as followed."""
BLEU_BAND = (0.4, 0.6)
"""BLEU on 0–1 that is healthy for one style of copy; above it, look whether the answers are learnt by heart."""
PASS = 50.0
"""Points of the primary measure from which a sampled response passes."""


@dataclass(frozen=True, slots=True)
class Following:
    """Verdicts by grade; `unscored` ones (unparsed, refused, failed calls) are none of them."""

    excellent: Rate
    acceptable: int
    failed: int
    unscored: int

    @property
    def reached(self) -> bool:
        """Whether the share of excellent answers is at the line or above."""
        return self.excellent.value >= EXCELLENT_LINE


@dataclass(frozen=True, slots=True)
class Quality:
    """`bleu`: corpus BLEU on 0–1; `judged`: mean of the content-quality judge on 0–1. None: not measured."""

    bleu: float | None
    copied: Rate | None
    judged: float | None


@dataclass(frozen=True, slots=True)
class Stability:
    """Of `samples` responses to each prompt. `agreement`: mean chrF of all pairs of them, 0–100; 100 says all alike;
    `embedding`: mean cosine of their sentence embeddings × 100, None where no embedder is installed.

    `spread`: mean standard deviation of the primary measure within a prompt, points; `all_pass`: prompts of which every
    response reaches half of the scale.
    """

    samples: int
    agreement: float
    embedding: float | None
    spread: float | None
    all_pass: Rate | None


@dataclass(frozen=True, slots=True)
class Dimensions:
    """One cell. None where the matrix has nothing to tell it by: no such judge, no BLEU, one sample a prompt."""

    cell: Cell
    following: Following | None
    quality: Quality
    stability: Stability | None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look: columns of the judges by rubric, of BLEU, of the measure that several responses to a prompt are
    scored by; and ends of scales.
    """

    following: str | None
    quality: str | None
    quality_scale: tuple[float, float]
    bleu: str | None
    primary: str
    primary_scale: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Answers:
    """A variant's scores and responses. `sampled`: several to each prompt, made for stability alone."""

    scores: VariantScores
    generations: Sequence[Generation]
    sampled: Answers | None = None


Embed = Callable[[Collection[str]], Mapping[str, Any]]
"""Text -> its embedding as a vector of length 1; an empty text has none."""


def dimensions(
    variants: Sequence[Answers],
    tests: Mapping[str, Example],
    trained: TrainedOutputs,
    sources: Sources,
    embed: Embed | None = None,
) -> list[Dimensions]:
    """Every cell, seeds together; responses to other examples than `tests` are passed over."""
    cells: dict[Cell, list[Answers]] = {}
    for each in variants:
        cells.setdefault(each.scores.variant.cell, []).append(_only(each, tests))
    return [
        Dimensions(
            cell,
            _following(answers, sources.following),
            _quality(answers, tests, trained, sources),
            _stability([each.sampled or each for each in answers], tests, sources, embed),
        )
        for cell, answers in cells.items()
    ]


def _only(answers: Answers, tests: Mapping[str, Example]) -> Answers:
    rows = [row for row in answers.generations if row.example_id in tests]
    return Answers(answers.scores, rows, _only(answers.sampled, tests) if answers.sampled else None)


def before(after: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The untuned cell that a tuned one starts from: of the same model, of the same prompt style if there is one."""
    untuned = [cell for cell in cells if cell.method == "none" and cell.model == after.model]
    if after.method == "none":
        return None
    return next((cell for cell in untuned if cell.prompt_style == after.prompt_style), next(iter(untuned), None))


def rate(count: int, n: int, items: int) -> Rate | None:
    """A share with Wilson's interval; None of nothing.

    The interval takes the test items as drawn: seeds, samples and repeats of one item tell little more than one does.
    """
    if not n:
        return None
    low, high = wilson(count / n * items, items)
    return Rate(count=count, n=n, value=count / n, interval=Interval(low=low, high=high))


def _following(answers: Sequence[Answers], judge: str | None) -> Following | None:
    rows = [row for each in answers for row in each.scores.judgments.get(judge or "", ())]
    scored = [row for row in rows if isinstance(row, Scored)]
    grades = [row.value for row in scored]
    excellent = rate(grades.count(2), len(grades), len({row.example_id for row in scored}))
    if excellent is None:
        return None
    return Following(excellent, grades.count(1), grades.count(0), len(rows) - len(grades))


def _quality(
    answers: Sequence[Answers], tests: Mapping[str, Example], trained: TrainedOutputs, sources: Sources
) -> Quality:
    rows = [row for each in answers for row in each.generations]
    copies = sum(trained.copied(row.text, tests[row.example_id]) for row in rows)
    seeds: dict[int | None, list[VariantScores]] = defaultdict(list)  # folds of one are parts of one test set
    for each in answers:
        seeds[each.scores.variant.seed].append(each.scores)
    bleus = [figure for folds in seeds.values() if (figure := _bleu(folds, sources.bleu)) is not None]
    copies_rate = rate(copies, len(rows), len({row.example_id for row in rows}))
    low, high = sources.quality_scale
    judged = [
        (row.value - low) / (high - low)
        for each in answers
        for row in each.scores.judgments.get(sources.quality or "", ())
        if isinstance(row, Scored)
    ]
    return Quality(fmean(bleus) / 100 if bleus else None, copies_rate, fmean(judged) if judged else None)


def _bleu(folds: Sequence[VariantScores], column: str | None) -> float | None:
    rows = [row for each in folds for row in each.metrics.get(column or "", ())]
    scored = [ItemScore(row.value, row.counts) for row in rows if isinstance(row, MetricRow)]
    return corpus_figure(load_metric("bleu"), scored)


def _stability(
    answers: Sequence[Answers], tests: Mapping[str, Example], sources: Sources, embed: Embed | None
) -> Stability | None:
    """None unless every prompt has two responses or more."""
    prompts: list[list[Generation]] = []
    values: list[tuple[str, list[float]]] = []
    for each in answers:
        texts: dict[str, list[Generation]] = defaultdict(list)
        for row in each.generations:
            texts[row.example_id].append(row)
        prompts += texts.values()
        values += [(name, found) for name, found in _sampled(each.scores, sources.primary) if name in tests]
    fewest = min((len(texts) for texts in prompts), default=0)
    if fewest < 2:
        return None
    several = [found for _, found in values if len(found) > 1]
    items = len({name for name, found in values if len(found) > 1})
    low, high = sources.primary_scale
    passing = low + (high - low) * PASS / 100
    return Stability(
        fewest,
        agreement(prompts),
        None if embed is None else likeness(prompts, embed),
        fmean(pstdev(found) for found in several) if several else None,
        rate(sum(min(found) >= passing for found in several), len(several), items) if math.isfinite(passing) else None,
    )


def _sampled(scores: VariantScores, measure: str) -> list[tuple[str, list[float]]]:
    """(example id, the primary measure's values, one a sample) of each prompt."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in scores.metrics.get(measure, ()):
        if isinstance(row, MetricRow):
            found[row.example_id][row.sample].append(row.value)
    for judgment in scores.judgments.get(measure, ()):
        if isinstance(judgment, Scored):
            found[judgment.example_id][judgment.sample].append(judgment.value)
    return [(name, [fmean(values) for values in samples.values()]) for name, samples in found.items()]


def likeness(prompts: Sequence[Sequence[Generation]], embed: Embed) -> float:
    """Mean over prompts of the mean cosine of all pairs of responses × 100; two empty ones agree."""
    vectors = embed({row.text for texts in prompts for row in texts})
    means = []
    for texts in prompts:
        pairs = list(combinations([row.text for row in texts], 2))
        found = [
            1.0 if a == b else float(vectors[a] @ vectors[b]) if a in vectors and b in vectors else 0.0
            for a, b in pairs
        ]
        means.append(100 * fmean(found))
    return fmean(means)


def agreement(prompts: Sequence[Sequence[Generation]]) -> float:
    """Mean over prompts of the mean sentence chrF of all pairs of responses, both ways; two empty ones agree."""
    chrf = load_metric("chrf", References())
    means = []
    for texts in prompts:
        pairs = [(a.text, b.text) for a, b in combinations(texts, 2)]
        unlike = [(a, b) for a, b in pairs if a != b]
        outcomes = chrf.rows([Item(a, (b,)) for pair in unlike for a, b in (pair, pair[::-1])])
        points = sum(outcome.value for outcome in outcomes if isinstance(outcome, ItemScore)) / 2
        means.append((points + 100 * (len(pairs) - len(unlike))) / len(pairs))
    return fmean(means)
