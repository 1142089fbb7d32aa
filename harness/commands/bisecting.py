"""`harness bisect`: which of the things that changed explains a fall."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, prepared

if TYPE_CHECKING:
    from harness.gate.bisection import Bisection, Step
    from harness.gate.hybrid import Factor
    from harness.records.baseline import Snapshot


def add(commands: Commands) -> None:
    """Add it to the parser."""
    bisect = commands.add("bisect", bisect_runs, "find which changed factor explains a fall", on_store=True)
    sides = "a run of the store, a matrix file, or REV:path/matrix.yaml for one at a git revision"
    bisect.add_argument("good", metavar="GOOD", help=f"the better side: {sides}")
    bisect.add_argument("bad", metavar="BAD", help="the worse side, likewise")
    bisect.add_argument("--measure", help="a metric or judge (default: the good side's primary measure)")
    bisect.add_argument(
        "--folder", type=Path, default=Path(), help="where file names of runs of the store start from (default: here)"
    )


def bisect_runs(arguments: argparse.Namespace) -> int:
    """`harness bisect`."""
    from rich.console import Console

    from harness.commands.checking import finished
    from harness.commands.judging import budget_of
    from harness.errors import NothingFinished
    from harness.gate.bisection import bisect
    from harness.gate.hybrid import factors, hybrid
    from harness.gate.introduced import introduced
    from harness.gate.revision import revision
    from harness.gate.snapshot import snapshot
    from harness.store import MatrixRun, Store

    console, store = Console(), Store(arguments.store)
    with TemporaryDirectory() as made:
        scratch = Path(made)
        good, bad = (revision(side, store, arguments.folder, scratch) for side in (arguments.good, arguments.bad))
        found = factors(good, bad)
        for number, factor in enumerate(found, 1):
            console.print(f"{number:>3}  {factor}", highlight=False, markup=False)

        def make(switched: Sequence[Factor]) -> Snapshot | None:
            numbers = [str(found.index(factor) + 1) for factor in switched]
            console.print(f"run with {', '.join(numbers) or 'nothing'} switched", highlight=False, markup=False)
            name = "-".join(numbers)[:40] or "0"
            folder = f"{name}-{len(list(scratch.glob('hybrids/*')))}"
            matrix = hybrid(good, bad, switched, scratch, folder)
            spec, plan, resolved, text = prepared(matrix)
            try:
                result = finished(spec, plan, resolved, store, text, console, budget_of(resolved, None, None))
            except NothingFinished:
                return None
            run = MatrixRun(plan.matrix, plan.matrix_digest, store.matrix_folder(plan), plan, result)
            return snapshot(run, store, texts=False)

        culprit = bisect(found, make, arguments.measure)
        told(culprit, introduced(culprit.culprit, arguments.good, arguments.bad))
    return 0


def told(found: Bisection, commit: str | None = None) -> None:
    """Print what each hybrid lost, what explains it, and the commit that it came with."""
    print(f"\n{found.measure}: all together {line(found.whole)}")
    for step in (*found.steps, found.alone):
        print(f"  {' + '.join(map(str, step.switched))}: {line(step)}")
    if found.sufficient:
        print(f"\n{found.culprit} explains it: alone it brings {100 * found.alone.share:.0f} % of the fall.")
    else:
        print(
            f"\n{found.culprit} brings the fall only together with what was switched before it; alone it brings "
            f"{100 * found.alone.share:.0f} %."
        )
    if commit is not None:
        print(f"It came with commit {commit}")
    if not any(check.outcome == "regression" for check in found.whole.checks) and found.whole.checks:
        print("Beware: the fall itself is not shown to be more than chance.")


def line(step: Step) -> str:
    """`−4.2 points [−6.1, −2.3], 80 % of the fall`."""
    from reports.check_wording import bounds

    if not step.checks:
        return "the training broke off"
    ends = " ".join(filter(None, map(bounds, step.checks)))
    return f"{step.delta:+.1f} points {ends}, {100 * step.share:.0f} % of the fall".replace("-", "\u2212")
