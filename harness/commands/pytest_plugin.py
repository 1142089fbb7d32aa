"""`pytest --harness-matrix matrix.yaml --harness-baseline baselines/main.json`: a test for each line of the policy.

The first test runs what is missing; a regression fails its test, what cannot be told and fails nothing is skipped, and
trouble of judges, servers or disks is an error, as are sides that are not comparable and files that cannot be used:
where nothing else went wrong, pytest's exit status is that of `harness check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.records.check import CheckReport, CheckResult


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the plugin; it does nothing without --harness-matrix."""
    group = parser.getgroup("harness", "sft-harness: regression checks of fine-tuning recipes")
    group.addoption("--harness-matrix", type=Path, metavar="FILE", help="run this matrix and check it")
    group.addoption("--harness-baseline", type=Path, metavar="FILE", help="the baseline to hold it to")
    group.addoption("--harness-policy", type=Path, metavar="FILE", help="what is checked, and how strictly")
    group.addoption("--harness-store", type=Path, metavar="DIR", default=Path("runs"), help="store (default: runs)")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks behind whatever else was collected. Raises UsageError for files that cannot be used."""
    matrix = config.getoption("harness_matrix")
    if matrix is None:
        return
    if config.getoption("harness_baseline") is None:
        raise pytest.UsageError("--harness-matrix needs --harness-baseline FILE")
    try:
        items.extend(MatrixFile.from_parent(session, path=matrix.resolve(), given=matrix).collect())
    except HarnessError as e:
        raise pytest.UsageError(str(e)) from e


class MatrixFile(pytest.File):
    """A matrix that is checked once, when its first test is run."""

    def __init__(self, *, given: Path, **rest: Any) -> None:
        """`given`: the matrix file as the user wrote it."""
        super().__init__(**rest)
        self.given = given

    def collect(self) -> Iterator[MatrixCheck]:
        """A test for each measure, budget and golden item of the policy, and one for all of them."""
        from harness.gate.baseline_file import load
        from harness.gate.policy_file import load_policy, settled

        option = self.config.getoption
        baseline, policy_file = load(option("harness_baseline")), option("harness_policy")
        policy = settled(load_policy(policy_file), baseline.snapshot, str(policy_file or "policy"))
        names = [("measure", check.measure) for check in policy.checks]
        names += [("floor", check.measure) for check in policy.checks if check.floor is not None]
        names += [("budget", budget.what) for budget in policy.budgets]
        names += [("golden", golden.measure) for golden in policy.golden]
        for kind, measure in dict.fromkeys(names):
            yield MatrixCheck.from_parent(self, name=f"{kind}[{measure}]", wanted=(kind, measure))
        yield MatrixCheck.from_parent(self, name="verdict", wanted=None)

    @cached_property
    def report(self) -> CheckReport | Exception:
        """What came out, or why nothing did."""
        from rich.console import Console

        from harness.commands.checking import checked

        option = self.config.getoption
        policy, store = option("harness_policy"), option("harness_store")
        try:
            return checked(self.given, option("harness_baseline"), policy, store, Console())
        except Exception as e:
            return e  # for every test, without trying again for each


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """An exit status that tells a worse model from trouble around it, and from files that cannot be used."""
    statuses = [each.status for each in session.items if isinstance(each, MatrixCheck) and each.status is not None]
    if statuses and len(statuses) == session.testsfailed:
        session.exitstatus = min(statuses)


class CheckFailed(Exception):
    """What pytest prints instead of a traceback."""


class MatrixCheck(pytest.Item):
    """One line of the policy, for all pairs of cells; `wanted` None: whatever fails the gate."""

    def __init__(self, *, wanted: tuple[str, str] | None, **rest: Any) -> None:
        """`wanted`: kind and measure of the checks. `status`: what `harness check` exits with, where none is judged."""
        super().__init__(**rest)
        self.wanted = wanted
        self.status: int | None = None

    def _found(self) -> tuple[CheckReport, list[CheckResult]]:
        """The report, and the checks of this line; those that failed everything where there are none of it."""
        assert isinstance(self.parent, MatrixFile)  # noqa: S101 - made by it alone
        report = self.parent.report
        if isinstance(report, Exception):
            raise report
        mine = [each for each in report.checks if self.wanted in (None, (each.kind, each.measure))]
        return report, mine or list(report.checks)

    def setup(self) -> None:
        """Fails where nothing was found out about the model: pytest calls that an error, not a failure."""
        from harness.gate.report import UNREACHABLE, exit_status

        try:
            report, mine = self._found()
        except HarnessError as e:
            self.status = e.exit_status
            pytest.fail(str(e), pytrace=False)
        except Exception:
            self.status = UNREACHABLE
            raise
        failed = [each for each in mine if each.fails]
        if failed and all(each.outcome == "error" and each.cause != "training" for each in failed):
            self.status = exit_status(failed)
            pytest.fail("\n".join([report.answer, *map(_line, failed)]), pytrace=False)

    def runtest(self) -> None:
        """Raises CheckFailed, or skips."""
        report, mine = self._found()
        failed = [each for each in mine if each.fails]
        if failed:
            raise CheckFailed("\n".join([report.answer, *map(_line, failed)]))
        undecided = [each for each in mine if each.outcome not in ("pass", "improved")]
        if undecided:
            pytest.skip("; ".join(map(_line, undecided)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The reasons alone; a traceback only for what was not foreseen."""
        return str(excinfo.value) if isinstance(excinfo.value, CheckFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that the test stands."""
        return self.path, None, f"harness check {self.name}"


def _line(check: CheckResult) -> str:
    return f"{check.outcome}: {check.name}: {check.reason}"
