"""The command `harness`: find the command, run it, tell its problems."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.commands import (
    auditing,
    bisecting,
    boarding,
    checking,
    exporting,
    generating,
    housekeeping,
    judging,
    prompting,
    publishing,
    rating,
    running,
    significance,
)
from harness.commands.parsing import Commands, Parser, helping

INTERRUPTED, UNHEARD = 130, 141
"""As a shell counts them: 128 and the number of the signal, SIGINT or SIGPIPE."""

EPILOG = """\
examples:
  harness plan examples/quickstart.yaml    what would be made, and what it would cost
  harness run examples/quickstart.yaml     make it; run again to go on where it stopped
  harness leaderboard                      browse what is in ./runs

exit status: 0 done · 1 some variants failed, the others are compared · 2 a problem to mend, nothing is lost
             130 interrupted (Ctrl-C, SIGTERM) · 141 nobody read on (a closed pipe)
             harness check: 0 pass · 1 regression · 2 not comparable · 3 cannot tell, if that fails · 4 infrastructure
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status. Problems that a user can mend print one message and no traceback."""
    from harness.errors import HarnessError

    if isinstance(sys.stdout, io.TextIOWrapper):  # cp1252 and ASCII have no minus sign
        with suppress(OSError):  # a stream whose descriptor is another file by now
            sys.stdout.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as orderly as Ctrl-C
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
        _say_interrupted()
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as e:  # the reader of our output has gone: `harness store ls | head`
        if not _came_from(BrokenPipeError, e):  # of which rich makes a SystemExit
            raise
        _hang_up()
        return INTERRUPTED if _came_from(KeyboardInterrupt, e) else UNHEARD


def _say_interrupted() -> None:
    try:
        print("\ninterrupted; what is done is kept, and the same command goes on from there", file=sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:  # Ctrl-C ends `tee` too
        _hang_up()


def _hang_up() -> None:
    """Nobody reads any more: whatever is still to be written goes nowhere, without complaint at the exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere, suppress(OSError, ValueError):  # it may have no descriptor
                os.dup2(nowhere.fileno(), stream.fileno())


def _came_from(first: type[BaseException], error: BaseException | None) -> bool:
    """Whether an error is of this type, or came while one was on its way out."""
    while error is not None and not isinstance(error, first):
        error = error.__context__
    return error is not None


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    from harness import __version__

    top = Parser(
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
    top.set_defaults(command=helping(top))
    commands = Commands(top.add_subparsers(metavar="COMMAND"), common, stored)
    subjects = (
        running, significance, boarding, checking, bisecting, prompting, judging, rating, auditing, exporting,
        publishing, generating, housekeeping,
    )  # fmt: skip
    for subject in subjects:
        subject.add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
