"""The plan as a table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.estimate import CallsEstimate, Estimate
from harness.records.inputs import StageKey
from harness.records.plan import Plan
from harness.resolved import Resolved


def print_plan(plan: Plan, resolved: Resolved, undone: set[StageKey], cost: Estimate, console: Console) -> None:
    """Variants with the state of each stage, the split, and what is left to do."""
    data = resolved.data
    bad = f"; {data.bad_rows} broken rows left out" if data.bad_rows else ""
    tested = f"{data.count('test')} test"
    if data.folded:  # each is the test set once, and train the other times
        tested = f"{data.count('test')} in {len(data.folded)} folds"
    parts = f"{data.count('train')} train, {tested}, {data.count('validation')} validation"
    console.print(Text.assemble((plan.matrix, "bold"), f"  {data.name}: {parts}{bad}"))
    table = Table(box=None, pad_edge=False)
    for column in ("variant", "base", "train", "generate", "score", *(judge.name for judge in plan.judges)):
        table.add_column(Text(column))
    for each in plan.variants:
        table.add_row(
            Text(each.variant.name),
            state([each.base] if each.base else [], undone),
            state([each.train] if each.train else [], undone),
            state([each.generate], undone),
            state(list(each.scores.values()), undone),
            *(state([each.asks[j.name], each.judgments[j.name]], undone) for j in plan.judges),
        )
    console.print(table)
    for name, model in resolved.models.items():
        if model.licence:
            console.print(Text(f"model {name}: {model.licence}", "dim"))
    for kind, estimates in (("served model", cost.served), ("judge", cost.judges)):
        for asked in estimates:
            if asked.calls:
                console.print(Text(bill(kind, asked)))
    console.print(summary(plan, undone, cost), highlight=False)


def state(keys: list[StageKey], undone: set[StageKey]) -> str:
    """`sealed`, `to do`, or how many of several are sealed; `–` where there is nothing to do at all."""
    if not keys:
        return "[dim]–[/dim]"
    left = sum(key in undone for key in keys)
    if left == 0:
        return "[green]sealed[/green]"
    return "to do" if left == len(keys) else f"{len(keys) - left}/{len(keys)} sealed"


def summary(plan: Plan, undone: set[StageKey], cost: Estimate) -> str:
    """What is left, and roughly what it costs."""
    if not undone:
        return f"all {len(plan.stages)} stages are sealed; `harness run` has nothing to do"
    times = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in cost.seconds.items())
    calls = f"; {cost.served_calls} calls to served models" if cost.served else ""
    calls += f"; {cost.judge_calls} calls to judges" if plan.judges else ""
    total = duration(sum(cost.seconds.values()))
    return (
        f"{len(undone)} of {len(plan.stages)} stages to do; roughly {total} on 2 CPU cores"
        + (f" ({times})" if times else "")
        + calls
    )


def bill(kind: str, asked: CallsEstimate) -> str:
    """What is left to ask one judge or served model, and what that may cost."""
    money = "no price known: give `price:`" if asked.cost is None else dollars(asked.cost)
    return (
        f"{kind} {asked.name}: {asked.calls:,} calls, about {asked.prompt_tokens / 1000:,.0f} k tokens to it and "
        f"{asked.reply_tokens / 1000:,.0f} k from it; {money}"
    )


def dollars(cost: float) -> str:
    """`free`, `under $0.01`, `$1.20`."""
    return "free" if cost == 0 else "under $0.01" if cost < 0.01 else f"${cost:,.2f}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
