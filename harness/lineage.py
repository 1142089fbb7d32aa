"""Whom a stage works for, what it reads, and which results of a run are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.records.inputs import StageKey
from harness.records.plan import Plan, PlannedStage, VariantPlan
from harness.store import MatrixRun, Store


def stage_labels(plan: Plan) -> dict[StageKey, str]:
    """Whom a stage works for, by the first variant that needs it."""
    labels: dict[StageKey, str] = {}
    for judge in plan.judges:
        for key in (judge.probe, judge.probe_ask, judge.probe_judge):
            labels.setdefault(key, f"{judge.name}: probes")
        if judge.contest is not None:
            labels[judge.contest] = f"{judge.name}: pairs"
    for each in plan.variants:
        for key in keys_of(each):
            labels.setdefault(key, each.variant.name)
    return labels


def keys_of(each: VariantPlan) -> list[StageKey]:
    """A variant's own stages, in order."""
    own = [each.generate, *each.scores.values(), *each.asks.values(), *each.judgments.values()]
    own += [*([each.sampled] if each.sampled else []), *each.sampled_scores.values()]
    return [each.train, *own] if each.train else own


def reads(value: Any) -> Iterator[str]:
    """Every text in a dumped stage input: the digests of the objects that it reads are among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from reads(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from reads(each)


def owners(store: Store) -> dict[StageKey, str]:
    """For whom each object is, `RUN: VARIANT`, by the newest run that needs it."""
    found: dict[StageKey, str] = {}
    for folder in store.matrix_folders():
        run = store.planned_matrix(folder)
        if run is not None:
            labels = stage_labels(run.plan)
            for stage in run.plan.stages:
                label = labels.get(stage.key)
                found.setdefault(stage.key, f"{folder.name}: {label}" if label else folder.name)
    return found


def lost(run: MatrixRun, store: Store) -> list[PlannedStage]:
    """What a finished run's result was made of, and is in the store no more; none of a run that is not finished.

    What failed, and what reads it, never was.
    """
    if run.result is None:
        return []
    labels, failed = stage_labels(run.plan), {each.variant for each in run.result.failed}
    never: set[str] = set()
    found = []
    for stage in run.plan.stages:
        if store.is_sealed(stage.key):
            continue
        if labels.get(stage.key) in failed or not never.isdisjoint(reads(stage.input.model_dump())):
            never.add(stage.key.digest)
        else:
            found.append(stage)
    return found
