"""A check as Markdown: step summary of a workflow, comment of a pull or merge request."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.records.check import CheckReport, CheckResult, WorstItem
from reports.answer_diff import Change, changes
from reports.check_wording import difference, heading, limit, outcome, sides, update_command
from reports.markdown_table import escape, table
from reports.wording import NONE, figure, p_value, visible

MARKER = "<!-- sft-harness check: {} against {} -->"
"""First line: by it a workflow finds its own comment again and edits it; one for each matrix and baseline."""


def check_markdown(report: CheckReport) -> str:
    """Verdict, table, what changed, and the worst items with what became of their answers."""
    sections = [
        f"{_marker(report)}\n## {escape(heading(report))}",
        f"**{escape(report.answer)}**",
        table(_HEADER, [_row(check) for check in report.checks], left=3),
        _list("Why", [f"{each.name}: {each.reason}" for each in report.checks if each.fails or each.warns]),
        _list("What changed in the recipe", report.changed),
        "\n".join(f"> {escape(text)}" for text in report.warnings),
        _update(report),
        *([f"### The {len(report.worst)} worst items", *map(_worst, report.worst)] if report.worst else []),
        f"Matrix `{_code(report.matrix_file)}` against `{_code(report.baseline_file)}`. {_LEGEND}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _marker(report: CheckReport) -> str:
    files = (visible(each).replace("--", "- -") for each in (report.matrix_file, report.baseline_file))
    return MARKER.format(*files)


_LEGEND = (
    "Differences are candidate minus baseline, paired by item, with one-sided bounds; p is of a fall, corrected over "
    "the checks. A true fall of what a check would see is called a regression four times in five."
)
_HEADER = ("check", "tier", "outcome", "baseline", "candidate", "difference", "held to", "would see", "items", "p")


def _row(check: CheckResult) -> list[str]:
    before, now = sides(check)
    return [
        escape(check.name),
        check.tier,
        f"**{outcome(check)}**" if check.fails else outcome(check),
        before,
        now,
        difference(check),
        limit(check) or NONE,
        figure(check.smallest_fall, check.decimals),
        NONE if check.n_items is None else str(check.n_items),
        p_value(check.p_regression),
    ]


def _list(title: str, lines: Sequence[str]) -> str:
    return f"{title}:\n\n" + "\n".join(f"- {escape(line)}" for line in lines) if lines else ""


def _update(report: CheckReport) -> str:
    command = update_command(report)
    refused = dict.fromkeys(check.reason for check in report.checks if check.cause == "input")
    if command is None:
        return ""
    return _list("Not comparable", tuple(refused)) + f"\n\nTo take this run for the new baseline:\n\n    {command}"


def _worst(item: WorstItem) -> str:
    head = f"{figure(item.baseline)} → {figure(item.candidate)} on {item.measure}, item {item.example_id}"
    lines = [f"- asked: {_inline(item.instruction)}", f"- reference: {_inline(item.reference)}"]
    if item.baseline_answer is None:
        lines.append(f"- answer: {_inline(item.candidate_answer)} (the baseline keeps no texts: save it with --texts)")
    else:
        lines.append(f"- answer: {''.join(map(_piece, changes(item.baseline_answer, item.candidate_answer)))}")
    body = "\n".join(lines)
    return f"<details><summary>{html.escape(head)}</summary>\n\n{body}\n\n</details>"


def _inline(text: str) -> str:
    return escape(visible(text, 300)) or "*nothing*"


def _piece(change: Change) -> str:
    """Tags, since Markdown's own marks need word boundaries that a diff does not have."""
    tag = {"same": "", "removed": "del", "added": "ins"}[change.kind]
    if not change.text.strip():
        return " "
    lead, tail = (" " if end.isspace() else "" for end in (change.text[0], change.text[-1]))
    shown = escape(change.text)
    return f"{lead}<{tag}>{shown}</{tag}>{tail}" if tag else f"{lead}{shown}{tail}"


def _code(text: str) -> str:
    return text.replace("`", "'")
