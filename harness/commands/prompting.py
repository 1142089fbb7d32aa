"""`harness preview` and `harness prompts`: what the model is shown, and what of it carries loss."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.parsing import Commands, add_matrix, positive, prepared, quiet_libraries


def add(commands: Commands) -> None:
    """Add them to the parser."""
    preview = commands.add("preview", show_masks, "show which tokens of the training rows carry loss", on_store=True)
    add_matrix(preview)
    preview.add_argument(
        "--variant", metavar="NAME", help="a variant of the matrix (default: one of each trained cell)"
    )
    preview.add_argument("--rows", type=positive, default=5, metavar="N", help="training rows to show (default: 5)")
    preview.add_argument("--ids", action="store_true", help="show token ids")
    prompts = commands.add("prompts", check_styles, "list the prompt styles, or check style files of your own")
    prompts.add_argument(
        "action", choices=["ls", "check"], help="list built-in styles; check files and show an example"
    )
    prompts.add_argument("file", type=Path, nargs="*", help="check: style files (YAML)")


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
