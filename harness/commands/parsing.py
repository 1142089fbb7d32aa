"""What all commands share: their parents in the parser, arguments that several take, a matrix file made ready."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.records.plan import Plan
    from harness.resolved import Resolved
    from harness.spec.matrix import MatrixSpec

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Answers a word that it does not know with the nearest one; so do the parsers of its commands."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from harness.yaml_record import nearest

            raise argparse.ArgumentError(action, f"unknown {value!r}{nearest(str(value), [*map(str, action.choices)])}")


@dataclass(frozen=True, slots=True)
class Commands:
    """Where commands are added. `common`, `stored`: parents with the options of all, and of those on a store."""

    actions: Any
    common: argparse.ArgumentParser
    stored: argparse.ArgumentParser

    def add(self, name: str, command: Command, about: str, *, on_store: bool = False) -> argparse.ArgumentParser:
        """A command; `about` is its line of help."""
        parent = self.stored if on_store else self.common
        described = about[0].upper() + about[1:] + "."
        sub: argparse.ArgumentParser = self.actions.add_parser(
            name, help=about, description=described, parents=[parent]
        )
        sub.set_defaults(command=command)
        return sub

    def group(self, name: str, about: str) -> Commands:
        """Commands below a command, as `harness judges trust`."""
        top = self.actions.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        top.set_defaults(command=helping(top))
        return Commands(top.add_subparsers(metavar="ACTION"), self.common, self.stored)


def helping(parser: argparse.ArgumentParser) -> Command:
    """What a parser does whose command is missing: show its help, and report that nothing was done."""

    def show(_: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    return show


def add_matrix(sub: argparse.ArgumentParser) -> None:
    """A matrix file."""
    sub.add_argument("matrix", type=Path, help="matrix file (YAML)")


def add_limits(sub: argparse.ArgumentParser) -> None:
    """What judges may cost in one run."""
    sub.add_argument("--max-calls", type=int, metavar="N", help="stop before more than N calls to judges; keep all")
    sub.add_argument("--max-cost", type=float, metavar="USD", help="stop before judges cost more than this; keep all")


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def port(text: str) -> int:
    """A port's number."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 65535")
    return number


def command_line(program: str, *arguments: str | Path) -> str:
    """What to type for a program installed beside this one: by its path, where the shell would not find it by name."""
    called = Path(sys.argv[0])
    folder = os.path.dirname(sys.argv[0]) if called.stem == "harness" else sysconfig.get_path("scripts")
    here, found = os.path.join(folder, program), shutil.which(program)
    known = not os.path.isfile(here) or (found is not None and os.path.samefile(found, here))
    return shlex.join([program if known else here, *map(str, arguments)])


def prepared(matrix: Path) -> tuple[MatrixSpec, Plan, Resolved, str]:
    """(spec, plan, resolved, text) of a matrix file."""
    from harness.plan import expand
    from harness.resolve import resolve
    from harness.spec.reading import parse_spec, read_text

    text = read_text(matrix)  # once: what is stored as run is what was run
    spec = parse_spec(text, str(matrix))
    resolved = resolve(spec, matrix)
    return spec, expand(spec, resolved), resolved, text


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


def warn_of_foreign_packages() -> None:
    """Tell, at start-up, of packages under our names that are not ours."""
    from harness.ownership import explain, foreign_packages

    for foreign in foreign_packages():
        print(f"warning: {explain(foreign)}", file=sys.stderr)
