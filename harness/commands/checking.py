"""`harness check` and `harness baseline`: hold a matrix to a committed baseline."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, add_limits, add_matrix, prepared, quiet_libraries

if TYPE_CHECKING:
    from rich.console import Console

    from harness.records.baseline import Baseline, Snapshot
    from harness.records.check import CheckReport
    from harness.records.plan import Plan
    from harness.records.policy import Policy
    from harness.records.result import Result
    from harness.resolved import Resolved
    from harness.spec.matrix import MatrixSpec
    from harness.store import Store
    from judges.budget import Budget

FOLDER = Path("baselines")
"""Where baselines lie, beside the matrix files that they are of."""


def add(commands: Commands) -> None:
    """Add them to the parser."""
    check = commands.add("check", check_matrix, "run a matrix and hold it to a committed baseline", on_store=True)
    add_matrix(check)
    check.add_argument("--against", type=Path, required=True, metavar="FILE", help="the baseline")
    check.add_argument("--policy", type=Path, metavar="FILE", help="what is checked, and how strictly (YAML)")
    check.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML, a case a check")
    check.add_argument("--markdown", type=Path, metavar="FILE", help="write a comment for a pull request")
    check.add_argument("--json", type=Path, metavar="FILE", help="write everything, for other programs")
    add_limits(check)
    actions = commands.group("baseline", "keep what a run measured as a small file to be committed")
    save = actions.add("save", save_baseline, "write baselines/NAME.json from a finished run", on_store=True)
    save.add_argument("run", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    update = actions.add("update", update_baseline, "replace a baseline, with a reason that is kept", on_store=True)
    update.add_argument("run", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    update.add_argument("--reason", required=True, help="why what counted so far no longer counts")
    for sub in (save, update):
        where = sub.add_mutually_exclusive_group(required=True)
        where.add_argument("--as", dest="name", metavar="NAME", help=f"the file {FOLDER}/NAME.json")
        where.add_argument("--file", type=Path, metavar="FILE", help="the file itself")
        sub.add_argument(
            "--texts", action="store_true", help="keep questions and answers, for diffs of the worst items"
        )
    show = actions.add("show", show_baseline, "what a baseline holds, and its history")
    show.add_argument("file", type=Path, metavar="FILE", help="the baseline")


# ---------------------------------------------------------------- check


def check_matrix(arguments: argparse.Namespace) -> int:
    """`harness check`."""
    from rich.console import Console

    from harness.errors import HarnessError, spoken_error
    from harness.gate.report import Files, failure, unusable

    console, problem = Console(), None
    files = Files.of(arguments.matrix, arguments.against, arguments.policy)
    limits = arguments.max_calls, arguments.max_cost
    forget_verdicts(
        [arguments.junit, arguments.markdown, arguments.json], [arguments.matrix, arguments.against, arguments.policy]
    )
    try:
        report = checked(arguments.matrix, arguments.against, arguments.policy, arguments.store, console, limits)
    except HarnessError as e:
        problem, report = e, unusable(files, failure("usage", str(e), "usage"))
    except Exception as e:
        # Python itself would exit with 1, which here means a worse model.
        traceback.print_exc()
        report = unusable(files, failure("program", spoken_error(e), "infrastructure"))
    status = published(report, arguments, None if problem else console)
    if problem is not None:
        raise problem
    return status


def forget_verdicts(outputs: Sequence[Path | None], inputs: Sequence[Path | None]) -> None:
    """Remove what an earlier check wrote: it is no verdict on this candidate, whatever ends this command.

    Raises HarnessError where an output would take the place of an input or of another output.
    """
    from harness.errors import HarnessError

    written = [path for path in outputs if path is not None]
    places = [path.resolve() for path in (*written, *inputs) if path is not None]
    for number, path in enumerate(written):
        if path.resolve() in places[number + 1 :] and not path.is_char_device():
            raise HarnessError(
                "this file is named twice",
                where=str(path),
                hint="--junit, --markdown and --json each take a file of their own",
            )
    for path in written:
        if path.is_file() and not path.is_symlink():  # not /dev/stdout
            with suppress(OSError):
                path.unlink()


def published(report: CheckReport, arguments: argparse.Namespace, console: Console | None) -> int:
    """Write the files that were asked for, then print; gives the exit status, 4 where a pass could not be written."""
    from harness.errors import HarnessError
    from harness.gate.report import UNREACHABLE

    try:
        write_outputs(report, junit=arguments.junit, markdown=arguments.markdown, json=arguments.json)
        if console is not None:
            print_report(report, console)
        annotate(report)
    except BrokenPipeError:
        raise
    except (HarnessError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return report.exit_status or UNREACHABLE
    except Exception:
        traceback.print_exc()
        return report.exit_status or UNREACHABLE
    return report.exit_status


def checked(  # noqa: PLR0913 - what is held to what, and how
    matrix: Path,
    against: Path,
    policy_file: Path | None,
    store_folder: Path,
    console: Console,
    limits: tuple[int | None, float | None] = (None, None),
) -> CheckReport:
    """Run what is missing and check it. `limits`: calls to judges and US dollars at most.

    Trouble of judges, servers and disks is part of the report. Raises HarnessError for files that cannot be used.
    """
    from harness.commands.judging import budget_of
    from harness.errors import HarnessError, JudgeError, NothingFinished, StoreError
    from harness.gate.baseline_file import load
    from harness.gate.policy_file import load_policy, settled
    from harness.gate.report import Files, assembled, check, failure
    from harness.gate.snapshot import snapshot
    from harness.store import MatrixRun, Store

    baseline = load(against)
    files = Files.of(matrix, against, policy_file)
    policy = settled(load_policy(policy_file), baseline.snapshot, files.policy)
    try:
        spec, plan, resolved, text = prepared(matrix)
        refused = refusals(baseline, policy, spec, plan, resolved, files.policy)
        if refused:
            return assembled(baseline, policy, files, [failure(*each, "input") for each in refused])
        store, budget = Store(store_folder), budget_of(resolved, *limits)
    except HarnessError as e:
        if e.unreachable:
            return assembled(baseline, policy, files, [failure("servers", str(e), "infrastructure")])
        raise
    try:
        result = finished(spec, plan, resolved, store, text, console, budget)
        run = MatrixRun(plan.matrix, plan.matrix_digest, store.matrix_folder(plan), plan, result)
        candidate = snapshot(run, store, texts=True)
    except NothingFinished as e:
        return assembled(baseline, policy, files, [failure("training", e.what, "training")])
    except HarnessError as e:
        if not (e.unreachable or isinstance(e, JudgeError | StoreError)):
            raise
        name = "store" if isinstance(e, StoreError) else "judges" if isinstance(e, JudgeError) else "servers"
        return assembled(baseline, policy, files, [failure(name, str(e), "infrastructure")])
    return check(baseline, candidate, policy, files)


def refusals(  # noqa: PLR0913 - both sides in their parts
    baseline: Baseline, policy: Policy, spec: MatrixSpec, plan: Plan, resolved: Resolved, policy_file: str
) -> list[tuple[str, str]]:
    """(check, why it cannot be made) of those that can fail the gate, told before anything is trained.

    Raises HarnessError where the policy names cells or items that are not there.
    """
    from harness.gate.cells import kinds, missing_cells, paired
    from harness.gate.drift import Drift, item_changes, measure_drift
    from harness.gate.limits import golden_item
    from harness.gate.report import unchecked
    from harness.gate.snapshot import planned_items, planned_measures

    before = baseline.snapshot
    cells, cells_before = kinds(each.variant for each in plan.variants), kinds(each.variant for each in before.variants)
    missing = missing_cells(paired(cells, cells_before, policy.cells), cells_before)
    refused = [unchecked(name) for name in missing if policy.missing_cells == "fail"]
    measures, judges = planned_measures(spec, plan, resolved)
    found, items = measure_drift(before, measures, judges), planned_items(spec, resolved)
    if items is not None:
        ids = [each.id for each in items]
        found += [Drift(text) for text in item_changes(before.items, ids)]
        for golden in policy.golden:
            golden_item(golden, ids, items, policy_file)
    known = {each.info.name for each in measures}
    needed = [check.measure for check in policy.checks if check.tier != "advisory"]
    needed += [golden.measure for golden in policy.golden if golden.tier != "advisory"]
    for each in dict.fromkeys(needed):
        texts = [drift.text for drift in found if drift.touches(each)]
        texts += [] if each in known else [f"{each} is not measured in this matrix"]
        refused += [(each, "; ".join(texts))] if texts else []
    return refused


def finished(  # noqa: PLR0913 - a run's whole surroundings
    spec: MatrixSpec,
    plan: Plan,
    resolved: Resolved,
    store: Store,
    text: str,
    console: Console,
    budget: Budget,
) -> Result:
    """The result of the matrix, run as `harness run` does where anything is missing."""
    from harness import pipeline
    from harness.commands.judging import check_judges
    from harness.progress import watching

    result = pipeline.finished_result(plan, store)
    if result is not None:
        return result
    undone = pipeline.missing(plan, store)
    check_judges(plan, resolved, {stage.key for stage in undone})
    total, done = pipeline.pieces(plan, undone)
    quiet_libraries()
    with watching(console, total, done) as watcher:
        return pipeline.run(spec, plan, resolved, store, text, watcher, budget).result


def write_outputs(report: CheckReport, *, junit: Path | None, markdown: Path | None, json: Path | None) -> None:
    """The files asked for; inside GitHub Actions the step summary too."""
    from harness.store import translated_disk_errors
    from reports.check_markdown import check_markdown
    from reports.junit import junit_xml

    for path, write in ((junit, junit_xml), (markdown, check_markdown), (json, report_json)):
        if path is not None:
            with translated_disk_errors(path, "name another file"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(write(report), encoding="utf-8", errors="backslashreplace")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with (
            translated_disk_errors(Path(summary), "set GITHUB_STEP_SUMMARY to another file"),
            Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as f,
        ):
            f.write(check_markdown(report))


def print_report(report: CheckReport, console: Console) -> None:
    """As text; inside GitHub Actions so that nothing of a model's answers is a command to the runner."""
    from reports.annotations import inert
    from reports.check_terminal import print_check

    with console.capture() as captured:
        print_check(report, console)
    text = captured.get()
    print(inert(text) if in_actions() else text, end="", file=console.file, flush=True)


