"""A check as JUnit XML: a case a check, as GitHub, GitLab and Jenkins show them."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.records.check import CheckReport, CheckResult
from reports.check_wording import difference, limit, sides
from reports.wording import visible


def junit_xml(report: CheckReport) -> str:
    """Failure: a regression, or what is inconclusive and fails; error: an error; skipped: what fails nothing."""
    cases = report.checks
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(_kind(each) == "failure" for each in cases)),
        "errors": str(sum(_kind(each) == "error" for each in cases)),
        "skipped": str(sum(_kind(each) == "skipped" for each in cases)),
    }
    root = Element("testsuites", {"name": "harness check", **counts})
    suite = SubElement(root, "testsuite", {"name": visible(f"{report.matrix} against {report.baseline}"), **counts})
    for each in cases:
        _case(suite, each, report)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _kind(check: CheckResult) -> str:
    if check.fails:
        return "error" if check.outcome == "error" else "failure"
    return "" if check.outcome in ("pass", "improved") else "skipped"


def _case(suite: Element, check: CheckResult, report: CheckReport) -> None:
    attributes = {"name": visible(check.name), "classname": visible(f"{report.matrix}.{check.tier}"), "time": "0"}
    case = SubElement(suite, "testcase", attributes | {"file": report.matrix_file})
    kind, text = _kind(check), _text(check)
    if kind:
        found = SubElement(case, kind, {"message": visible(f"{check.outcome}: {check.reason}")})
        if kind != "skipped":
            found.set("type", check.outcome)
            found.text = text
    SubElement(case, "system-out").text = text


def _text(check: CheckResult) -> str:
    before, now = sides(check)
    lines = [
        f"{check.outcome}: {check.reason}",
        f"baseline {before}, candidate {now}, difference {difference(check)}; {limit(check)}",
        f"cell {check.cell}, baseline's cell {check.baseline_cell}",
        *check.notes,
    ]
    return "\n".join(visible(line) for line in lines)
