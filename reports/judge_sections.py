"""Judges as measuring instruments, as tables: probes, biases, agreement, who beats whom, and what was left unscored."""

from __future__ import annotations

from harness.records.result import Result
from reports.people import people_sections
from reports.sections import Section
from reports.trust_table import PROBE_WORDS, measured, share
from reports.wording import NONE, figure, labels, places, signed, span


def judge_sections(result: Result) -> list[Section]:
    """Every table that this matrix has something to say in."""
    found = (
        probe_section(result),
        finding_section(result),
        agreement_section(result),
        win_section(result),
        *contest_sections(result),
        unscored_section(result),
    )
    cells = labels(row.cell for row in result.rows)
    return [*(section for section in found if section is not None), *people_sections(result.people, cells)]


def probe_section(result: Result) -> Section | None:
    """What each judge said of each kind of answer of known worth."""
    rows = tuple(
        (
            f"{report.judge}: {PROBE_WORDS[probe.probe]}",
            str(probe.n),
            str(probe.unscored or NONE),
            figure(probe.mean, 2),
            f"{figure(probe.auc, 2)} {span(probe.auc_interval, 2)}".strip(),
            share(probe.accepted) or NONE,
        )
        for report in result.trust
        for probe in report.probes
    )
    header = ("judge: answer", "n", "unscored", "mean", "AUC of the reference against it", "accepted")
    return Section("Answers of known worth", header, rows) if rows else None


def finding_section(result: Result) -> Section | None:
    """Injection, verbosity, length, repeats, order, use of the scale."""
    rows = tuple((f"{report.judge}: {name}", value) for report in result.trust for name, value in measured(report))
    return Section("Noise and biases of the judges", ("what", "measured"), rows) if rows else None


def agreement_section(result: Result) -> Section | None:
    """Each two judges."""
    rows = tuple(
        (
            f"{pair.a} and {pair.b}",
            str(pair.n),
            figure(pair.alpha, 2),
            figure(pair.spearman, 2),
            figure(pair.kendall, 2),
        )
        for pair in result.agreement
    )
    header = ("judges", "answers", "Krippendorff's α", "Spearman", "Kendall's τ-b")
    return Section("Do the judges agree?", header, rows) if rows else None


def win_section(result: Result) -> Section | None:
    """Each cell against the opponent of each pairwise judge."""
    cells = labels(row.cell for row in result.rows)
    rows = tuple(
        (
            f"{rate.judge}: {cells.get(rate.cell, rate.cell)}",
            str(rate.n),
            f"{figure(rate.raw)} {span(rate.raw_interval)}",
            f"{figure(rate.length_controlled)} {span(rate.length_controlled_interval)}".strip(),
        )
        for rate in result.win_rates
    )
    notes = ("Of 100 items against the opponent, ties half; at equal length: what it would be were both equally long.",)
    header = ("judge: cell", "items", "wins % [95 %]", "at equal length % [95 %]")
    return Section("Win rates", header, rows, notes) if rows else None


def contest_sections(result: Result) -> list[Section]:
    """Bradley-Terry strengths, a table a contest."""
    cells = labels(row.cell for row in result.rows)
    return [
        Section(
            f"Strengths by judge {contest.judge}",
            ("cell", "games", "chance to beat an average cell [95 %]", "rating [95 %]"),
            tuple(
                (
                    cells.get(each.cell, each.cell),
                    str(each.games),
                    f"{100 * each.chance:.1f} % [{100 * each.interval.low:.1f}, {100 * each.interval.high:.1f}]",
                    f"{signed(each.elo[0], 0)} [{signed(each.elo[1], 0)}, {signed(each.elo[2], 0)}]",
                )
                for each in contest.strengths
            ),
            (
                f"Bradley-Terry over {contest.games} of {contest.possible} possible comparisons "
                f"(pairs: {contest.design}), each in both orders; {contest.unscored} without a verdict. "
                "Ratings are in Elo points, 0 is average.",
            ),
        )
        for contest in result.contests
    ]


def unscored_section(result: Result) -> Section | None:
    """Which answers have no verdict, why, and how far that could move the mean."""
    info = {measure.name: measure for measure in result.measures}
    cells = labels(row.cell for row in result.rows)
    rows = tuple(
        (
            f"{info[score.measure].name}: {cells[row.cell.name]}",
            ", ".join(f"{each.responses} {each.reason}" for each in score.left_out) or str(score.unscored),
            figure(score.mean, places(info[score.measure])),
            figure(score.worst, places(info[score.measure])),
            figure(score.best, places(info[score.measure])),
        )
        for row in result.rows
        for score in row.scores
        if score.unscored and info[score.measure].kind == "judge"
    )
    notes = ("worst, best: the mean, had every answer without a verdict got the lowest or the highest score.",)
    header = ("judge: cell", "without a verdict", "mean", "worst", "best")
    return Section("Answers without a verdict", header, rows, notes) if rows else None
