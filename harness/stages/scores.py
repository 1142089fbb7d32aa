"""One metric over one variant's responses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.records.inputs import GenerateInput, ScoreInput, StageKey
from harness.records.rows import MetricRow, NoMetricRow
from harness.records.seal import ScoreFacts
from harness.resolved import ResolvedMetric
from harness.store import ObjectWriter
from harness.thoughts import graded

if TYPE_CHECKING:
    from harness.metrics.base import Outcome

from harness.stages.workshop import Workshop


def make_scores(workshop: Workshop, score: ScoreInput, writer: ObjectWriter) -> ScoreFacts:
    """One metric over one variant's responses."""
    from harness.metrics.base import Item, ItemScore
    from harness.metrics.scoring import score as score_items
    from harness.metrics.scoring import summed_up

    tests = {example.id: graded(example) for example in workshop.tests(score.data)}
    languages = workshop.languages(score.data)
    resolved = next(each for each in workshop.resolved.metrics.values() if scores_as(each, score))
    generations = workshop.generations(score.generations)
    items = [Item(row.text, tests[row.example_id].references, languages[row.example_id]) for row in generations]
    if getattr(resolved.metric, "of_weights", False):
        outcomes = of_weights(workshop, score)
        scored = summed_up(resolved.metric, items, [outcomes[row.example_id] for row in generations])
    else:
        scored = score_items(resolved.metric, items, resolved.recipe, processes=usable_cores())
    writer.replace_rows(
        MetricRow(example_id=row.example_id, sample=row.sample, value=outcome.value, counts=outcome.counts)
        if isinstance(outcome, ItemScore)
        else NoMetricRow(example_id=row.example_id, sample=row.sample, reason=outcome.reason)
        for row, outcome in zip(generations, scored.outcomes, strict=True)
    )
    workshop.advance(len(items))
    return ScoreFacts(
        corpus=scored.corpus,
        signature=resolved.metric.signature(),
        empty=scored.empty,
        unscored=scored.unscored,
    )


def of_weights(workshop: Workshop, score: ScoreInput) -> dict[str, Outcome]:
    """Each test item's outcome by example id, from the weights that answered; no score where they are not here."""
    from harness.generators.likelihood import reference_bits
    from harness.metrics.base import NoScore

    tests, given = workshop.tests(score.data), workshop.generated_from(score.generations)
    if not isinstance(given, GenerateInput):
        return {example.id: NoScore("the weights of this variant are not here") for example in tests}
    workshop.close()  # a loaded judge or engine may hold the memory that the model needs
    trained = given.weights != given.base
    outcomes = reference_bits(
        given,
        workshop.store.weights(StageKey(stage="train", digest=given.weights)) if trained else None,
        workshop.store.weights(StageKey(stage="base", digest=given.base)),
        tests,
        workshop.style(given.style_sha256),
        trust_remote_code=workshop.trusts_code(given.base),
    )
    return {example.id: outcome for example, outcome in zip(tests, outcomes, strict=True)}


def scores_as(each: ResolvedMetric, score: ScoreInput) -> bool:
    """Whether this metric of the matrix is the one that is asked for."""
    return (each.metric.name, each.metric.signature()) == (score.metric, score.signature)


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
