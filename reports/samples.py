"""Responses and per-item values of a run, read from the store; and a few items chosen to be read side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.panel import combined
from harness.records.data import Example, SplitExample
from harness.records.inputs import StageKey
from harness.records.plan import VariantPlan
from harness.records.result import PanelInfo, Result
from harness.records.rows import (
    Failed,
    FinishReason,
    Generation,
    Judgment,
    MetricRow,
    Refused,
    Scored,
    ScoreRow,
    Unparsed,
)
from harness.records.variant import Variant
from harness.store import MatrixRun, Store


@dataclass(frozen=True, slots=True)
class Response:
    """One variant's answer to one item. `value`: on the primary measure; None where it is unscored."""

    variant: Variant
    text: str
    finish_reason: FinishReason
    tokens: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """An item with one response a cell, in leaderboard order. `why`: how the item was chosen, for the reader."""

    example: Example
    why: str
    responses: tuple[Response, ...]


def sealed_rows(store: Store, key: StageKey | None, row_type: Any) -> list[Any]:
    """Rows of an object; none where it is not planned or not sealed (a failed variant's are not)."""
    if key is None or store.sealed(key) is None:
        return []
    return store.read(key, row_type)


def test_examples(run: MatrixRun, store: Store) -> tuple[Example, ...]:
    """The test part, in source order."""
    rows: list[SplitExample] = sealed_rows(store, run.plan.data, SplitExample)
    return tuple(row.example for row in rows if row.split == "test")


def generations(plan: VariantPlan, store: Store) -> dict[str, Generation]:
    """Example id -> the variant's first response to it."""
    rows: list[Generation] = sealed_rows(store, plan.generate, Generation)
    return {row.example_id: row for row in reversed(rows)}


def item_values(plan: VariantPlan, store: Store, measure: str, result: Result | None = None) -> dict[str, float]:
    """Example id -> the variant's value on a measure, mean over samples and repeats; an unscored item is absent.

    `result`: knows the panels, whose values are made of their judges'.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for row in sealed_rows(store, plan.scores.get(measure), ScoreRow):
        if isinstance(row, MetricRow):
            found[row.example_id].append(row.value)
    for judgment in judgments(plan, store, measure, result):
        if isinstance(judgment, Scored):
            found[judgment.example_id].append(judgment.value)
    return {example_id: fmean(values) for example_id, values in found.items()}


def judgments(
    plan: VariantPlan, store: Store, judge: str, result: Result | None = None
) -> list[Scored | Unparsed | Refused | Failed]:
    """A judge's or a panel's verdicts on a variant, unscored ones included."""
    panel = panel_of(result, judge) if result else None
    if panel is None:
        return sealed_rows(store, plan.judgments.get(judge), Judgment)
    return combined({name: judgments(plan, store, name) for name in panel.judges}, panel.combine)


def panel_of(result: Result, measure: str) -> PanelInfo | None:
    """How a measure's scores are made, where it is a panel of judges."""
    return next((info.panel for info in result.measures if info.name == measure), None)


def samples(run: MatrixRun, store: Store, count: int = 6) -> tuple[Sample, ...]:
    """`count` items: half where the cells' values on the primary measure lie furthest apart, half evenly spaced.

    Each shows the first seed of every cell.
    """
    if run.result is None:
        return ()
    plans = first_seeds(run)
    texts = {p.variant.name: generations(p, store) for p in plans}
    values = {p.variant.name: item_values(p, store, run.result.primary, run.result) for p in plans}
    by_cell: dict[str, dict[str, float]] = defaultdict(dict)
    for p in plans:
        by_cell[p.variant.cell.name] |= values[p.variant.name]
    examples = [e for e in test_examples(run, store) if any(e.id in t for t in texts.values())]
    furthest = sorted(examples, key=lambda e: -_spread(e.id, by_cell.values()))[: (count + 1) // 2]
    rest = [e for e in examples if e not in furthest]
    even = [rest[i * len(rest) // (count // 2)] for i in range(min(count // 2, len(rest)))]
    chosen = [(e, "the cells differ most here") for e in furthest] + [
        (e, "it comes up when items are taken at even spacing") for e in even
    ]
    return tuple(Sample(e, why, _responses(e.id, plans, texts, values)) for e, why in chosen)


def first_seeds(run: MatrixRun) -> tuple[VariantPlan, ...]:
    """One variant a cell (its first seed, with all folds of that), in leaderboard order; failed cells left out."""
    by_cell: dict[str, list[VariantPlan]] = defaultdict(list)
    for plan in run.plan.variants:
        by_cell[plan.variant.cell.name].append(plan)
    rows = run.result.rows if run.result else ()
    return tuple(
        plan
        for row in rows
        for plan in by_cell[row.cell.name]
        if plan.variant.seed == by_cell[row.cell.name][0].variant.seed
    )


def _spread(example_id: str, values: Iterable[dict[str, float]]) -> float:
    found = [v[example_id] for v in values if example_id in v]
    return max(found) - min(found) if found else 0.0


def _responses(
    example_id: str,
    plans: Iterable[VariantPlan],
    texts: dict[str, dict[str, Generation]],
    values: dict[str, dict[str, float]],
) -> tuple[Response, ...]:
    return tuple(
        Response(p.variant, row.text, row.finish_reason, row.tokens, values[p.variant.name].get(example_id))
        for p in plans
        if (row := texts[p.variant.name].get(example_id)) is not None
    )
