"""Errors that a user can act on: what happened, where, and what to do next."""

from __future__ import annotations

from traceback import extract_tb


class HarnessError(Exception):
    """A problem that the user can mend; the command line prints it without a traceback and exits with `exit_status`.

    `unreachable`: a server or a network did not answer, and nothing is known to be wrong with what was given.
    """

    exit_status = 2

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, unreachable: bool = False
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.unreachable = unreachable

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  hint: {self.hint}" if self.hint else head


class SpecError(HarnessError):
    """A matrix file that cannot be run; carries every problem found, each with its line."""

    def __init__(self, problems: list[str], *, hint: str | None = None, unreachable: bool = False) -> None:
        super().__init__("\n".join(problems), hint=hint, unreachable=unreachable)
        self.problems = tuple(problems)


class DataError(HarnessError):
    """A data set that cannot be read or split."""


class ModelError(HarnessError):
    """A model name that leads to no weights, or weights that do not fit the task."""


class StoreError(HarnessError):
    """A store that cannot be read or written: newer version, full disk, damaged object, held lock."""


class TrainingFailed(HarnessError):
    """One variant's training broke off (loss not finite, out of memory); the other variants go on."""


class NothingFinished(HarnessError):
    """Every variant's training broke off: there is nothing to compare."""


class JudgeError(HarnessError):
    """A judge that cannot be set up or reached at all; single failed calls are `Failed` judgments instead."""


class BudgetSpent(JudgeError):
    """A limit that the user set is reached; what was answered is kept."""


class MissingExtra(HarnessError):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str, *, command: str | None = None) -> None:
        """`command`: what to type where the extra alone does not bring the package."""
        super().__init__(
            f"{what} needs a package that is not installed",
            hint=command or f"pip install 'sft-harness[{extra}]'",
        )


def spoken_error(error: BaseException) -> str:
    """Type and text of an exception."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def trouble_at(error: Exception) -> str:
    """File and line where an exception was raised, and the exception."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}: {spoken_error(error)}"


def trouble_inside(error: Exception) -> str | None:
    """File, line and exception of a module that broke off while it was imported; None where none was found to run."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    running = [frame for frame in extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f"{running[-1].filename}:{running[-1].lineno}: {spoken_error(error)}" if running else None
