"""The command `harness`: parse arguments, call one function, print. Each command imports what it needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """\
examples:
  harness plan examples/quickstart.yaml    what would be made, and what it would cost
  harness run examples/quickstart.yaml     make it; run again to go on where it stopped
  harness leaderboard                      browse what is in ./runs

exit status: 0 done · 1 some variants failed, the others are compared · 2 a problem to mend, nothing is lost
             130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status. Problems that a user can mend print one message and no traceback."""
    from harness.errors import HarnessError

    arguments = parser().parse_args(argv)
    # Statistics run in threads of their own, a block of contrasts each; numpy's inside them would wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return int(arguments.command(arguments))
    except HarnessError as e:
        if arguments.debug:
            raise
        print(f"error: {e}", file=sys.stderr)
        return e.exit_status
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        print("\ninterrupted; what is done is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`harness store ls | head`)
        sys.stderr.close()
        return 0


def parser() -> argparse.ArgumentParser:  # noqa: PLR0915
    """All commands with their help."""
    from harness import __version__

    top = argparse.ArgumentParser(
        prog="harness",
        description="Fine-tune every variant of a matrix, and learn which choice is better, by how much, "
        "and whether to believe it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sft-harness {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    stored = argparse.ArgumentParser(add_help=False, parents=[common])
    stored.add_argument("--store", type=Path, default=Path("runs"), metavar="DIR", help="the store (default: ./runs)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: str, about: str, parent: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", parents=[parent])
        sub.set_defaults(command=lambda arguments: globals()[function](arguments))
        return sub

    run = command("run", "run_matrix", "train, generate, score, judge, compare and publish a matrix", stored)
    run.add_argument("matrix", type=Path, help="matrix file (YAML)")
    run.add_argument("--plain", action="store_true", help="one line a finished piece of work instead of bars")
    plan = command("plan", "show_plan", "show variants, stages, what is sealed, and an estimate of the cost", stored)
    plan.add_argument("matrix", type=Path, help="matrix file (YAML)")
    preview = command("preview", "show_masks", "show which tokens of the training rows carry loss", stored)
    preview.add_argument("matrix", type=Path, help="matrix file (YAML)")
    preview.add_argument(
        "--variant", metavar="NAME", help="a variant of the matrix (default: one of each trained cell)"
    )
    preview.add_argument("--rows", type=positive, default=5, metavar="N", help="training rows to show (default: 5)")
    preview.add_argument("--ids", action="store_true", help="show token ids")
    prompts = command("prompts", "check_styles", "list the prompt styles, or check style files of your own", common)
    prompts.add_argument(
        "action", choices=["ls", "check"], help="list built-in styles; check files and show an example"
    )
    prompts.add_argument("file", type=Path, nargs="*", help="check: style files (YAML)")
    pair = command("compare", "compare_cells", "compare two cells of a finished matrix, or rank them all", stored)
    pair.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    pair.add_argument("--a", help="a cell, by its name or a part of it that fits no other")
    pair.add_argument("--b", help="the cell to compare it with (default: the baseline)")
    pair.add_argument("--measure", help="a metric or judge (default: the primary measure)")
    pair.add_argument("--margin", type=float, help="points that do not matter: tests for equivalence within them")
    effects = command(
        "effects", "show_effects", "effects of the axes of a finished matrix, and where chance is", stored
    )
    effects.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    effects.add_argument("--measure", help="a metric or judge (default: the primary measure)")
    power = command(
        "power", "show_power", "how many items and seeds a matrix needs, before anything is trained", stored
    )
    power.add_argument("matrix", type=Path, help="matrix file (YAML)")
    power.add_argument("--difference", type=float, default=2.0, help="points to be found (default: 2)")
    power.add_argument("--item-sd", type=float, help="standard deviation of an item's difference (default: 20 points)")
    power.add_argument("--seed-sd", type=float, help="standard deviation between training seeds (default: 1 point)")
    power.add_argument("--pilot", metavar="RUN", help="take both from a finished matrix in the store")
    check = command(
        "selfcheck", "check_statistics", "simulate how often the statistics cry wolf on this machine", common
    )
    check.add_argument("--matrices", type=int, default=300, help="simulated matrices a setting (default: 300)")
    board = command(
        "leaderboard", "open_leaderboard", "browse a store in the browser (Streamlit, on 127.0.0.1)", common
    )
    board.add_argument("store", type=Path, nargs="?", default=Path("runs"), help="the store (default: ./runs)")
    board.add_argument("--port", type=int, default=8501, help="port (default: 8501)")
    command("schema", "print_schema", "print the JSON Schema of a matrix file, for your editor", common)
    command("doctor", "examine", "check this installation: packages, versions, models, device", common)
    data = command("data", "audit_data", "look for duplicates, leaks and oddities in a data set", common)
    data.add_argument("action", choices=["audit"], help="report what is found; nothing is changed")
    data.add_argument("file", type=Path, help="a data file, folder or known name; or a matrix file, for its data")
    data.add_argument("--fields", nargs="+", metavar="FIELD=NAME", default=[], help="as data.fields of a matrix")
    data.add_argument("--model", help="count entries longer than this model takes (a matrix names its own)")
    data.add_argument("--prompt-style", default="alpaca", help="style in which they are counted (default: alpaca)")
    data.add_argument("--max-length", type=int, metavar="TOKENS", help="as train.max_length of a matrix")
    data.add_argument("--all", action="store_true", help="name every entry, not the first twenty of each kind")
    data.add_argument("--json", action="store_true", help="one JSON object for other programs")
    store = command("store", "keep_store", "look after the store", stored)
    store.add_argument(
        "action", choices=["ls", "verify", "gc"], help="list objects; check every file; remove unused ones"
    )
    store.add_argument("--dry-run", action="store_true", help="gc: only say what would go")
    return top


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


# ---------------------------------------------------------------- run and plan


def run_matrix(arguments: argparse.Namespace) -> int:
    """`harness run`."""
    from rich.console import Console

    from harness import pipeline
    from harness.progress import Bars, Lines
    from harness.store import Store

    warn_of_foreign_packages()
    console = Console(stderr=False)
    spec, plan, resolved, text = prepared(arguments.matrix)
    store = Store(arguments.store)
    result = pipeline.finished_result(plan, store)
    if result is not None:
        console.print(f"Nothing to do: all {len(plan.stages)} stages of {plan.matrix!r} are sealed.", highlight=False)
    else:
        total, done = pipeline.pieces(plan, pipeline.missing(plan, store))
        plain = arguments.plain or not console.is_terminal
        watcher = Lines(console, total, done) if plain else Bars(console, total, done)
        quiet_libraries()
        with watcher:
            result = pipeline.run(spec, plan, resolved, store, text, watcher).result
    show_result(result, store.matrix_folder(plan), arguments.store)
    return 1 if result.failed else 0


def prepared(matrix: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201 - typed by what it calls
    """(spec, plan, resolved, text) of a matrix file."""
    from harness.plan import expand
    from harness.resolve import resolve
    from harness.spec import load_spec

    spec = load_spec(matrix)
    resolved = resolve(spec, matrix)
    return spec, expand(spec, resolved), resolved, matrix.read_text(encoding="utf-8-sig")


def quiet_libraries() -> None:
    """Settings of libraries that they read when they are first imported: no bars and notices of their own."""
    import logging
    import warnings

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP's threads spin for milliseconds while they wait: they starve each other as soon as anything else runs here
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


def show_result(result, folder: Path, store: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Leaderboard, answer, and where to look further."""
    from rich.console import Console

    from reports.terminal import print_result

    console = Console()
    print_result(result, console)
    where = "" if store == Path("runs") else f" {store}"
    console.print()
    console.print(f"Report       {folder / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f"Markdown     {folder / 'report.md'}", highlight=False, soft_wrap=True)
    console.print(f"Leaderboard  harness leaderboard{where}", highlight=False, soft_wrap=True)


def show_plan(arguments: argparse.Namespace) -> int:
    """`harness plan`."""
    from rich.console import Console

    from harness.pipeline import missing
    from harness.plan import estimate
    from harness.plan_table import print_plan
    from harness.store import Store

    spec, plan, resolved, _ = prepared(arguments.matrix)
    undone = {stage.key for stage in missing(plan, Store(arguments.store))}
    print_plan(plan, resolved, undone, estimate(spec, plan, resolved, undone), Console())
    return 0


def show_masks(arguments: argparse.Namespace) -> int:
    """`harness preview`."""
    from rich.console import Console

    from harness.preview import chosen, previews
    from harness.store import Store
    from reports.mask_terminal import print_masks

    _, plan, resolved, _ = prepared(arguments.matrix)
    variants = chosen(plan, arguments.variant)
    quiet_libraries()
    found = previews(plan, resolved, Store(arguments.store), variants, arguments.rows)
    print_masks(((each.variant.name, preview) for each, preview in found), Console(), ids=arguments.ids)
    return 0


# ---------------------------------------------------------------- statistics


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
    spread = spread_of(arguments.item_sd, arguments.seed_sd, pilot)
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


# ---------------------------------------------------------------- the other commands


def check_styles(arguments: argparse.Namespace) -> int:
    """`harness prompts`."""
    from rich.console import Console

    from harness.prompts import STYLES, style_file
    from reports.style_terminal import print_style, print_styles

    console = Console()
    if arguments.action == "ls":
        print_styles(STYLES, console)
        return 0
    if not arguments.file:
        from harness.errors import HarnessError

        raise HarnessError("no file to check", hint="harness prompts check my-style.yaml")
    for path in arguments.file:
        print_style(style_file(path), console)
    return 0


def audit_data(arguments: argparse.Namespace) -> int:
    """`harness data audit`."""
    from rich.console import Console

    from harness.data.audit import audit
    from harness.data.audit_report import as_json, print_audit
    from harness.data.examination import examination
    from trainers.lengths import token_limit
    from trainers.models import locate, read_tokenizer

    given = examination(arguments.file, arguments.fields, arguments.model, arguments.prompt_style, arguments.max_length)
    limits = []
    for model in given.models:
        tokenizer, context = read_tokenizer(locate(model, trust_remote_code=given.trust_remote_code))
        limits += [token_limit(model, tokenizer, context, style, given.max_length) for style in given.styles]
    found = audit(given.data, given.settings, limits)
    if arguments.json:
        print(as_json(given, found))
    else:
        print_audit(given, found, Console(), every=arguments.all)
    return 0


def print_schema(_: argparse.Namespace) -> int:
    """`harness schema`."""
    import json

    from harness.spec import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


def open_leaderboard(arguments: argparse.Namespace) -> int:
    """`harness leaderboard`."""
    from leaderboard.launch import launch

    warn_of_foreign_packages()
    return launch(arguments.store, arguments.port)


def examine(_: argparse.Namespace) -> int:
    """`harness doctor`."""
    from harness.doctor import examination

    findings = examination()
    for finding in findings:
        print(f"{'ok  ' if finding.sound else 'LOOK'}  {finding.text}")
    return 0 if all(finding.sound or finding.optional for finding in findings) else 2


def keep_store(arguments: argparse.Namespace) -> int:
    """`harness store`."""
    from harness.store import Store

    store = Store(arguments.store)
    match arguments.action:
        case "ls":
            for item in store.ls():
                rows = f"{item.rows} rows" if item.rows is not None else "weights" if item.state == "sealed" else ""
                print(
                    f"{item.key.stage:<9} {item.key.digest[:12]}  {item.state:<11} {item.bytes / 1e6:>9.2f} MB  {rows}"
                )
            return 0
        case "verify":
            damaged = 0
            for key, problems in store.verify():
                damaged += bool(problems)
                for text in problems:
                    print(f"{key.stage} {key.digest[:12]}: {text}")
            print(f"{damaged} damaged" if damaged else "every sealed object is sound")
            return 2 if damaged else 0
        case _:
            garbage = store.garbage()
            for item in garbage:
                if not arguments.dry_run:
                    store.remove(item.key)
                print(f"{'would remove' if arguments.dry_run else 'removed'} {item.key.stage} {item.key.digest[:12]}")
            print(f"{len(garbage)} objects, {sum(item.bytes for item in garbage) / 1e6:.1f} MB")
            return 0


def warn_of_foreign_packages() -> None:
    """Tell, at start-up, of packages under our names that are not ours."""
    from harness.ownership import explain, foreign_packages

    for foreign in foreign_packages():
        print(f"warning: {explain(foreign)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
