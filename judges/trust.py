"""Is this judge a measuring instrument? It is given answers of known worth, and must tell the good from the bad."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from harness.records import Example, Generation, Interval, Judgment, ProbeResult, Scored, TrustReport
from harness.stats.auc import Auc, auc
from judges.ask import chosen_items

Probe = Literal["reference", "other_reference", "empty"]
PROBES: tuple[Probe, ...] = ("reference", "other_reference", "empty")
"""A probe's place here is its generation's `sample` number."""

THRESHOLD = 0.75
"""A judge must rank the reference above a bad answer at least this often (AUC), and be shown to beat a coin."""
WORDS: dict[Probe, str] = {"other_reference": "another item's reference", "empty": "an empty answer"}


def probe_generations(examples: Sequence[Example], items: int | None) -> list[Generation]:
    """Three answers to each judged item: its reference, the reference of the next item that differs, and nothing."""
    chosen = chosen_items(examples, items)
    rows = []
    for place, example in enumerate(chosen):
        texts = (example.output, other_reference(chosen, place), "")
        rows += [
            Generation(example_id=example.id, sample=sample, text=text, finish_reason="eos", tokens=0, seconds=0.0)
            for sample, text in enumerate(texts)
            if text is not None
        ]
    return rows


def other_reference(examples: Sequence[Example], place: int) -> str | None:
    """The next item's reference that is not also right here; None where all references are alike."""
    own = plain(examples[place].output)
    following = (examples[(place + step) % len(examples)].output for step in range(1, len(examples)))
    return next((text for text in following if plain(text) != own), None)


def plain(text: str) -> str:
    """Text without what hardly makes two answers differ: case, spaces, final stop."""
    return " ".join(text.casefold().split()).rstrip(".。!")


def trust_report(judge: str, judgments: Sequence[Judgment], threshold: float = THRESHOLD) -> TrustReport:
    """Trusted if the reference outscores both kinds of bad answer with AUC >= threshold and an interval above 0.5."""
    scores = {probe: scores_of(judgments, sample) for sample, probe in enumerate(PROBES)}
    results = tuple(
        ProbeResult(
            probe=probe,
            n=sum(row.sample == sample for row in judgments),
            mean=fmean(scores[probe]) if scores[probe] else None,
            unscored=sum(row.sample == sample and not isinstance(row, Scored) for row in judgments),
        )
        for sample, probe in enumerate(PROBES)
    )
    areas = {bad: area(scores["reference"], scores[bad]) for bad in WORDS}
    faults = [*silent(results), *(fault for bad in WORDS for fault in failing(bad, areas[bad], threshold))]
    return TrustReport(
        judge=judge,
        trusted=not faults,
        reason="; ".join(faults) if faults else passing(areas),
        probes=results,
        auc_other_reference=value(areas["other_reference"]),
        auc_empty=value(areas["empty"]),
        interval_other_reference=interval(areas["other_reference"]),
        interval_empty=interval(areas["empty"]),
        threshold=threshold,
    )


def scores_of(judgments: Sequence[Judgment], sample: int) -> list[float]:
    """Each item's score of one probe, its repeats averaged, so that asking twice does not count twice."""
    by_item: dict[str, list[float]] = {}
    for row in judgments:
        if isinstance(row, Scored) and row.sample == sample:
            by_item.setdefault(row.example_id, []).append(row.value)
    return [fmean(values) for values in by_item.values()]


def area(good: list[float], bad: list[float]) -> Auc | None:
    """AUC with its interval; None where one side has no score."""
    return auc(good, bad) if good and bad else None


def value(found: Auc | None) -> float | None:
    """The AUC itself."""
    return None if found is None else found.value


def interval(found: Auc | None) -> Interval | None:
    """Its interval as a record."""
    return None if found is None else Interval(low=found.low, high=found.high, level=found.level)


def silent(results: Sequence[ProbeResult]) -> list[str]:
    """A judge that leaves a tenth of the probes unscored does not measure."""
    asked, unscored = sum(r.n for r in results), sum(r.unscored for r in results)
    return [f"gives no usable verdict on {unscored} of {asked} probes"] if unscored * 10 > asked else []


def failing(bad: Probe, found: Auc | None, threshold: float) -> list[str]:
    """Why this kind of bad answer shows the judge to be blind; empty if it does not."""
    if found is None:
        return [f"scored too few probes to be compared on {WORDS[bad]}"]
    figures = f"AUC {found.value:.2f}, 95 % CI {found.low:.2f} to {found.high:.2f}; needs {threshold:g}"
    if found.value < threshold:
        return [f"cannot tell the reference from {WORDS[bad]} ({figures})"]
    return [f"not shown to tell the reference from {WORDS[bad]} ({figures} and above 0.5)"] if found.low <= 0.5 else []


def passing(areas: dict[Probe, Auc | None]) -> str:
    """What the judge was shown to do."""
    return "tells the reference from " + " and from ".join(
        f"{WORDS[bad]} (AUC {found.value:.2f})" for bad, found in areas.items() if found is not None
    )
