"""Many items scored by one metric: in this process, or in batches by several where there are enough of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.errors import HarnessError
from harness.metrics.base import Item, ItemScore, Metric, Outcome, Recipe
from harness.metrics.registry import load_metric

BATCH = 5_000
"""Items that a process takes at a time."""
WORTH_PROCESSES = 20_000
"""Fewer items are scored sooner than a second process has started."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Every item's outcome, in order; the corpus figure, None where no item could be scored; what stands out."""

    outcomes: tuple[Outcome, ...]
    corpus: float | None
    empty: int
    unscored: int


def score(metric: Metric, items: Sequence[Item], recipe: Recipe | None = None, processes: int = 1) -> Scored:
    """Score the items. With `recipe` and several `processes` large sets are shared out; the figures are the same.

    Raises HarnessError for a metric that gives another number of outcomes than there are items.
    """
    alone = getattr(metric, "one_process", False)
    if recipe is not None and processes > 1 and len(items) >= WORTH_PROCESSES and not alone:
        outcomes = _shared_out(recipe, items, processes)
    else:
        outcomes = list(metric.rows(items))
    if len(outcomes) != len(items):
        raise HarnessError(
            f"metric {metric.name} gives {len(outcomes)} outcomes for {len(items)} items",
            hint="rows() gives one for each, in order; a NoScore where it cannot tell",
        )
    return summed_up(metric, items, outcomes)


def summed_up(metric: Metric, items: Sequence[Item], outcomes: Sequence[Outcome]) -> Scored:
    """The items' outcomes and their corpus figure."""
    scored = [outcome for outcome in outcomes if isinstance(outcome, ItemScore)]
    return Scored(
        tuple(outcomes),
        corpus_figure(metric, scored),
        empty=sum(not item.response.strip() for item in items),
        unscored=len(outcomes) - len(scored),
    )


def corpus_figure(metric: Metric, scored: Sequence[ItemScore]) -> float | None:
    """Of summed counts, or the mean; None of nothing."""
    if not scored:
        return None
    if metric.corpus:
        return float(metric.corpus_score(np.asarray([counts for _, counts in scored]).sum(axis=0)))
    return float(np.mean([value for value, _ in scored]))


def _shared_out(recipe: Recipe, items: Sequence[Item], processes: int) -> list[Outcome]:
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    # spawn: a fork of a process whose threads hold locks may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(batches)), mp_context=context) as pool:
        return [outcome for batch in pool.map(partial(_batch, recipe), batches) for outcome in batch]


def _batch(recipe: Recipe, items: Sequence[Item]) -> list[Outcome]:
    return list(load_metric(recipe.name, recipe.references, recipe.options).rows(items))
