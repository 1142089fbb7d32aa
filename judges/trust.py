"""Is a judge to be believed? Probes are answers of known worth, made from the test set, judged like any other."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Literal

from harness.records.data import Example
from harness.records.result import Interval, ProbeResult, TrustReport
from harness.records.rows import Generation, Judgment, Scored
from harness.stats.auc import Auc, auc
from judges.ask import choose_items

Probe = Literal["reference", "other_reference", "empty"]
PROBE_SAMPLES: dict[Probe, int] = {"reference": 0, "other_reference": 1, "empty": 2}
"""A probe is a Generation; which kind it is stands in its `sample`."""

THRESHOLD = 0.75
"""AUC that a judge must reach against each kind of bad answer. 0.5 is chance."""

CHANCE = 0.5

MOST_UNSCORED = 0.2
"""Share of probes without a verdict beyond which the others say too little."""

WORDS: dict[Probe, str] = {"other_reference": "another item's reference", "empty": "an empty answer"}


def probe_generations(examples: Sequence[Example], items: int | None, seed: int) -> list[Generation]:
    """Three probes for each chosen item: its reference, another item's, and nothing.

    Args:
        examples: the test set.
        items: probe only this many items, the ones that are judged as well; None: all.
        seed: of the choice of other references.

    An item has no `other_reference` where every other item has the same output.
    """
    chosen = choose_items(examples, items)
    others = _other_references(chosen, random.Random(seed))
    probes = []
    for example in chosen:
        texts: dict[Probe, str | None] = {
            "reference": example.output,
            "other_reference": others.get(example.id),
            "empty": "",
        }
        probes += [_probe(example.id, kind, text) for kind, text in texts.items() if text is not None]
    return probes


def _other_references(examples: Sequence[Example], dice: random.Random) -> dict[str, str]:
    """A derangement: each item gets the next item's output in a random round, skipping outputs equal to its own."""
    order = list(examples)
    dice.shuffle(order)
    others = {}
    for index, example in enumerate(order):
        for step in range(1, len(order)):
            text = order[(index + step) % len(order)].output
            if _plain(text) != _plain(example.output):
                others[example.id] = text
                break
    return others


def _plain(text: str) -> str:
    """Without what hardly makes two answers differ: case, spaces, the final stop."""
    return " ".join(text.casefold().split()).rstrip(".!。！")


def _probe(example_id: str, kind: Probe, text: str) -> Generation:
    sample = PROBE_SAMPLES[kind]
    return Generation(example_id=example_id, sample=sample, text=text, finish_reason="eos", tokens=0, seconds=0.0)


def trust_report(judge_name: str, judgments: Iterable[Judgment], threshold: float = THRESHOLD) -> TrustReport:
    """Trusted: it gave a verdict on 80 % of the probes or more, and tells the reference from both kinds of bad answer.

    "Tells" means that the reference outscores the bad answer with a probability (AUC, ties half) of at least
    `threshold`, and that chance (0.5) lies below the 95 % interval. Repeats of a probe count once, as their mean.
    """
    by_probe = _by_probe(judgments)
    values = {kind: _item_means(rows) for kind, rows in by_probe.items()}
    areas = {kind: _area(values["reference"], values[kind]) for kind in WORDS}
    reasons = [*_unscored_reason(by_probe), *_area_reasons(areas, threshold)]
    return TrustReport(
        judge=judge_name,
        trusted=not reasons,
        reason="; ".join(reasons) or _praise(areas),
        probes=tuple(_result(kind, rows) for kind, rows in by_probe.items()),
        auc_other_reference=_value(areas["other_reference"]),
        auc_empty=_value(areas["empty"]),
        interval_other_reference=_interval(areas["other_reference"]),
        interval_empty=_interval(areas["empty"]),
        threshold=threshold,
    )


def _by_probe(judgments: Iterable[Judgment]) -> dict[Probe, list[Judgment]]:
    kinds = {sample: kind for kind, sample in PROBE_SAMPLES.items()}
    rows: dict[Probe, list[Judgment]] = {kind: [] for kind in PROBE_SAMPLES}
    for judgment in judgments:
        rows[kinds[judgment.sample]].append(judgment)
    return rows


def _item_means(rows: Iterable[Judgment]) -> list[float]:
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Scored):
            scores[row.example_id].append(row.value)
    return [fmean(scores[key]) for key in sorted(scores)]


def _area(good: list[float], bad: list[float]) -> Auc | None:
    return auc(good, bad) if good and bad else None


def _value(area: Auc | None) -> float | None:
    return None if area is None else area.value


def _interval(area: Auc | None) -> Interval | None:
    return None if area is None else Interval(low=area.low, high=area.high, level=area.level)


def _result(kind: Probe, rows: Sequence[Judgment]) -> ProbeResult:
    values = [row.value for row in rows if isinstance(row, Scored)]
    return ProbeResult(
        probe=kind, n=len(rows), mean=fmean(values) if values else None, unscored=len(rows) - len(values)
    )


def _unscored_reason(by_probe: dict[Probe, list[Judgment]]) -> list[str]:
    rows = [row for rows in by_probe.values() for row in rows]
    unscored = sum(not isinstance(row, Scored) for row in rows)
    if unscored <= MOST_UNSCORED * len(rows):
        return []
    return [f"gave no verdict on {unscored} of {len(rows)} probe answers"]


def _area_reasons(areas: dict[Probe, Auc | None], threshold: float) -> list[str]:
    reasons = []
    for kind, area in areas.items():
        if area is None:
            reasons.append(f"no verdicts to tell the reference from {WORDS[kind]} by")
        elif area.value < threshold or area.low <= CHANCE:
            needs = f"needs {threshold:g}" if area.value < threshold else "too few probes to exclude chance (0.5)"
            reasons.append(f"cannot tell the reference from {WORDS[kind]}: {_figures(area)}; {needs}")
    return reasons


def _praise(areas: dict[Probe, Auc | None]) -> str:
    parts = [f"from {WORDS[kind]} ({_figures(area)})" for kind, area in areas.items() if area is not None]
    return "tells the reference " + " and ".join(parts)


def _figures(area: Auc) -> str:
    return f"AUC {area.value:.2f}, 95 % CI {area.low:.2f} to {area.high:.2f}"
