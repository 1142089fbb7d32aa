"""A check as workflow commands of GitHub Actions, which show them beside the matrix file."""

from __future__ import annotations

import re

from harness.records.check import CheckReport, CheckResult


def workflow_commands(report: CheckReport, matrix_file: str) -> list[str]:
    """`::error file=…::…` for what fails, `::warning …` for what is worth one; nothing for the rest.

    `matrix_file`: as seen from the root of the repository.
    """
    lines = []
    for check in report.checks:
        level = "error" if check.fails else "warning" if check.warns else ""
        if level:
            lines.append(_command(level, check, matrix_file))
    return lines


_BEGINNING = re.compile(r"^([^\S\n]*:)(?=:)|(##)(?=\[)", re.MULTILINE)


def inert(text: str) -> str:
    """Text of a log without commands: `::…` behind any blanks at a line's start, or the older `##[…]` anywhere."""
    return _BEGINNING.sub("\\g<0>\u200b", text)


def _command(level: str, check: CheckResult, matrix_file: str) -> str:
    properties = {"file": matrix_file, "line": "1", "title": f"{check.outcome}: {check.name}"}
    head = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {head}::{_data(check.reason)}"


def _data(text: str) -> str:
    """Escaped as the runner unescapes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
