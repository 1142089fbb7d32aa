"""`harness run` and `harness plan`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.parsing import (
    Commands,
    add_limits,
    add_matrix,
    command_line,
    prepared,
    quiet_libraries,
    warn_of_foreign_packages,
)

if TYPE_CHECKING:
    from harness.records.plan import Plan
    from harness.resolved import Resolved
    from harness.spec.matrix import MatrixSpec


def add(commands: Commands) -> None:
    """Add them to the parser."""
    run = commands.add("run", run_matrix, "train, generate, score, judge, compare and publish a matrix", on_store=True)
    add_matrix(run)
    add_limits(run)
    run.add_argument("--plain", action="store_true", help="one line a finished piece of work instead of bars")
    plan = commands.add(
        "plan", show_plan, "show variants, stages, what is sealed, and an estimate of the cost", on_store=True
    )
    add_matrix(plan)


def run_matrix(arguments: argparse.Namespace) -> int:
    """`harness run`."""
    from rich.console import Console

    from harness import pipeline
    from harness.commands.judging import budget_of, check_judges
    from harness.progress import watching
    from harness.store import Store

    warn_of_foreign_packages()
    console = Console(stderr=False)
    spec, plan, resolved, text = prepared(arguments.matrix)
    store = Store(arguments.store)
    budget = budget_of(resolved, arguments.max_calls, arguments.max_cost)
    result = pipeline.finished_result(plan, store)
    if result is not None:
        console.print(f"Nothing to do: all {len(plan.stages)} stages of {plan.matrix!r} are sealed.", highlight=False)
    else:
        undone = pipeline.missing(plan, store)
        check_judges(plan, resolved, {stage.key for stage in undone})
        total, done = pipeline.pieces(plan, undone)
        watcher = watching(console, total, done, plain=arguments.plain)
        quiet_libraries()
        _warn_of_the_schedule(spec, plan, resolved)
        with watcher:
            result = pipeline.run(spec, plan, resolved, store, text, watcher, budget).result
    show_result(result, store.matrix_folder(plan), arguments.store)
    spent = budget.spent
    if spent.cost:
        console.print(f"Judges       {spent.calls:,} calls in this run, ${spent.cost:.2f}", highlight=False)
    return 1 if result.failed else 0


def show_result(result, folder: Path, store: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Leaderboard, answer, and where to look further."""
    from rich.console import Console
    from rich.text import Text

    from reports.terminal import print_result

    console = Console()
    print_result(result, console)
    where = () if store == Path("runs") else (store,)
    console.print()
    console.print(Text(f"Report       {folder / 'report.html'}"), soft_wrap=True)
    console.print(Text(f"Markdown     {folder / 'report.md'}"), soft_wrap=True)
    console.print(Text(f"Leaderboard  {command_line('harness', 'leaderboard', *where)}"), soft_wrap=True)


def show_plan(arguments: argparse.Namespace) -> int:
    """`harness plan`."""
    from rich.console import Console

    from harness.estimate import estimate
    from harness.pipeline import missing
    from harness.plan_table import print_plan
    from harness.store import Store

    spec, plan, resolved, _ = prepared(arguments.matrix)
    undone = {stage.key for stage in missing(plan, Store(arguments.store))}
    print_plan(plan, resolved, undone, estimate(spec, plan, resolved, undone), Console())
    _warn_of_the_schedule(spec, plan, resolved)
    return 0


def _warn_of_the_schedule(spec: MatrixSpec, plan: Plan, resolved: Resolved) -> None:
    from trainers.schedules import unreached

    trained = [each.variant for each in plan.variants if each.train is not None]
    rows = min((resolved.data.count("train", variant.fold) for variant in trained), default=None)
    if rows is not None:
        for text in unreached(spec.train.settings, rows):
            print(f"warning: {text}", file=sys.stderr)
