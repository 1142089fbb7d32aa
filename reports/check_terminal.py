"""A check as text in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.records.check import CheckReport, CheckResult, WorstItem
from reports.answer_diff import changes
from reports.check_wording import difference, outcome, sides, update_command
from reports.wording import figure, visible

_STYLES = {"pass": "green", "improved": "green", "inconclusive": "yellow", "regression": "red", "error": "red"}


def print_check(report: CheckReport, console: Console) -> None:
    """Verdict, a line a check with its reason, what changed, the worst items."""
    console.print()
    console.print(Text(visible(report.answer), style=f"bold {_STYLES[report.outcome]}"))
    table = Table(box=None, pad_edge=False)
    for name in ("check", "tier", "outcome"):
        table.add_column(name, overflow="fold")
    for name in ("baseline", "candidate", "difference"):
        table.add_column(name, justify="right")
    for check in report.checks:
        table.add_row(*_row(check))
    console.print(table)
    for (reason, fails), names in _by_reason(report.checks).items():
        told = names[0] if len(names) == 1 else f"{len(names)} checks"
        console.print(Text(f"  {visible(told)}: {visible(reason)}", style="" if fails else "dim"))
    _print_lines(console, "Changed", report.changed)
    _print_lines(console, "Beware", report.warnings)
    for item in report.worst:
        _print_worst(item, console)
    command = update_command(report)
    if command is not None:
        console.print(Text(f"To take this run for the new baseline: {command}"), soft_wrap=True)


def _by_reason(checks: Sequence[CheckResult]) -> dict[tuple[str, bool], list[str]]:
    """(reason, whether it fails the build) to the names of the checks."""
    found: dict[tuple[str, bool], list[str]] = {}
    for check in checks:
        found.setdefault((check.reason, check.fails), []).append(check.name)
    return found


def _row(check: CheckResult) -> tuple[Text, Text, Text, Text, Text, Text]:
    before, now = sides(check)
    style = _STYLES[check.outcome] if check.fails or check.outcome in ("pass", "improved") else "yellow"
    return (
        Text(visible(check.name)),
        Text(check.tier),
        Text(outcome(check), style=style),
        Text(before),
        Text(now),
        Text(difference(check)),
    )


def _print_lines(console: Console, title: str, lines: tuple[str, ...]) -> None:
    for number, line in enumerate(lines):
        console.print(Text(f"{title if number == 0 else '':<8} {visible(line)}"))


def _print_worst(item: WorstItem, console: Console) -> None:
    head = f"{figure(item.baseline)} → {figure(item.candidate)}  {item.measure}, item {item.example_id}: "
    text = Text(head, style="dim")
    text.append(visible(" ".join(item.instruction.split()), 120), style="")
    console.print(text)
    answer = Text("    ")
    if item.baseline_answer is None:
        answer.append(visible(" ".join(item.candidate_answer.split()), 200))
    else:
        for change in changes(item.baseline_answer, item.candidate_answer):
            marked = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}[change.kind]
            style = {"same": "", "removed": "red", "added": "green"}[change.kind]
            answer.append(marked.format(visible(change.text).replace("\n", " ")), style=style)
    console.print(answer)
