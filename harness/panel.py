"""Several judges as one: their scores of an item become one score."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Literal

from harness.records.rows import Judgment, Scored, Unparsed

LEAST = 0.5
"""Share of the judges that must have scored an answer."""


def combined(judgments: Mapping[str, Sequence[Judgment]], how: Literal["mean", "majority"]) -> list[Judgment]:
    """One judgment an answer, by example and sample. An answer that half the judges or fewer scored is unscored.

    Each judge's repeats are averaged first. The majority is the commonest score (the median where several are).
    """
    scores: defaultdict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, rows in judgments.items():
        for row in rows:
            of_judge = scores[(row.example_id, row.sample)][name]
            if isinstance(row, Scored):
                of_judge.append(row.value)
    found: list[Judgment] = []
    for (example_id, sample), by_judge in sorted(scores.items()):
        values = [fmean(each) for each in by_judge.values() if each]
        if len(values) <= LEAST * len(judgments):
            reason = f"{len(values)} of {len(judgments)} judges have scored it"
            found.append(Unparsed(example_id=example_id, sample=sample, repeat=0, reason=reason))
        else:
            value = fmean(values) if how == "mean" else _majority(values)
            found.append(Scored(example_id=example_id, sample=sample, repeat=0, value=value))
    return found


def _majority(values: Sequence[float]) -> float:
    counts = Counter(values).most_common()
    tied = len(counts) > 1 and counts[0][1] == counts[1][1]
    return median(values) if tied else counts[0][0]
