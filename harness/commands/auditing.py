"""`harness data audit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, positive

if TYPE_CHECKING:
    from harness.data.audit import Audit, TokenLimit
    from harness.data.examination import Examination


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
    data.add_argument("--prompt-style", metavar="STYLE", help="style in which they are counted (default: alpaca)")
    data.add_argument("--max-length", type=positive, metavar="TOKENS", help="as train.max_length of a matrix")
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
    from harness.data.examination import examination, is_matrix

    refuse_what_means_nothing(arguments)
    given = examination(
        arguments.file,
        arguments.fields,
        arguments.model,
        arguments.prompt_style or "alpaca",
        arguments.max_length,
    )
    limits = token_limits(given)
    found = audit(given.data, given.settings, limits)
    if arguments.json:
        print(as_json(given, found))
    else:
        print_audit(given, found, Console(), every=arguments.all)
    if is_matrix(arguments.file):
        raise_if_refused(given, found, limits)
    return 0


def refuse_what_means_nothing(arguments: argparse.Namespace) -> None:
    """Raises HarnessError for options that this file leaves without effect."""
    from harness.data.examination import is_matrix
    from harness.errors import HarnessError

    told = {
        "--fields": bool(arguments.fields),
        "--model": arguments.model is not None,
        "--prompt-style": arguments.prompt_style is not None,
        "--max-length": arguments.max_length is not None,
    }
    given = [option for option, is_given in told.items() if is_given]
    if given and is_matrix(arguments.file):
        raise HarnessError(f"{', '.join(given)}: not beside a matrix", hint="the matrix says so itself")
    counting = [option for option in given if option in ("--prompt-style", "--max-length")]
    if counting and arguments.model is None:
        raise HarnessError(f"{', '.join(counting)}: nothing is counted without --model", hint="give --model MODEL")


def token_limits(given: Examination) -> list[TokenLimit]:
    """What training takes of a row, and answering of a prompt, for each model and style."""
    from trainers.lengths import Counter, room_limit, token_limit
    from trainers.models import locate, read_tokenizer

    counters = {
        model: Counter(model, *read_tokenizer(locate(model, trust_remote_code=given.trust_remote_code)))
        for model in given.models
    }
    limits = [token_limit(each, style, given.max_length) for each in counters.values() for style in given.styles]
    return limits + [room_limit(counters[model], style, given.new_tokens) for model, style in given.answering]


def raise_if_refused(given: Examination, found: Audit, limits: list[TokenLimit]) -> None:
    """Raises DataError where a run of the matrix would be refused for its data."""
    from harness.data.audit import Kept, audit, to_drop
    from harness.data.audit_summary import raise_if_forbidden
    from harness.errors import DataError

    if given.broken_forbid and given.data.bad_rows:
        n = given.data.bad_rows
        raise DataError(
            f"{n} broken row{' forbids' if n == 1 else 's forbid'} a run",
            hint="mend the data, or set data.on_bad_rows to drop",
        )
    dropping = [kind for kind, action in given.settings.actions().items() if action == "drop"]
    if dropping:
        dropped = to_drop(given.data, dropping, given.settings.similarity, limits)
        found = audit(Kept(given.data, dropped), given.settings, limits)
    raise_if_forbidden(found, given.settings)
