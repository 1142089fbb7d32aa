"""People as judges: what they are shown, in which order, and what a key means. Their ratings are replies like any.

Blind: a question names no variant; the questions about all variants come in one order, shuffled anew for each rater;
answers that are one text are shown once; of a pair, chance decides which stands first.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.data import Example
from harness.records.inputs import AskInput
from harness.records.rows import Generation, Reply
from harness.store import PEOPLE
from judges.questions import Place, PlannedRequest, choose_items, judge_requests
from judges.rubric import ChecklistParser, IntegerParser, JsonParser, LabelParser, Rubric

MOST_KEYS = 10
"""Up to so many grades, each has a key of its own: 1 to 9, and 0 for ten."""


def rating_input(rater: str, rubric: Rubric, generations: str, data: str, against: str) -> AskInput:
    """The object of one rater's ratings of one variant. Digests; `against`: the opponent of a pairwise rubric."""
    return AskInput(
        generations=generations,
        data=data,
        backend=PEOPLE,
        model_identity=f"{PEOPLE}:{rater}",
        prompt_sha256=rubric.prompt_sha256,
        against=against if rubric.mode == "pairwise" else None,
    )


def rater_of(asked: AskInput) -> str:
    """Whose ratings an object holds."""
    return asked.model_identity.removeprefix(f"{PEOPLE}:")


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one rater is asked about one variant. `texts`: of each place the answer, or both as they are shown."""

    requests: tuple[PlannedRequest, ...]
    texts: Mapping[Place, tuple[str, ...]]


def sheet(
    asked: AskInput,
    rubric: Rubric,
    examples: Sequence[Example],
    generations: Iterable[Generation],
    others: Mapping[Place, str] | None,
) -> Sheet:
    """The questions of one object; of a pair, one of the two orders."""
    generations = list(generations)
    requests = judge_requests(rubric, examples, generations, asked, others)
    texts: dict[Place, tuple[str, ...]] = {(row.example_id, row.sample): (row.text,) for row in generations}
    if rubric.mode == "pairwise" and others is not None:
        rater = rater_of(asked)
        requests = [each for each in requests if each.repeat == _first(rater, (each.example_id, each.sample))]
        for place, (ours,) in texts.items():
            shown = (ours, others.get(place, ""))
            texts[place] = shown if _first(rater, place) == 0 else shown[::-1]
    return Sheet(tuple(requests), texts)


def _first(rater: str, place: Place) -> int:
    """0 or 1 by lot, the same whenever the rater comes back."""
    return hashlib.sha256(f"{rater}:{place[0]}:{place[1]}".encode()).digest()[0] % 2


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to rate, and where the rating belongs: (sheet, request) of every variant that gave this answer.

    `texts`: the answer, or the two of a pair in the order in which they are shown.
    """

    places: tuple[tuple[int, PlannedRequest], ...]
    example: Example
    texts: tuple[str, ...]

    @property
    def example_id(self) -> str:
        """The item."""
        return self.example.id

    def parts(self, rubric: Rubric) -> list[tuple[str, str]]:
        """(title, text) of all that the rater sees; the reference only where the rubric's judges see it."""
        asked = [("instruction", self.example.instruction), ("input", self.example.input)]
        asked += [("reference", self.example.output)] if rubric.shows_reference else []
        titles = ("answer to rate",) if len(self.texts) == 1 else ("answer A", "answer B")
        return [*((title, text) for title, text in asked if text), *zip(titles, self.texts, strict=True)]


def questions(sheets: Sequence[Sheet], examples: Sequence[Example], rater: str, items: int | None) -> list[Question]:
    """All that a rater is to be shown, in the rater's own order. `items`: only so many items, the same for everyone."""
    chosen = {example.id: example for example in choose_items(examples, items)}
    same: dict[str, list[tuple[int, PlannedRequest]]] = {}
    for index, each in enumerate(sheets):
        for request in each.requests:
            if request.example_id in chosen and not request.same:
                same.setdefault(request.request.digest, []).append((index, request))
    found = []
    for _, places in sorted(same.items()):
        index, first = places[0]
        texts = sheets[index].texts[(first.example_id, first.sample)]
        found.append(Question(tuple(places), chosen[first.example_id], texts))
    random.Random(f"order:{rater}").shuffle(found)  # noqa: S311
    return found


# ---------------------------------------------------------------- what a rater says


RESERVED = {"q", "s", "u", "c", "r"}
"""Quit, skip and undo; c and r are Streamlit's own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A key and what it means: the reply's text, and words for the rater."""

    key: str
    reply: str
    words: str


def choices(rubric: Rubric) -> tuple[Choice, ...] | None:
    """The keys of a rubric; None where a number or several answers are typed (see `typed`)."""
    parser, scale = rubric.parser, rubric.scale
    if isinstance(parser, LabelParser):
        keys = _label_keys(list(parser.labels))
        return tuple(Choice(key, _reply({parser.key or "grade": label}), label) for key, label in keys.items())
    if isinstance(parser, ChecklistParser) or not 0 <= scale.low < scale.high <= MOST_KEYS:
        return None
    if scale.low == 0 and scale.high == MOST_KEYS:
        return None
    return tuple(Choice(str(n % MOST_KEYS), _number(rubric, n), str(n)) for n in range(scale.low, scale.high + 1))


LONGEST_NUMBER = 9
"""Digits; Python refuses to read thousands of them."""


def typed(rubric: Rubric, line: str) -> str | None:
    """The reply's text for a typed line: a number of the scale, or y and n for each question of a checklist, in order.

    None for a line that means nothing.
    """
    line = line.strip().lower()
    if isinstance(rubric.parser, ChecklistParser):
        said = line.replace(" ", "").replace(",", "")
        if len(said) != len(rubric.parser.keys) or set(said) - {"y", "n"}:
            return None
        return _reply({key: letter == "y" for key, letter in zip(rubric.parser.keys, said, strict=True)})
    digits = line.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER):
        return None
    if not rubric.scale.low <= int(line) <= rubric.scale.high:
        return None
    return _number(rubric, int(line))


def reply_of(planned: PlannedRequest, text: str, seconds: float) -> Reply:
    """A rating as a row. `seconds`: what the rater took."""
    return Reply(
        request_digest=planned.request.digest,
        example_id=planned.example_id,
        sample=planned.sample,
        repeat=planned.repeat,
        text=text,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
        seconds=seconds,
    )


def _label_keys(labels: list[str]) -> dict[str, str]:
    """A label's first letter where it tells it from the others, else numbers."""
    letters = {label[0].lower(): label for label in labels}
    reserved = RESERVED & set(letters)
    if len(letters) == len(labels) and not reserved:
        return letters
    return {str(place): label for place, label in enumerate(labels, 1)}


def _number(rubric: Rubric, value: int) -> str:
    if isinstance(rubric.parser, IntegerParser):
        return str(value)
    assert isinstance(rubric.parser, JsonParser)  # noqa: S101 - the parsers that are left
    return _reply({rubric.parser.key: value})


def _reply(content: Mapping[str, str | int | bool]) -> str:
    return json.dumps(content, ensure_ascii=False)
