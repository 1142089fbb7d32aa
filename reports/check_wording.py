"""How a check is written for readers, the same in terminal, Markdown, JUnit and annotations."""

from __future__ import annotations

from harness.records.check import CheckReport, CheckResult
from reports.wording import figure, signed

SIGNS = {"pass": "✓", "improved": "▲", "inconclusive": "?", "regression": "✗", "error": "!"}
"""Beside the word, never in its place."""
UPDATE = "harness run {matrix} && harness baseline update {matrix} --file {baseline} --reason '…'"


def outcome(check: CheckResult) -> str:
    """`✗ regression`."""
    return f"{SIGNS[check.outcome]} {check.outcome}"


def bounds(check: CheckResult) -> str:
    """`[−6.1, −2.3]`: one-sided bounds; empty where nothing was tested."""
    if check.lower is None or check.upper is None:
        return ""
    return f"[{signed(check.lower, check.decimals)}, {signed(check.upper, check.decimals)}]"


def difference(check: CheckResult) -> str:
    """`−4.2 [−6.1, −2.3]`."""
    return f"{signed(check.delta, check.decimals)} {bounds(check)}".strip()


def limit(check: CheckResult) -> str:
    """What it was held to: `may fall 2`, `floor 40`."""
    word = {"measure": "may fall ", "floor": "floor ", "budget": "limit ", "golden": "right from "}[check.kind]
    return "" if check.limit is None else f"{word}{check.limit:g}"


def sides(check: CheckResult) -> tuple[str, str]:
    """(baseline, candidate)."""
    return figure(check.baseline, check.decimals), figure(check.candidate, check.decimals)


def heading(report: CheckReport) -> str:
    """`harness check: regression`."""
    return f"harness check: {report.outcome}"


def update_command(report: CheckReport) -> str | None:
    """What takes the candidate for the new baseline, where the two cannot be compared; None where they can."""
    if not any(each.cause == "input" for each in report.checks):
        return None
    return UPDATE.format(matrix=report.matrix_file, baseline=report.baseline_file)
