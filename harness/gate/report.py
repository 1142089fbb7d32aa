"""Everything checked: one report, one exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.gate.cells import sides, without_counterpart
from harness.gate.drift import drift, recipe_changes
from harness.gate.limits import budget_checks, golden_checks
from harness.gate.measures import measure_checks
from harness.gate.policy_file import settled, wide_tolerances
from harness.gate.worst import worst_items
from harness.records.baseline import Baseline, Snapshot
from harness.records.check import Cause, CheckReport, CheckResult, Outcome, WorstItem
from harness.records.policy import Policy

PASSED, REGRESSED, REFUSED, UNDECIDED, UNREACHABLE = 0, 1, 2, 3, 4
"""Exit statuses: pass; regression; usage or input; inconclusive under a policy that fails it; infrastructure."""
_OF_CAUSE: dict[Cause, int] = {"input": REFUSED, "usage": REFUSED, "infrastructure": UNREACHABLE, "training": REGRESSED}


@dataclass(frozen=True, slots=True)
class Files:
    """Names of the files, for messages and annotations."""

    matrix: str
    baseline: str
    policy: str = "policy"

    @classmethod
    def of(cls, matrix: Path, baseline: Path, policy: Path | None) -> Files:
        """By their paths as given."""
        return cls(_plain(str(matrix)), _plain(str(baseline)), _plain(str(policy or "policy")))


def _plain(text: str) -> str:
    """With bytes of file names that are no UTF-8 spelt out: no report could be written with them."""
    return text.encode("utf-8", "backslashreplace").decode()


def check(baseline: Baseline, candidate: Snapshot, policy: Policy, files: Files) -> CheckReport:
    """Hold a candidate to a baseline. Pure; raises HarnessError for a policy that does not fit them."""
    before = baseline.snapshot
    policy = settled(policy, before, files.policy)
    both = sides(before, candidate, policy.cells)
    drifts = drift(before, candidate)
    gone, missing = (both.missing, ()) if policy.missing_cells == "warn" else ((), both.missing)
    checks = (
        *(_broken(text) for text in both.failed),
        *(failure(*unchecked(name), "input", name) for name in missing),
        *measure_checks(both, policy, drifts),
        *budget_checks(both, policy),
        *golden_checks(both, policy, drifts, files.policy),
    )
    worst = () if drifts else worst_items(both, checks, policy)
    report = assembled(baseline, policy, files, checks, worst)
    return report.model_copy(
        update={
            "matrix": candidate.matrix,
            "changed": recipe_changes(before, candidate),
            "warnings": (
                *map(without_counterpart, gone),
                *both.unmatched,
                *wide_tolerances(policy, before),
                *dict.fromkeys(note for each in checks for note in each.notes),
            ),
        }
    )


def _broken(text: str) -> CheckResult:
    cell, _, reason = text.partition(": ")
    return failure(f"training of {cell}", reason, "training", cell)


def unchecked(cell: str) -> tuple[str, str]:
    """Name of the check of a baseline's cell that nothing is held against, and the reason."""
    hint = "say in the policy's `cells:` what took its place, or take a new baseline (`missing_cells: warn` only warns)"
    return f"cell {cell}", f"{without_counterpart(cell)}: {hint}"


def failure(name: str, reason: str, cause: Cause, cell: str = "") -> CheckResult:
    """A check that could not be made at all."""
    return CheckResult(
        name=name,
        kind="measure",
        tier="critical",
        measure="",
        label=name,
        outcome="error",
        reason=_plain(reason),
        cell=cell,
        baseline_cell=cell,
        cause=cause,
    )


def assembled(
    baseline: Baseline,
    policy: Policy,
    files: Files,
    checks: Sequence[CheckResult],
    worst: tuple[WorstItem, ...] = (),
) -> CheckReport:
    """The report of these checks."""
    return _report(baseline.snapshot.matrix, baseline.name, policy, files, checks, worst)


def unusable(files: Files, check: CheckResult) -> CheckReport:
    """The report where nothing could be checked, not for what a baseline says."""
    return _report(Path(files.matrix).stem, Path(files.baseline).stem, Policy(), files, (check,))


def _report(  # noqa: PLR0913 - a report in its parts
    matrix: str,
    baseline: str,
    policy: Policy,
    files: Files,
    checks: Sequence[CheckResult],
    worst: tuple[WorstItem, ...] = (),
) -> CheckReport:
    status = exit_status(checks)
    return CheckReport(
        harness=__version__,
        matrix=matrix,
        matrix_file=files.matrix,
        baseline=baseline,
        baseline_file=files.baseline,
        outcome=_outcome(checks, status),
        exit_status=status,
        answer=_answer(checks, status, baseline),
        changed=(),
        checks=tuple(checks),
        worst=worst,
        policy=policy,
    )


_SAID = {
    REGRESSED: "The candidate could not be trained",
    REFUSED: "Not comparable with {name}",
    UNDECIDED: "Cannot tell whether it is worse than {name}",
    UNREACHABLE: "Nothing was found out about the model, for trouble around it",
}


def exit_status(checks: Sequence[CheckResult]) -> int:
    """What failed decides: a shown regression before a training that broke off, input, infrastructure, inconclusive."""
    failed = [each for each in checks if each.fails]
    if any(each.outcome == "regression" for each in failed):
        return REGRESSED
    statuses = [_OF_CAUSE[each.cause] for each in failed if each.cause is not None]
    if statuses:
        return min(statuses)
    return UNDECIDED if failed else PASSED


def _outcome(checks: Sequence[CheckResult], status: int) -> Outcome:
    failed = {each.outcome for each in checks if each.fails}
    for outcome in ("regression", "error", "inconclusive"):
        if outcome in failed:
            return outcome
    counted = {each.outcome for each in checks if each.tier != "advisory"}
    if status == PASSED and ("inconclusive" in counted or not counted):
        return "inconclusive"
    return "improved" if "improved" in counted else "pass"


def _answer(checks: Sequence[CheckResult], status: int, name: str) -> str:
    failed = [each for each in checks if each.fails]
    if failed:
        return _failed(failed, status, name)
    counts = Counter(each.outcome for each in checks if each.tier != "advisory")
    if not counts:
        fell = sum(each.outcome == "regression" for each in checks)
        return f"Nothing was held to {name}: every check is advisory{f', and {fell} of them fell' if fell else ''}."
    parts = [f"{counts[o]} {o}" for o in ("pass", "improved", "inconclusive") if counts[o]]
    if counts["inconclusive"]:
        return f"No regression against {name} was shown, but not everything could be told: {', '.join(parts)}."
    return f"Not worse than {name}: {', '.join(parts)}."


def _failed(failed: Sequence[CheckResult], status: int, name: str) -> str:
    """`Worse than main: rougeL; cannot tell: bleu`: what decides first."""
    worse, nothing, untold = (
        [each.name for each in failed if each.outcome == outcome] for outcome in ("regression", "error", "inconclusive")
    )
    if failed[0].cause == "usage":
        return f"Nothing was checked: {failed[0].reason.splitlines()[0]}"
    first = f"Worse than {name}" if worse else _SAID[status].format(name=name)
    told = [("no verdict", nothing), ("cannot tell", untold)][0 if worse else 1 if nothing else 2 :]
    parts = [(first, worse or nothing or untold), *told]
    return "; ".join(f"{what}: {_few(names)}" for what, names in parts if names) + "."


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
