"""Scores of all variants -> Result: the leaderboard, every pair of cells and every axis tested, the answer in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.align import Layout, VariantScores, align, lay_out
from harness.board import Families, MeasureBoard, best_first, measure_board, said_once
from harness.contrast import Measured, Testing, measured
from harness.curves import curves
from harness.errors import HarnessError
from harness.metrics import load_metric
from harness.records.data import AuditSummary
from harness.records.people import PeopleReport
from harness.records.plan import FailedVariant
from harness.records.result import BoardRow, Contest, JudgeAgreement, MeasureInfo, Result, TrustReport, WinRate
from harness.sequential import Sequential
from harness.stats.corpus import CorpusScore
from harness.uncertainty import variance_table, winner
from harness.verdict import Correction
from harness.words import answer


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """`primary`: measure name; None takes the one flagged primary, else the first. `baseline`: cell name or None.

    `against_baseline`: correct over the pairs with the baseline instead of all. `margin`, `seed_sd`: points of the
    primary measure (of none that stands in for it) that do not matter, and a standard deviation between training seeds
    that the user vouches for.
    """

    primary: str | None = None
    baseline: str | None = None
    alpha: float = 0.05
    permutations: int = 10_000
    seed: int = 0
    against_baseline: bool = False
    correction: Correction = "holm"
    margin: float | None = None
    seed_sd: float | None = None
    rank_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class CompareInputs:
    """Everything a comparison is made from. The order of variants settles the default baseline; no other order matters.

    `corpus_scores`: counts -> figure, for corpus measures that are no metric of the harness's own. `clusters`: the
    group of each item by example id, where items of a group stand or fall together; None where each stands for itself.
    """

    matrix: str
    matrix_digest: str
    data_name: str
    n_test: int
    measures: tuple[MeasureInfo, ...]
    variants: tuple[VariantScores, ...]
    trust: tuple[TrustReport, ...] = ()
    agreement: tuple[JudgeAgreement, ...] = ()
    win_rates: tuple[WinRate, ...] = ()
    contests: tuple[Contest, ...] = ()
    people: PeopleReport | None = None
    failed: tuple[FailedVariant, ...] = ()
    settings: CompareSettings = CompareSettings()
    audit: AuditSummary | None = None
    left_out: tuple[str, ...] = ()
    """Ids of the leaked test items that do not count."""
    corpus_scores: Mapping[str, CorpusScore] = field(default_factory=dict)
    clusters: Mapping[str, str] | None = None
    sequential: Mapping[str, Sequential] = field(default_factory=dict)
    """By the name of the measure: judges that stopped when it was decided."""


def compare(inputs: CompareInputs) -> Result:
    """Compare all cells on all measures; deterministic for given inputs and `settings.seed`.

    Raises HarnessError where there is nothing to compare, or the primary measure or the baseline is not there.
    """
    if not inputs.variants or not inputs.measures:
        raise HarnessError("there is nothing to compare", hint="see which variants failed, and why")
    layout = lay_out(inputs.variants)
    measures, warnings = marked_measures(inputs)
    baseline = _baseline(inputs, layout)
    if inputs.settings.baseline not in (None, baseline):
        warnings.append(f"the baseline {inputs.settings.baseline} failed; {baseline} stands in for it")
    measured_ = [_measured(inputs, layout, info) for info in measures]
    boards = [measure_board(layout, each, _families(inputs.settings, baseline, each)) for each in measured_]
    primary = next(board for board in boards if board.info.primary)
    primary_measured = next(each for each in measured_ if each.info.primary)
    tables = [variance_table(each) for each in measured_ if each.info.ranks]
    result = Result(
        matrix=inputs.matrix,
        matrix_digest=inputs.matrix_digest,
        data_name=inputs.data_name,
        n_test=inputs.n_test,
        left_out=inputs.left_out,
        alpha=inputs.settings.alpha,
        primary=primary.info.name,
        baseline=baseline,
        measures=measures,
        rows=_rows(layout, boards, primary),
        comparisons=tuple(comparison for board in boards for comparison in board.comparisons),
        effects=tuple(effect for board in boards for effect in board.effects),
        interactions=primary.interactions,
        curves=curves(layout.cells, primary_measured, [score.mean for score in primary.scores]),
        variances=tuple(table for table in tables if table is not None),
        winner=winner(layout, primary_measured, [score.mean for score in primary.scores]),
        trust=inputs.trust,
        agreement=inputs.agreement,
        win_rates=inputs.win_rates,
        contests=inputs.contests,
        people=inputs.people,
        failed=inputs.failed,
        answer=(),
        audit=inputs.audit,
        warnings=tuple(
            dict.fromkeys(
                [*leak_warning(inputs), *fold_note(inputs), *warnings]
                + said_once(warned for board in boards for warned in board.warnings)
            )
        ),
    )
    return result.model_copy(update={"answer": answer(result)})


def _families(settings: CompareSettings, baseline: str, measure: Measured) -> Families:
    """A judge that stopped when it was decided has decided about the pairs with the baseline."""
    if measure.sequential is not None:
        return Families(baseline)
    return Families(baseline if settings.against_baseline else None, settings.correction)


def leak_warning(inputs: CompareInputs) -> list[str]:
    """Test items that the models were trained on, and whether they count."""
    leaked = len(inputs.audit.leaked) if inputs.audit else 0
    if not leaked:
        return []
    items = (
        f"{leaked} test item{'s' if leaked > 1 else ''} stand{'' if leaked > 1 else 's'} in train (exactly or nearly)"
    )
    if inputs.left_out:
        return [f"{items} and {'are' if leaked > 1 else 'is'} left out of all measures"]
    return [
        f"{items} and count{'' if leaked > 1 else 's'}; `compare.leaked_items: leave out` shows the measures without"
    ]


def fold_note(inputs: CompareInputs) -> list[str]:
    """What a reader of cross-validated scores has to know."""
    folds = len({each.variant.fold for each in inputs.variants} - {None})
    if folds < 2:
        return []
    return [
        f"cross-validation: a trained cell's scores are pooled over {folds} folds, each item answered by the training "
        "that did not see it; that these trainings share most of their data is in no interval"
    ]


def marked_measures(inputs: CompareInputs) -> tuple[tuple[MeasureInfo, ...], list[str]]:
    """Measures with what the probes found, one of them primary; and what had to be changed for that."""
    reports = {report.judge: report for report in inputs.trust}
    measures = [
        info.model_copy(
            update={
                "trusted": report.trusted,
                "untrusted_reason": "" if report.trusted else report.reason,
                "ranks": report.trusted or inputs.settings.rank_untrusted,
            }
        )
        if (report := reports.get(info.name)) is not None
        else info
        for info in inputs.measures
    ]
    wanted = wanted_primary(inputs)
    ranking = [info.name for info in measures if info.ranks]
    primary = wanted if wanted in ranking or not ranking else ranking[0]
    warnings = []
    if primary != wanted:
        why = "is a description" if _descriptive(measures, wanted) else "is not trusted"
        warnings.append(f"{wanted} {why} and cannot decide: {primary} is the primary measure instead")
        if inputs.settings.margin is not None or inputs.settings.seed_sd is not None:
            warnings.append(f"margin and seed_sd are in points of {wanted} and are not used for {primary}")
    return tuple(info.model_copy(update={"primary": info.name == primary}) for info in measures), warnings


def _descriptive(measures: Iterable[MeasureInfo], name: str) -> bool:
    return any(info.descriptive for info in measures if info.name == name)


def wanted_primary(inputs: CompareInputs) -> str:
    """Name of the measure that was asked to decide, trusted or not. Raises HarnessError where it was not measured."""
    names = [info.name for info in inputs.measures]
    flagged = [info.name for info in inputs.measures if info.primary]
    wanted = inputs.settings.primary or (flagged or names)[0]
    if wanted not in names:
        raise HarnessError(f"the primary measure {wanted!r} was not measured", hint="measured: " + ", ".join(names))
    return wanted


def _baseline(inputs: CompareInputs, layout: Layout) -> str:
    """The cell asked for; if there is none, or it failed, the first untuned one; else the first."""
    names = [cell.name for cell in layout.cells]
    wanted = inputs.settings.baseline
    if wanted is None or wanted in {failed.variant.split("#")[0] for failed in inputs.failed} - set(names):
        return next((cell.name for cell in layout.cells if cell.method == "none"), names[0])
    if wanted not in names:
        raise HarnessError(f"the baseline {wanted!r} is no cell of this matrix", hint="cells: " + ", ".join(names))
    return wanted


def _measured(inputs: CompareInputs, layout: Layout, info: MeasureInfo) -> Measured:
    score = (inputs.corpus_scores.get(info.name) or load_metric(info.name).corpus_score) if info.corpus else None
    settings = inputs.settings
    decides = info.primary and info.name == wanted_primary(inputs)  # another one's points are other points
    testing = Testing(
        settings.alpha,
        settings.permutations,
        settings.seed,
        margin=settings.margin if decides else None,
        seed_sd=settings.seed_sd if decides else None,
    )
    sequential = inputs.sequential.get(info.name)
    aligned = align(layout, info, inputs.clusters, stopped=sequential is not None)
    return measured(info, aligned, score, testing, sequential)


def _rows(layout: Layout, boards: list[MeasureBoard], primary: MeasureBoard) -> tuple[BoardRow, ...]:
    """One row a cell, best first on the primary measure."""
    order = best_first(layout, primary.info, [score.mean for score in primary.scores])
    return tuple(
        BoardRow(cell=layout.cells[c], seeds=layout.seeds(c), scores=tuple(board.scores[c] for board in boards))
        for c in order
    )


__all__ = ["CompareInputs", "CompareSettings", "VariantScores", "compare"]
