"""`harness data audit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.parsing import Commands


def add(commands: Commands) -> None:
    """Add them to the parser."""
    data = commands.add("data", audit_data, "look for duplicates, leaks and oddities in a data set")
    data.usage = (
        "%(prog)s audit FILE [--fields FIELD=NAME ...] [--model MODEL] [--prompt-style STYLE] [--max-length TOKENS] "
        "[--all] [--json] [--debug]"
    )
    data.add_argument("action", choices=["audit"], help="report what is found; nothing is changed")
    data.add_argument("file", type=Path, help="a data file, folder or known name; or a matrix file, for its data")
    data.add_argument(
        "--fields", nargs="+", type=field_pair, metavar="FIELD=NAME", default=[], help="as data.fields of a matrix"
    )
    data.add_argument("--model", help="count entries longer than this model takes (a matrix names its own)")
    data.add_argument("--prompt-style", default="alpaca", help="style in which they are counted (default: alpaca)")
    data.add_argument("--max-length", type=int, metavar="TOKENS", help="as train.max_length of a matrix")
    data.add_argument("--all", action="store_true", help="name every entry, not the first twenty of each kind")
    data.add_argument("--json", action="store_true", help="one JSON object for other programs")


def field_pair(text: str) -> str:
    """FIELD=NAME; a file that comes after `--fields` would be taken for one."""
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=NAME; put the file before --fields")
    return text


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