def annotate(report: CheckReport) -> None:
    """Inside GitHub Actions, what fails or warns beside the matrix file."""
    from reports.annotations import workflow_commands

    if in_actions():
        place = os.path.relpath(report.matrix_file, os.environ.get("GITHUB_WORKSPACE", "."))
        for line in workflow_commands(report, place):
            print(line)


def in_actions() -> bool:
    """Whether GitHub Actions reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def report_json(report: CheckReport) -> str:
    """check.json."""
    return report.model_dump_json(indent=1) + "\n"


# ---------------------------------------------------------------- baseline


def save_baseline(arguments: argparse.Namespace) -> int:
    """`harness baseline save`."""
    from harness.gate.baseline_file import save
    from harness.store import utc_now

    path = baseline_path(arguments)
    taken = taken_from(arguments)
    told(path, save(path, arguments.name or path.stem, taken, utc_now()))
    return 0


def update_baseline(arguments: argparse.Namespace) -> int:
    """`harness baseline update`."""
    from harness.gate.baseline_file import update
    from harness.store import utc_now

    path = baseline_path(arguments)
    baseline = update(path, taken_from(arguments), arguments.reason, utc_now())
    for change in baseline.history[-1].changes:
        print(f"changed  {change}")
    told(path, baseline)
    return 0


def show_baseline(arguments: argparse.Namespace) -> int:
    """`harness baseline show`."""
    from harness.gate.baseline_file import load

    baseline = load(arguments.file)
    told(arguments.file, baseline)
    for measure in baseline.snapshot.measures:
        print(f"  {measure.info.label}  {measure.info.signature}")
    for entry in baseline.history:
        print(f"{entry.saved}  {entry.matrix_digest[:12]}  {entry.reason}")
        for change in entry.changes:
            print(f"    {change}")
    return 0


def baseline_path(arguments: argparse.Namespace) -> Path:
    """Where the baseline lies. Raises HarnessError for a name that is a path."""
    from harness.errors import HarnessError

    if arguments.file is not None:
        return Path(arguments.file)
    if Path(arguments.name).name != arguments.name:
        raise HarnessError(f"{arguments.name!r} is a path", where="--as", hint="give a name, or the file with --file")
    return FOLDER / f"{arguments.name}.json"


def taken_from(arguments: argparse.Namespace) -> Snapshot:
    """What the run measured: of a matrix file the run of just what stands there now, of a name the newest."""
    from harness.finished import find_run
    from harness.gate.snapshot import snapshot
    from harness.store import Store

    store, wanted = Store(arguments.store), arguments.run
    if wanted.endswith((".yaml", ".yml")):
        _, plan, _, _ = prepared(Path(wanted))
        wanted = store.matrix_folder(plan).name
    return snapshot(find_run(store, wanted), store, texts=arguments.texts)


def told(path: Path, baseline: Baseline) -> None:
    """Say what the file holds."""
    taken = baseline.snapshot
    seeds = [each.variant for each in taken.variants]
    cells = len({variant.cell.name for variant in seeds})
    print(
        f"{path}: {baseline.name}, {len(taken.items)} items, {len(taken.measures)} measures, {cells} cells in "
        f"{len(seeds)} variants, {path.stat().st_size / 1000:.0f} kB"
    )
