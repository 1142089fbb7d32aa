"""A contest: a pairwise judge over many pairs of cells. What is to be asked next, and what came out, from the rows.

Nothing but the rows is kept: the same rows lead to the same rounds, so that a killed contest goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from harness.records.data import Example
from harness.records.inputs import ContestInput
from harness.records.rows import Reply, ReplyRow, Scored
from harness.stats.pair_design import next_games
from harness.stats.panel import IntArray
from judges.base import Request
from judges.parse import parse
from judges.questions import PlannedRequest, choose_items, request_of
from judges.rubric import Rubric

Texts = Sequence[Sequence[Mapping[str, str]]]
"""By contestant and training (seeds, folds): example id -> answer."""


@dataclass(frozen=True, slots=True)
class Game:
    """Contestants `a` < `b` on an item; `won`: the share that `a` won, None without a verdict in both orders."""

    a: int
    b: int
    example_id: str
    won: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A contest so far. `missing`: what is to be asked before it can go on; empty when it is over."""

    games: tuple[Game, ...]
    missing: tuple[PlannedRequest, ...]
    rounds: int


class Contest:
    """The games of one ContestInput, without any reply."""

    def __init__(self, contest: ContestInput, rubric: Rubric, examples: Sequence[Example], texts: Texts) -> None:
        """`texts`: of the contestants, in the order of `contest.contestants`."""
        self._contest, self._rubric, self._texts = contest, rubric, texts
        chosen = choose_items(examples, contest.items)
        answered = [set().union(*each) for each in texts]
        self._examples = {each.id: each for each in chosen if all(each.id in known for known in answered)}

    @property
    def possible(self) -> int:
        """(pair, item) that there are."""
        return len(self._examples) * len(self._texts) * (len(self._texts) - 1) // 2

    def standing(self, rows: Sequence[ReplyRow]) -> Standing:
        """What the rows amount to, round by round, up to the first round that lacks some."""
        cells, known = len(self._texts), {row.request_digest: row for row in rows}
        counts = np.zeros((2, cells, cells))
        games: list[Game] = []
        rounds = 0
        budget = min(self._contest.games, self.possible)
        while True:
            played = np.rint(counts.sum(axis=0)).astype(np.int64)
            more = next_games(self._contest.design, counts, budget, len(self._examples))
            if not more.any():
                return Standing(tuple(games), (), rounds)
            rounds += 1
            asked = [(a, b, item) for a, b in np.argwhere(more) for item in self._items(int(a), int(b), played, more)]
            requests = [each for game in asked for each in self.requests(*game)]
            missing = {each.request.digest: each for each in requests if each.request.digest not in known}
            if missing:
                return Standing(tuple(games), tuple(missing.values()), rounds)
            for a, b, item in asked:
                game = Game(int(a), int(b), item, self._won(known, self.requests(a, b, item)))
                games.append(game)
                share = 0.5 if game.won is None else game.won
                counts[:, a, b] += share, 1 - share

    def requests(self, a: int, b: int, item: str) -> tuple[PlannedRequest, PlannedRequest]:
        """The two orders: `a` first, then `b` first."""
        example, draw = self._examples[item], int.from_bytes(hashlib.sha256(item.encode()).digest()[:4], "big")
        answers = [[texts[item] for texts in self._texts[cell] if item in texts] for cell in (a, b)]
        ours, theirs = (each[draw % len(each)] for each in answers)
        same = ours.strip() == theirs.strip()
        first, second = (self._request(example, *shown) for shown in ((ours, theirs), (theirs, ours)))
        return PlannedRequest(first, item, 0, 0, same), PlannedRequest(second, item, 0, 1, same)

    def _request(self, example: Example, first: str, second: str) -> Request:
        return request_of(self._rubric, self._rubric.pair_message(example, first, second), self._contest.options, 0)

    def _items(self, a: int, b: int, played: IntArray, more: IntArray) -> list[str]:
        """The next items of a pair, in an order of the pair's own that hangs on content only."""
        names = ":".join(digest for cell in (a, b) for digest in self._contest.contestants[cell])
        ranked = sorted(self._examples, key=lambda item: hashlib.sha256(f"{names}:{item}".encode()).digest())
        return ranked[played[a, b] : played[a, b] + more[a, b]]

    def _won(self, known: Mapping[str, ReplyRow], both: Sequence[PlannedRequest]) -> float | None:
        """Ties half; a verdict that goes with the place is a tie."""
        scale, values = self._rubric.scale, []
        for each in both:
            row = known[each.request.digest].model_copy(update={"repeat": each.repeat})
            judgment = parse(row, self._rubric)
            if isinstance(judgment, Scored):
                values.append((judgment.value - scale.low) / (scale.high - scale.low))
        return fmean(values) if len(values) == len(both) else None


def known_already(planned: PlannedRequest, row: Reply) -> Reply:
    """A reply that was given elsewhere to the same request, as this contest's: it took nothing."""
    return row.model_copy(
        update={
            "example_id": planned.example_id,
            "sample": planned.sample,
            "repeat": planned.repeat,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "attempts": 0,
            "seconds": 0.0,
        }
    )
