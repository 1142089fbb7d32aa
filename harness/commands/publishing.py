"""`harness publish`: a run as an app, as tables, or in other tools' formats."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, command_line

if TYPE_CHECKING:
    from harness.store import MatrixRun, Store

FORMATS = ("tables", "cards", "alpaca-eval", "lm-eval", "inspect")
TEXTS = ("alpaca-eval", "inspect")
"""Formats that hold texts and nothing without them."""
HUB = "hf:"


def add(commands: Commands) -> None:
    """Add them to the parser."""
    publish = commands.add(
        "publish", publish_run, "make a folder that runs as a leaderboard elsewhere, and a static site", on_store=True
    )
    publish.add_argument("matrix", metavar="RUN", help="name of a matrix in the store, or its matrix file")
    publish.add_argument(
        "--to",
        required=True,
        metavar="DIR",
        help="a new folder, or hf:ORG/NAME for a Hugging Face Space (needs a token)",
    )
    publish.add_argument("--without-texts", action="store_true", help="figures only: no items, responses or replies")
    publish.add_argument(
        "--as",
        dest="form",
        choices=("app", *FORMATS),
        default="app",
        help="app (default), tables (CSV, JSON, LaTeX), cards (model cards), or what AlpacaEval, lm-evaluation-harness"
        " or Inspect read",
    )


def publish_run(arguments: argparse.Namespace) -> int:
    """`harness publish`."""
    from reports.bundle import bundle
    from reports.hub import upload

    _require_possible(arguments)
    store, run = _found(arguments)
    if arguments.form != "app":
        return _write(arguments, store, run)
    texts = not arguments.without_texts
    if arguments.to.startswith(HUB):
        print(upload(store, run, arguments.to.removeprefix(HUB), texts=texts))
        return 0
    folder = Path(arguments.to)
    bundle(store, run, folder, texts=texts)
    print(f"Leaderboard  {command_line('streamlit', 'run', folder / 'app.py')}")
    print(f"Static site  {folder / 'site' / 'index.html'}")
    return 0


def _require_possible(arguments: argparse.Namespace) -> None:
    from harness.errors import HarnessError

    if arguments.form in TEXTS and arguments.without_texts:
        raise HarnessError(
            f"{arguments.form} files are made of texts",
            where="--without-texts",
            hint="leave it out, or publish figures: --as tables or --as lm-eval",
        )
    if arguments.form != "app" and arguments.to.startswith(HUB):
        raise HarnessError(
            f"a Space is an app; --as {arguments.form} writes files here", where="--to", hint="name a folder"
        )


def _write(arguments: argparse.Namespace, store: Store, run: MatrixRun) -> int:
    """The files of one form."""
    from harness.errors import HarnessError
    from harness.store import translated_disk_errors
    from reports import evaluation_card, interchange, tables
    from reports.published import published

    folder = Path(arguments.to)
    run = published(run, texts=not arguments.without_texts)
    assert run.result is not None  # noqa: S101 - `find_run` gives finished runs
    match arguments.form:
        case "tables":
            written = tables.files(run.result)
        case "cards":
            written = evaluation_card.cards(run, store)
        case name:
            written = interchange.FORMATS[name](run, store)
    if not written:
        raise HarnessError(f"this run holds nothing to write as {arguments.form}", where=str(run.folder))
    with translated_disk_errors(folder, "name another folder with --to"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
    print(f"{len(written)} file{'' if len(written) == 1 else 's'} in {folder}")
    return 0


def _found(arguments: argparse.Namespace) -> tuple[Store, MatrixRun]:
    from harness.finished import find_run
    from harness.store import Store

    store = Store(arguments.store)
    return store, find_run(store, arguments.matrix, unread=frozenset({"base", "tokens"}))
