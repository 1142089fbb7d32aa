"""The questions of a judge: which items, which answers, in which words; and which of them are still to be asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import DataError
from harness.records.data import Example
from harness.records.inputs import AskInput
from harness.records.rows import Generation, ReplyRow
from judges.base import Request
from judges.rubric import Rubric

ITEMS_SEED = 0
"""Which items `items: N` means is the same for every variant, judge and run."""

Place = tuple[str, int]
"""(example id, sample) of an answer."""

RequestKey = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request and the answer that it is about. `same`: both answers are one text, so nobody need be asked."""

    request: Request
    example_id: str
    sample: int
    repeat: int
    same: bool = False

    @property
    def key(self) -> RequestKey:
        """What tells it from all other requests of its object."""
        return (self.request.digest, self.example_id, self.sample, self.repeat)


def choose_items(examples: Sequence[Example], items: int | None, seed: int = ITEMS_SEED) -> list[Example]:
    """`items` of the examples (None: all) by a random rank that hangs on nothing but seed and id, in their given order.

    So a larger choice contains each smaller one, and the order of the file plays no part.
    """
    if items is None or items >= len(examples):
        return list(examples)
    last = sorted(rank(example.id, seed) for example in examples)[items - 1]
    return [example for example in examples if rank(example.id, seed) <= last]


def rank(example_id: str, seed: int = ITEMS_SEED) -> bytes:
    """Where an item stands in the random order in which items are chosen, and asked about until it is decided."""
    return hashlib.sha256(f"{seed}:{example_id}".encode()).digest()


def judge_requests(
    rubric: Rubric,
    examples: Sequence[Example],
    generations: Iterable[Generation],
    ask_input: AskInput,
    others: Mapping[Place, str] | None = None,
) -> list[PlannedRequest]:
    """The questions of one judge about one variant, in the order of the generations; a repeat asks with the next seed.

    A pairwise rubric compares each answer with `others`' text at the same place, in both orders: an even repeat shows
    the answer first, the odd one after it shows it second, and both have one seed.

    Raises:
        DataError: a generation belongs to no example, or has nothing to be compared with.
    """
    known = {example.id: example for example in examples}
    chosen = {example.id for example in choose_items(examples, ask_input.items)}
    requests = []
    for generation in generations:
        if generation.example_id not in known:
            raise DataError(f"response to {generation.example_id!r}, which is not in the test set")
        if generation.example_id in chosen:
            example = known[generation.example_id]
            requests += _about(rubric, example, generation, ask_input, others)
    return requests


def _about(
    rubric: Rubric,
    example: Example,
    generation: Generation,
    ask_input: AskInput,
    others: Mapping[Place, str] | None,
) -> list[PlannedRequest]:
    """The questions about one answer."""
    place = (example.id, generation.sample)
    if rubric.mode == "pointwise":
        message = rubric.user_message(example, generation.text)
        return [
            PlannedRequest(request_of(rubric, message, ask_input.options, repeat), *place, repeat)
            for repeat in range(ask_input.repeats)
        ]
    if others is None or place not in others:
        raise DataError(f"nothing to compare the response to {example.id!r} with", hint="see compare.baseline")
    shown = (generation.text, others[place])
    same = shown[0].strip() == shown[1].strip()
    messages = rubric.pair_message(example, *shown), rubric.pair_message(example, *shown[::-1])
    return [
        PlannedRequest(request_of(rubric, messages[repeat % 2], ask_input.options, repeat // 2), *place, repeat, same)
        for repeat in range(2 * ask_input.repeats)
    ]


def request_of(rubric: Rubric, message: str, options: Mapping[str, str | int | float | bool], turn: int) -> Request:
    """What is sent. `turn`: which repeat it is; each has the next seed."""
    return Request(
        system=rubric.system,
        user=message,
        schema=rubric.schema_,
        max_tokens=longest_reply(rubric, options),
        temperature=float(options.get("temperature", 0.0)),
        seed=int(options.get("seed", 0)) + turn,
    )


def longest_reply(rubric: Rubric, options: Mapping[str, str | int | float | bool]) -> int:
    """In tokens. `max_completion_tokens` gives a model that thinks more room than the rubric's reply needs."""
    return int(options.get("max_completion_tokens", rubric.max_tokens))


def row_key(row: ReplyRow) -> RequestKey:
    """The key of the request that a row answers."""
    return (row.request_digest, row.example_id, row.sample, row.repeat)


def pending(requests: Iterable[PlannedRequest], done: Iterable[ReplyRow]) -> list[PlannedRequest]:
    """The requests that have no row yet. A request that ended without a reply has one: it is an outcome."""
    keys = {row_key(row) for row in done}
    return [each for each in requests if each.key not in keys]
