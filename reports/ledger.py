"""The fairness ledger: what each variant was given and what it cost, and where compared variants differ in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.factors import free_axes
from harness.records.plan import VariantPlan
from harness.records.result import FactorEffect
from harness.records.rows import LossRow
from harness.records.seal import Seal, TrainFacts
from harness.records.variant import Cell, Variant
from harness.store import MatrixRun, Store
from reports.samples import generations, sealed_rows
from reports.wording import axis_name, count

SAME_WITHIN = 0.10
"""Budgets whose ratio is within 10 % of 1 are called equal."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One variant's bill. `facts`, `curve`: None and empty for an untrained or unfinished variant.

    `ended_share`: share of responses that ended by themselves, in [0, 1]; `mean_tokens`: a response's mean length;
    `versions`: (package, version) from the seals of its training and generation.
    """

    variant: Variant
    facts: TrainFacts | None
    curve: tuple[LossRow, ...]
    device: str | None
    ended_share: float | None
    mean_tokens: float | None
    generate_seconds: float | None
    versions: tuple[tuple[str, str], ...]


def ledger(run: MatrixRun, store: Store, *, answers: bool = True) -> tuple[LedgerRow, ...]:
    """One row a planned variant, in plan order. `answers`: with what its responses tell, which takes reading them."""
    return tuple(_row(plan, store, answers=answers) for plan in run.plan.variants)


def _row(plan: VariantPlan, store: Store, *, answers: bool) -> LedgerRow:
    trained = store.sealed(plan.train) if plan.train else None
    generated = store.sealed(plan.generate)
    written = list(generations(plan, store).values()) if answers else []
    told = [answer for answer in written if answer.finish_reason != "unknown"]
    counted = [answer for answer in written if answer.tokens]
    versions = {pair for seal in (trained, generated) if seal for pair in seal.versions.items()}
    return LedgerRow(
        variant=plan.variant,
        facts=trained.facts if trained and isinstance(trained.facts, TrainFacts) else None,
        curve=tuple(sealed_rows(store, plan.train, LossRow)),
        device=_device(trained, generated),
        ended_share=fmean(a.finish_reason == "eos" for a in told) if told else None,
        mean_tokens=fmean(a.tokens for a in counted) if counted else None,
        generate_seconds=sum(a.seconds for a in written) if written else None,
        versions=tuple(sorted(versions)),
    )


def _device(trained: Seal | None, generated: Seal | None) -> str | None:
    """Where it was trained, which processes of their own may have done; else where it answered."""
    if trained is not None:
        return (trained.facts.device if isinstance(trained.facts, TrainFacts) else "") or trained.device
    return None if generated is None else generated.device


def versions_of(rows: Iterable[LedgerRow]) -> dict[str, str]:
    """Package -> version; several versions (a store filled over an upgrade) are all named."""
    found: dict[str, set[str]] = {}
    for package, number in (pair for row in rows for pair in row.versions):
        found.setdefault(package, set()).add(number)
    return {package: ", ".join(sorted(numbers)) for package, numbers in sorted(found.items())}


def cut_rows(facts: TrainFacts) -> str:
    """`12 rows cut, 3 answers cut, 4 rows left out`: what did not fit; empty where everything did."""
    counts = ((facts.truncated, "rows cut"), (facts.responses_cut, "answers cut"), (facts.dropped, "rows left out"))
    return ", ".join(f"{number:,} {what}" for number, what in counts if number)


# ---------------------------------------------------------------- budgets


def cell_budgets(rows: Iterable[LedgerRow]) -> dict[str, dict[str, float]]:
    """Cell name -> mean over its trained seeds of steps, examples and loss-bearing tokens."""
    by_cell: dict[str, list[TrainFacts]] = {}
    for row in rows:
        if row.facts is not None:
            by_cell.setdefault(row.variant.cell.name, []).append(row.facts)
    return {
        cell: {
            "optimizer steps": fmean(f.steps for f in facts),
            "training examples": fmean(f.examples for f in facts),
            "loss-bearing tokens": fmean(f.loss_tokens for f in facts),
        }
        for cell, facts in by_cell.items()
    }


def budget_difference(a: str, b: str, budgets: dict[str, dict[str, float]]) -> str:
    """`loss-bearing tokens × 3.1` where cell a was given more (or less) than cell b; empty where budgets are equal.

    A comparison with an untrained cell has no budget to compare.
    """
    if a not in budgets or b not in budgets:
        return ""
    ratios = {what: budgets[a][what] / budgets[b][what] for what in budgets[a] if budgets[b][what]}
    return ", ".join(f"{what} × {ratio:.2f}" for what, ratio in ratios.items() if abs(ratio - 1) > SAME_WITHIN)


def budget_notes(effects: Sequence[FactorEffect], rows: Sequence[LedgerRow]) -> tuple[str, ...]:
    """A sentence for each compared pair of levels whose matched, trained cells were given different budgets."""
    budgets = cell_budgets(rows)
    cells = list({row.variant.cell for row in rows if row.variant.cell.name in budgets})
    notes: dict[str, None] = {}
    for effect in effects:
        pairs = [(x, y) for x in cells for y in cells if matched(x, y, effect.axis, effect.a, effect.b)]
        means = {
            level: {what: fmean(budgets[cell.name][what] for cell in members) for what in budgets[members[0].name]}
            for level, members in zip((effect.a, effect.b), zip(*pairs, strict=True), strict=False)
        }
        differs = budget_difference(effect.a, effect.b, means)
        if differs:
            notes[f"{axis_name(effect.axis)} {effect.a} against {effect.b}: {differs}."] = None
    return tuple(notes)


def mixed_arithmetic(rows: Iterable[LedgerRow]) -> str:
    """A sentence on trainings that did not run in the same precision on the same device; empty where all did.

    `precision: auto` is each machine's own, and a store may have been filled by several.
    """
    places = Counter((row.facts.precision, row.device) for row in rows if row.facts is not None)
    if len(places) < 2:
        return ""
    told = ", ".join(f"{count(n)} in {precision} on {device}" for (precision, device), n in places.most_common())
    return f"Not all trainings computed alike: {told}. Part of a difference between them may be due to that."


def matched(x: Cell, y: Cell, axis: str, a: str, b: str) -> bool:
    """Whether x stands at level a of the axis, y at level b, and nothing else tells them apart."""
    free = free_axes(axis, a, b)
    return x.rest(free) == y.rest(free) and x.level(axis) == a and y.level(axis) == b
