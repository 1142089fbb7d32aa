"""The three dimensions before and after tuning, as a section of a report."""

from __future__ import annotations

from collections.abc import Sequence

from harness.dimensions import BLEU_BAND, EXCELLENT_LINE, Dimensions, Quality, before
from harness.records.result import Rate
from reports.sections import Section
from reports.wording import NONE, figure, labels

HEADER = ("", "before", "after")
NAMES = (
    "Instruction following: excellent",
    "Instruction following: acceptable, failed, unscored",
    "Content quality: BLEU, 0–1",
    "Content quality: fluency, logic, style",
    "Copied from the training data",
    "Stability: agreement of the samples, chrF",
    "Stability: agreement of the samples, embeddings",
    "Stability: spread within a prompt, points",
    "Stability: prompts that all samples pass",
)


def dimension_sections(cells: Sequence[Dimensions], untrusted: Sequence[str] = ()) -> list[Section]:
    """One section a tuned cell, beside the untuned one that it starts from; without any, one a cell."""
    by_cell = {each.cell: each for each in cells}
    names = labels(by_cell)
    sections = []
    for each in cells:
        start = before(each.cell, list(by_cell))
        if start is None and any(other.cell.method != "none" for other in cells):
            continue
        title = f"Before and after: {names[each.cell.name]}"
        old = None if start is None else by_cell[start]
        sections.append(Section(title, HEADER, _rows(old, each), (*_notes(each), *_doubts(untrusted))))
    return sections


def _rows(old: Dimensions | None, new: Dimensions) -> tuple[tuple[str, str, str], ...]:
    return tuple(zip(NAMES, _column(old), _column(new), strict=True))


def _column(found: Dimensions | None) -> tuple[str, ...]:
    """One cell's figures, in the order of `NAMES`."""
    if found is None:
        return (NONE,) * len(NAMES)
    following, quality, stability = found.following, found.quality, found.stability
    return (
        NONE if following is None else _rate(following.excellent),
        NONE if following is None else f"{following.acceptable}, {following.failed}, {following.unscored}",
        figure(quality.bleu, 2),
        NONE if quality.judged is None else f"{100 * quality.judged:.1f} %",
        _rate(quality.copied),
        NONE if stability is None else figure(stability.agreement),
        NONE if stability is None else figure(stability.embedding),
        NONE if stability is None else figure(stability.spread),
        NONE if stability is None else _rate(stability.all_pass),
    )


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return NONE
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    return f"{100 * rate.value:.1f} % of {rate.n} [{low:.1f}, {high:.1f}]"


def _notes(new: Dimensions) -> list[str]:
    """What the figures after tuning mean, or what is missing for them."""
    line = f"{100 * EXCELLENT_LINE:.0f} % excellent"
    if new.following is None:
        notes = [f"Following is not measured: add a judge with `rubric: instruction-following`; the line is {line}."]
    else:
        sure = new.following.excellent.interval
        held = "shown" if sure.low >= EXCELLENT_LINE or sure.high < EXCELLENT_LINE else "too few verdicts to be sure"
        notes = [f"The line of {line} is {'reached' if new.following.reached else 'missed'} ({held})."]
    notes.append(_band(new.quality))
    if new.stability is None:
        notes.append("Stability is not measured: `stability: {}` in the matrix answers each prompt five times more.")
    return notes


def _band(quality: Quality) -> str:
    low, high = BLEU_BAND
    band = f"BLEU {low}–{high} is the healthy band for copy in one style"
    if quality.bleu is None:
        return f"{band}; BLEU is not measured here."
    if quality.bleu < low:
        return f"{band}; this is below it. Short factual answers, or several right ones, say little by BLEU."
    if quality.bleu <= high:
        return f"{band}; this is within it."
    return f"{band}; this is above it, which may be learning by heart: see what is copied from the training data."


def _doubts(untrusted: Sequence[str]) -> list[str]:
    return [f"Untrusted judge {each}" for each in untrusted]
