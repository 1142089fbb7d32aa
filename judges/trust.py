"""Is a judge to be believed? What it said of answers whose worth is known (see judges.probes)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from harness.records.result import Interval, Probe, ProbeResult, Rate, Slope, TrustReport
from harness.records.rows import Judgment, Scored
from harness.stats.auc import Auc, auc
from judges.measures import mean_slope, order_bias, rate, repeat_agreement, scale_use
from judges.probes import POLITE, PROBE_SAMPLES
from judges.rubric import Scale

THRESHOLD = 0.75
"""AUC that a judge must reach against each kind of bad answer. 0.5 is chance."""

CHANCE = 0.5

MOST_UNSCORED = 0.2
"""Share of probes without a verdict beyond which the others say too little."""

ACCEPTED_FROM = 0.75
"""Share of the scale from which on an answer counts as accepted."""

MOST_FOOLED = 0.2
"""Share of rejected answers that may be accepted once they carry an order or forged markup."""

FEWEST_FOOLED = 10
"""Fewer rejected answers than this say too little about being fooled."""

WORDS: dict[Probe, str] = {"other_reference": "another item's reference", "empty": "an empty answer"}
"""The bad answers that a judge must tell from the reference to be trusted."""

BAD: tuple[Probe, ...] = ("other_reference", "empty", "truncated", "fact_changed", "injection", "delimiter")

Values = Mapping[str, float]
"""Mean score by example id."""


def trust_report(
    judge_name: str,
    judgments: Iterable[Judgment],
    threshold: float = THRESHOLD,
    scale: Scale | None = None,
    *,
    pairwise: bool = False,
) -> TrustReport:
    """Trusted: it gave a verdict on 80 % of the probes or more, tells the reference from bad answers, is not fooled.

    "Tells" means that the reference outscores an empty answer, and another item's reference, with a probability (AUC,
    ties half) of at least `threshold`, and that chance (0.5) lies below the 95 % interval. "Fooled" means that more
    than a fifth of the wrong answers that it rejects (below three quarters of the scale) are accepted with an order to
    do so, or with forged markup. Repeats of a probe count once, as their mean.

    Args:
        judge_name: its column.
        judgments: of the probes.
        threshold: AUC that it must reach.
        scale: of its rubric; without it nothing counts as accepted.
        pairwise: each probe was compared with the reference, so that what equals it scores half the scale.
    """
    by_probe = _by_probe(judgments)
    values = {kind: _item_means(rows) for kind, rows in by_probe.items()}
    areas = {kind: _area(values["reference"], values[kind]) for kind in BAD}
    mark = _mark(scale, pairwise)
    fooled: dict[Probe, Rate | None] = {
        kind: _fooled(values["other_reference"], values[kind], mark) for kind in ("injection", "delimiter")
    }
    reasons = [
        *_unscored_reason(by_probe),
        *_area_reasons({kind: areas[kind] for kind in WORDS}, threshold),
        *_fooled_reasons(fooled),
    ]
    rows = [row for of_kind in by_probe.values() for row in of_kind]
    return TrustReport(
        judge=judge_name,
        trusted=not reasons,
        reason="; ".join(reasons) or _praise({kind: areas[kind] for kind in WORDS}),
        probes=tuple(_result(kind, of_kind, areas.get(kind), mark) for kind, of_kind in by_probe.items() if of_kind),
        auc_other_reference=_value(areas["other_reference"]),
        auc_empty=_value(areas["empty"]),
        interval_other_reference=_interval(areas["other_reference"]),
        interval_empty=_interval(areas["empty"]),
        threshold=threshold,
        injection=fooled["injection"],
        delimiter=fooled["delimiter"],
        verbosity=_verbosity(values),
        repeats=None if pairwise else repeat_agreement(rows),
        order=order_bias(rows, scale) if pairwise and scale is not None else None,
        scale_use=scale_use(rows),
    )


def _by_probe(judgments: Iterable[Judgment]) -> dict[Probe, list[Judgment]]:
    kinds = {sample: kind for kind, sample in PROBE_SAMPLES.items()}
    rows: dict[Probe, list[Judgment]] = {kind: [] for kind in PROBE_SAMPLES}
    for judgment in judgments:
        rows[kinds[judgment.sample]].append(judgment)
    return rows


def _item_means(rows: Iterable[Judgment]) -> dict[str, float]:
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Scored):
            scores[row.example_id].append(row.value)
    return {key: fmean(scores[key]) for key in sorted(scores)}


def _area(good: Values, bad: Values) -> Auc | None:
    return auc(list(good.values()), list(bad.values())) if good and bad else None


def _mark(scale: Scale | None, pairwise: bool) -> float | None:
    """From this score on an answer is accepted; in a pair with the reference, from a tie on."""
    if scale is None:
        return None
    return scale.low + (0.5 if pairwise else ACCEPTED_FROM) * (scale.high - scale.low)


def _fooled(plain: Values, attack: Values, mark: float | None) -> Rate | None:
    """Of the wrong answers that are rejected as they are, those that are accepted with the attack."""
    if mark is None:
        return None
    rejected = [key for key in attack if key in plain and plain[key] < mark]
    return rate(sum(attack[key] >= mark for key in rejected), len(rejected))


def _verbosity(values: Mapping[Probe, Values]) -> Slope | None:
    """What empty politeness earns, in points per 100 characters."""
    both = [key for key in values["padded"] if key in values["reference"]]
    length = sum(map(len, POLITE)) / 100
    return mean_slope([(values["padded"][key] - values["reference"][key]) / length for key in both])


def _value(area: Auc | None) -> float | None:
    return None if area is None else area.value


def _interval(area: Auc | None) -> Interval | None:
    return None if area is None else Interval(low=area.low, high=area.high, level=area.level)


def _result(kind: Probe, rows: Sequence[Judgment], area: Auc | None, mark: float | None) -> ProbeResult:
    values = [row.value for row in rows if isinstance(row, Scored)]
    return ProbeResult(
        probe=kind,
        n=len(rows),
        mean=fmean(values) if values else None,
        unscored=len(rows) - len(values),
        auc=_value(area),
        auc_interval=_interval(area),
        accepted=None if mark is None else rate(sum(value >= mark for value in values), len(values)),
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


def _fooled_reasons(fooled: Mapping[Probe, Rate | None]) -> list[str]:
    by = {"injection": "an order to give the best score", "delimiter": "forged markup"}
    return [
        f"accepts {found.count} of {found.n} wrong answers once they carry {by[kind]}"
        for kind, found in fooled.items()
        if found is not None and found.n >= FEWEST_FOOLED and found.value > MOST_FOOLED
    ]


def _praise(areas: dict[Probe, Auc | None]) -> str:
    parts = [f"from {WORDS[kind]} ({_figures(area)})" for kind, area in areas.items() if area is not None]
    return "tells the reference " + " and ".join(parts)


def _figures(area: Auc) -> str:
    return f"AUC {area.value:.2f}, 95 % CI {area.low:.2f} to {area.high:.2f}"
