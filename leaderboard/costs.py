"""What a cell cost, from the seals of its objects, and which cells no other is better than at no more cost."""

from __future__ import annotations

import pandas as pd

from harness.records.plan import VariantPlan
from harness.records.seal import AskFacts, TrainFacts
from harness.store import MatrixRun, Store
from leaderboard import cache

COSTS = (
    "training, seconds",
    "training, loss-bearing tokens a second",
    "responses, seconds",
    "judging, US dollars",
    "peak memory, GiB",
    "energy, kJ",
)
MORE_IS_CHEAPER = frozenset({"training, loss-bearing tokens a second"})


def bills(run: MatrixRun, store: Store) -> pd.DataFrame:
    """One row a cell (index: its name), a column a cost (COSTS): the mean over its seeds, missing where not known."""
    keys = (key for plan in run.plan.variants for key in (plan.train, plan.generate, *plan.asks.values()))
    variants = (plan.variant.name for plan in run.plan.variants)
    name = cache.named("bills", *variants, *cache.seal_times(store, keys))
    return cache.kept(name, lambda: _bills(run, store))


def _bills(run: MatrixRun, store: Store) -> pd.DataFrame:
    """The folds of a seed cost what they cost together; at its peak, memory is that of the largest."""
    place = pd.DataFrame([(plan.variant.cell.name, plan.variant.seed) for plan in run.plan.variants])
    bills = pd.DataFrame([_bill(plan, store) for plan in run.plan.variants]).astype(float)
    folds = bills.groupby([place[0], place[1]], sort=False, dropna=False)
    seeds = folds.agg(pd.Series.sum, skipna=False)
    seeds["peak memory, GiB"] = folds["peak memory, GiB"].max()
    seconds = seeds["training, seconds"]
    seeds["training, loss-bearing tokens a second"] = seeds["loss-bearing tokens"] / seconds.where(seconds > 0)
    return seeds.groupby(level=0, sort=False).mean()[list(COSTS)].rename_axis(None)


def _bill(plan: VariantPlan, store: Store) -> dict[str, float | None]:
    trained = store.sealed(plan.train) if plan.train else None
    generated = store.sealed(plan.generate)
    facts = trained.facts if trained and isinstance(trained.facts, TrainFacts) else None
    asked = [seal.facts for key in set(plan.asks.values()) if (seal := store.sealed(key)) is not None]
    money = [facts.cost for facts in asked if isinstance(facts, AskFacts) and facts.cost is not None]
    bill: dict[str, float | None] = dict.fromkeys(("loss-bearing tokens", *COSTS))
    bill["responses, seconds"] = generated.seconds if generated else None
    bill["judging, US dollars"] = sum(money) if money else None
    if facts is not None:
        bill["training, seconds"] = facts.train_seconds
        bill["loss-bearing tokens"] = facts.loss_tokens
        bill["peak memory, GiB"] = facts.peak_memory_bytes / 2**30
        bill["energy, kJ"] = None if facts.energy_joules is None else facts.energy_joules / 1000
    elif plan.train is None:
        bill["training, seconds"] = 0.0
    return bill


def points(scores: pd.DataFrame, bill: pd.DataFrame, cost: str, *, higher_is_better: bool) -> pd.DataFrame:
    """Cells with both figures: cell, label, mean, cost, front (on the Pareto front, equals too); cheapest first.

    `scores`: cell, label, mean.
    """
    out = scores.assign(cost=scores["cell"].map(bill[cost])).dropna(subset=["mean", "cost"])
    cheap = -out["cost"] if cost in MORE_IS_CHEAPER else out["cost"]
    good = out["mean"] if higher_is_better else -out["mean"]
    order = pd.DataFrame({"cheap": cheap, "good": -good}).sort_values(["cheap", "good"], kind="stable").index
    best, last, front = float("-inf"), None, []
    for place in order:
        here = float(cheap[place]), float(good[place])
        front.append(here[1] > best or here == last)
        if front[-1]:
            best, last = here[1], here
    return out.loc[order].assign(front=front)
