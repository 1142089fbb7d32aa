"""An audit in the terminal, or as JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from harness.data.audit import Audit
from harness.data.audit_summary import KINDS, counted, line_of, summarise
from harness.data.examination import Examination
from harness.records.data import AuditFinding
from harness.records.settings import AuditKind

SHOWN = 20


def print_audit(examined: Examination, found: Audit, console: Console, *, every: bool) -> None:
    """Size, broken rows, and each kind of finding with its entries; the first twenty unless `every`."""
    parts = ", ".join(f"{n} {part}" for part, n in found.n.items())
    console.print(f"[bold]{escape(examined.data.name)}[/bold]  {parts}", highlight=False)
    if examined.uncut:
        console.print("too few entries to be cut into parts: no leaks are looked for", style="yellow")
    _print_broken(examined, console, every=every)
    by_kind: dict[AuditKind, list[AuditFinding]] = defaultdict(list)
    for finding in found.findings:
        by_kind[finding.kind].append(finding)
    for kind, findings in by_kind.items():
        title = counted(kind, sum(finding.entries for finding in findings))
        console.print(
            f"\n[bold]{title}[/bold]  [dim]audit.{kind}: {getattr(examined.settings, kind)}[/dim]", highlight=False
        )
        _print_lines([line_of(finding) for finding in findings], len(findings), console, every=every)
    mix = ", ".join(f"{code} {n}" for code, n in found.languages.items())
    console.print(f"\n[bold]languages[/bold]  {mix}", highlight=False)
    looked_for = [kind for kind in KINDS if kind not in ("truncated", "no_room") or examined.models]
    absent = ", ".join(kind for kind in looked_for if kind not in by_kind)
    console.print(f"\nnothing found of: {absent}" if absent else "", style="dim", highlight=False)
    if not examined.models:
        console.print("not looked for: truncated, no_room (give --model, or a matrix)", style="dim", highlight=False)


def _print_broken(examined: Examination, console: Console, *, every: bool) -> None:
    data = examined.data
    if data.bad_rows:
        console.print(f"\n[bold]{data.bad_rows} broken rows[/bold]", highlight=False)
        _print_lines(data.rejected, data.bad_rows, console, every=every)


def _print_lines(lines: Sequence[str], n: int, console: Console, *, every: bool) -> None:
    """The lines, or the first of them, and how many more of `n` there are."""
    shown = lines if every else lines[:SHOWN]
    for line in shown:
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
    if n > len(shown):
        console.print(f"  … and {n - len(shown)} more" + ("" if every else " (--all)"), style="dim")


def as_json(examined: Examination, found: Audit) -> str:
    """One object: `data`, `entries`, `summary`, `findings`, `broken_rows`."""
    summary = summarise(found, {}, examined.data.bad_rows)
    return json.dumps(
        {
            "data": examined.data.name,
            "entries": found.n,
            "summary": summary.model_dump(mode="json"),
            "findings": [finding.model_dump(mode="json") for finding in found.findings],
            "broken_rows": list(examined.data.rejected),
        },
        ensure_ascii=False,
    )
