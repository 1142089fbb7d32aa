"""`harness board`: a finished matrix by slices, the health of its responses, and before against after tuning."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands

if TYPE_CHECKING:
    from harness.breakdown import Finished
    from reports.sections import Section


def add(commands: Commands) -> None:
    """Add it to the parser."""
    board = commands.add(
        "board", show_board, "slices of a finished matrix, health of its responses, before and after", on_store=True
    )
    board.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    board.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="FIELD",
        help="language, length, input, leaked, task (first word), or a field of the data; may be given several times",
    )
    board.add_argument("--measure", help="a metric or judge (default: the primary measure)")
    board.add_argument(
        "--health", action="store_true", help="how responses end: by themselves, cut, empty, loops, copies"
    )
    board.add_argument("--before-after", action="store_true", help="following, quality and stability before and after")
    board.add_argument("--write", action="store_true", help="also write slices.md and slices.html beside the report")


def show_board(arguments: argparse.Namespace) -> int:
    """`harness board`; without any choice, all that there is."""
    from rich.console import Console
    from rich.text import Text

    from harness.breakdown import read
    from harness.finished import find_run, gathered
    from harness.spec.reading import load_spec
    from harness.store import Store, translated_disk_errors, write_atomically
    from reports.sections import print_section, sections_html, sections_markdown

    store = Store(arguments.store)
    run = find_run(store, arguments.matrix)
    inputs = gathered(run, store, arguments.measure)
    finished = read(load_spec(run.folder / "matrix.yaml"), run, store, inputs)
    sections = chosen(arguments, finished)
    for section in sections:
        print_section(section, Console())
    if arguments.write:
        with translated_disk_errors(run.folder):
            write_atomically(run.folder / "slices.md", sections_markdown(run.name, sections))
            write_atomically(run.folder / "slices.html", sections_html(run.name, sections))
        Console().print(Text(f"Written      {run.folder / 'slices.html'}"), soft_wrap=True)
    return 0


def chosen(arguments: argparse.Namespace, finished: Finished) -> list[Section]:
    """The sections that were asked for; all of them where none was."""
    from harness.breakdown import cell_health, slices, three_dimensions, untrusted
    from harness.slices import FIELDS
    from reports.dimensions import dimension_sections
    from reports.health import health_section
    from reports.slices import slice_section

    everything = not (arguments.slice or arguments.health or arguments.before_after)
    measure = arguments.measure or finished.primary
    cells = tuple(dict.fromkeys(each.variant.cell for each in finished.inputs.variants))
    found = []
    for field in arguments.slice or (FIELDS if everything else ()):
        table = slices(finished, field, measure)
        if not everything or len(table.slices) > 2:  # all, and one slice that is the same
            found.append(slice_section(table, cells))
    if everything or arguments.health:
        found.append(health_section(cell_health(finished)))
    if everything or arguments.before_after:
        found += dimension_sections(three_dimensions(finished), untrusted(finished))
    return found
