"""`harness compare`, `effects`, `power` and `selfcheck`: the statistics of a finished matrix, and of one to come."""

from __future__ import annotations

import argparse

from harness.commands.parsing import Commands, add_matrix, prepared


def add(commands: Commands) -> None:
    """Add them to the parser."""
    pair = commands.add(
        "compare", compare_cells, "compare two cells of a finished matrix, or rank them all", on_store=True
    )
    pair.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    pair.add_argument("--a", help="a cell, by its name or a part of it that fits no other")
    pair.add_argument("--b", help="the cell to compare it with (default: the baseline)")
    pair.add_argument("--measure", help="a metric or judge (default: the primary measure)")
    pair.add_argument("--margin", type=float, help="points that do not matter: tests for equivalence within them")
    effects = commands.add(
        "effects", show_effects, "effects of the axes of a finished matrix, and where chance is", on_store=True
    )
    effects.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    effects.add_argument("--measure", help="a metric or judge (default: the primary measure)")
    power = commands.add(
        "power", show_power, "how many items and seeds a matrix needs, before anything is trained", on_store=True
    )
    add_matrix(power)
    power.add_argument("--difference", type=float, default=2.0, help="points to be found (default: 2)")
    power.add_argument("--item-sd", type=float, help="standard deviation of an item's difference (default: 20 points)")
    power.add_argument("--seed-sd", type=float, help="standard deviation between training seeds (default: 1 point)")
    power.add_argument("--pilot", metavar="RUN", help="take both from a finished matrix in the store")
    check = commands.add("selfcheck", check_statistics, "simulate how often the statistics cry wolf on this machine")
    check.add_argument("--matrices", type=int, default=300, help="simulated matrices a setting (default: 300)")


def compare_cells(arguments: argparse.Namespace) -> int:
    """`harness compare`."""
    from rich.console import Console

    from harness.finished import compared, find_run, gathered, pick_pair
    from harness.ranking import strengths
    from harness.store import Store
    from reports.significance import print_pair, print_ranking

    store = Store(arguments.store)
    run = find_run(store, arguments.matrix)
    if arguments.a is None and arguments.b is None:
        inputs = gathered(run, store, arguments.measure, arguments.margin)
        print_ranking(compared(run, store, arguments.measure, arguments.margin), strengths(inputs), Console())
        return 0
    found = compared(run, store, arguments.measure, arguments.margin)
    print_pair(found, pick_pair(found, arguments.a, arguments.b), Console())
    return 0


def show_effects(arguments: argparse.Namespace) -> int:
    """`harness effects`."""
    from rich.console import Console

    from harness.finished import compared, find_run
    from harness.store import Store
    from reports.significance import print_effects

    store = Store(arguments.store)
    print_effects(compared(find_run(store, arguments.matrix), store, arguments.measure), Console())
    return 0


def show_power(arguments: argparse.Namespace) -> int:
    """`harness power`."""
    from rich.console import Console

    from harness.finished import compared, find_run
    from harness.samplesize import pilot_spread, sample_size, spread_of
    from harness.store import Store
    from reports.significance import print_sample_size

    spec, _, resolved, _ = prepared(arguments.matrix)
    pilot = None
    if arguments.pilot is not None:
        store = Store(arguments.store)
        pilot = pilot_spread(compared(find_run(store, arguments.pilot), store))
    declared = spec.compare.seed_sd if pilot is None else None
    spread = spread_of(arguments.item_sd, declared if arguments.seed_sd is None else arguments.seed_sd, pilot)
    print_sample_size(sample_size(spec, resolved, arguments.difference, spread), Console())
    return 0


def check_statistics(arguments: argparse.Namespace) -> int:
    """`harness selfcheck`."""
    from harness.errors import HarnessError
    from harness.selfcheck import QUICK, simulate, table

    if arguments.matrices < 1:
        raise HarnessError(f"{arguments.matrices} matrices", where="--matrices", hint="give 1 or more")
    found = [simulate(setting, arguments.matrices, seed=number) for number, setting in enumerate(QUICK)]
    print(f"No true difference, {arguments.matrices} simulated matrices a row: false alarms in %, at a nominal 5 %.\n")
    print(table(found))
    print("\n`verdict` is what the harness says. What each column means: docs/statistics.md")
    return 0
