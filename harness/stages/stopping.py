"""Asking until it is decided: items in random order, a few at a time, each against the baseline's score of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.align import fold_judgments
from harness.records.inputs import StageKey, StopRule
from harness.records.rows import Judgment, ReplyRow
from harness.stages.workshop import Workshop
from harness.stats.betting import betting

if TYPE_CHECKING:
    from judges.questions import PlannedRequest
    from judges.rubric import Rubric

ROUND = 20
"""Items that are asked about before it is looked again: so few that hardly a call is wasted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether enough is known of one variant. `baseline`: its score of each item."""

    rule: StopRule
    rubric: Rubric
    expected: bool
    baseline: dict[str, float]

    @classmethod
    def of(cls, workshop: Workshop, rule: StopRule, rubric: Rubric, *, expected: bool) -> Decision:
        """`expected`: scores are read from log-probabilities."""
        judgment_type: Any = Judgment
        rows = workshop.store.read(StageKey(stage="judge", digest=rule.judged), judgment_type)
        return cls(rule, rubric, expected, {item: value for item, (value, _) in fold_judgments(rows).items()})

    def made(self, replies: Sequence[ReplyRow]) -> bool:
        """Whether the replies so far tell the variant from the baseline, or show both equivalent."""
        from judges.parse import read_replies
        from judges.questions import rank

        own = fold_judgments(read_replies(replies, self.rubric, expected=self.expected))
        items = sorted(own.keys() & self.baseline.keys(), key=rank)
        apart = np.array([own[item][0] - self.baseline[item] for item in items], dtype=np.float64)
        width, margin = float(self.rubric.scale.high - self.rubric.scale.low), self.rule.margin
        found = betting(apart, -width, width, margin=margin or 0.0, alpha=self.rule.alpha)
        same = margin is not None and max(found.above, found.below) <= self.rule.alpha
        return same or found.p <= self.rule.alpha


def rounds(requests: Sequence[PlannedRequest]) -> Iterator[list[PlannedRequest]]:
    """The questions in random order of their items, some items at a time."""
    from judges.questions import rank

    ordered = sorted(requests, key=lambda each: (rank(each.example_id), each.sample, each.repeat))
    items = [list(group) for _, group in groupby(ordered, key=lambda each: each.example_id)]
    for start in range(0, len(items), ROUND):
        yield [request for item in items[start : start + ROUND] for request in item]
