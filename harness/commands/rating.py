"""`harness rate`: people rate a matrix's answers, blind, on a page in the browser or in the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.parsing import Commands, add_matrix, port, positive, prepared

if TYPE_CHECKING:
    from harness.records.plan import Plan
    from harness.spec.matrix import MatrixSpec
    from harness.store import Store


def add(commands: Commands) -> None:
    """Add it to the parser."""
    rate_ = commands.add("rate", rate, "rate a finished matrix's answers yourself: blind, one key each", on_store=True)
    add_matrix(rate_)
    rate_.add_argument("--rater", metavar="NAME", help="who rates; without it the page asks. Each rater has an order")
    rate_.add_argument("--rubric", default="correctness-5", help="a built-in rubric or a YAML file; also pairwise")
    rate_.add_argument("--items", type=positive, metavar="N", help="rate only N test items, the same for every rater")
    rate_.add_argument("--terminal", action="store_true", help="rate here, not in the browser; needs --rater")
    rate_.add_argument("--port", type=port, default=8502, help="port of the page (default: 8502)")
    rate_.add_argument("--no-browser", action="store_true", help="serve the page without opening a browser")
    rate_.add_argument("--agreement", action="store_true", help="show only how raters and judges agree")


def rate(arguments: argparse.Namespace) -> int:
    """`harness rate`."""
    from rich.console import Console

    from harness.resolve import rubric_name
    from harness.store import Store

    spec, plan, _, _ = prepared(arguments.matrix)
    store, console = Store(arguments.store), Console()
    if not arguments.agreement:
        rubric = rubric_name(arguments.rubric, Path(arguments.matrix))
        if arguments.terminal:
            rate_here(arguments, spec, plan, store, rubric, console)
        else:
            status = rate_on_page(arguments, spec, plan, store, rubric)
            if status != 0:
                return status
    conclude(spec, plan, store, console)
    return 0


def rate_here(  # noqa: PLR0913 - a sitting's whole surroundings
    arguments: argparse.Namespace, spec: MatrixSpec, plan: Plan, store: Store, rubric: str, console: Any
) -> None:
    """One sitting in the terminal. Every rating is on disk before the next question is shown."""
    from harness.errors import HarnessError
    from harness.sitting import opponent_of, sit_down
    from judges.rating_desk import Desk, keyboard
    from judges.rubric import load_rubric

    if not arguments.rater:
        raise HarnessError("nobody is named as the rater", hint="--rater anna")
    sitting = sit_down(plan, opponent_of(spec, plan), store, load_rubric(rubric), arguments.rater, arguments.items)
    left = sitting.left()
    Desk(sitting.rubric, console, keyboard, sitting.keep, sitting.drop).rate(left, len(sitting.questions) - len(left))
    sitting.finish()


def rate_on_page(arguments: argparse.Namespace, spec: MatrixSpec, plan: Plan, store: Store, rubric: str) -> int:
    """Serve the page until interrupted; its exit status."""
    from harness.sitting import answered_by, opponent_of
    from judges.rubric import load_rubric
    from leaderboard.launch import RATING, launch

    against = opponent_of(spec, plan)
    answered_by(plan, against, store, pairwise=load_rubric(rubric).mode == "pairwise")
    print(f"Rate at http://127.0.0.1:{arguments.port}; Ctrl-C here when you are done: every rating is kept", flush=True)
    more = ["--matrix", str(store.matrix_folder(plan)), "--rubric", rubric, "--against", against.digest]
    more += ["--rater", arguments.rater] if arguments.rater else []
    more += ["--items", str(arguments.items)] if arguments.items else []
    return launch(store.root, arguments.port, open_browser=not arguments.no_browser, app=RATING, more=more)


def conclude(spec: MatrixSpec, plan: Plan, store: Store, console: Any) -> None:
    """Tell how raters and judges agree; of a finished matrix, write its comparison and reports anew."""
    from harness import pipeline
    from harness.raters import people_report
    from harness.sitting import opponent_of
    from reports.people import people_sections
    from reports.sections import print_section

    before = store.result(plan)
    if before is not None:
        people = pipeline.conclude(spec, plan, store, before.failed).people
    else:
        people = people_report(plan, store, against=opponent_of(spec, plan))
    for section in people_sections(people) if people is not None else ():
        print_section(section, console)
    if people is None:
        console.print("nobody has rated these answers yet")
