"""One rater at work on a matrix: what is left to rate, and where each rating is kept. Terminal and page share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.records.data import SplitExample
from harness.records.inputs import AskInput, StageKey
from harness.records.plan import Plan
from harness.records.rows import Generation, ReplyRow
from harness.spec.matrix import MatrixSpec
from harness.store import Store, planned
from harness.thoughts import graded
from harness.variants import opponent

if TYPE_CHECKING:
    from judges.questions import PlannedRequest, RequestKey
    from judges.ratings import Choice, Question, Sheet
    from judges.rubric import Rubric

ROW: Any = ReplyRow


@dataclass(slots=True)
class Sitting:
    """Questions in the rater's order. An object is held only while a rating is written: two windows may be open."""

    store: Store
    rubric: Rubric
    rater: str
    objects: tuple[AskInput, ...]
    sheets: tuple[Sheet, ...]
    questions: tuple[Question, ...]
    rated: list[set[RequestKey]] = field(default_factory=list)
    """Keys of the requests that have a rating, by sheet."""
    given: set[tuple[int, RequestKey]] = field(default_factory=set)
    """(sheet, key) of the ratings of this sitting."""

    def left(self) -> list[Question]:
        """What has no rating yet, in order."""
        return [each for each in self.questions if self._unrated(each)]

    def keep(self, question: Question, text: str, seconds: float) -> None:
        """Write a rating wherever it belongs and is not yet; it is on disk when this returns."""
        from harness.raters import keep_rubric
        from judges.questions import pending
        from judges.ratings import reply_of

        for place, request in self._unrated(question):
            with self.store.making(planned(self.objects[place])) as writer:
                if pending([request], writer.kept_rows(ROW)):
                    keep_rubric(writer.folder, self.rubric)
                    writer.append([reply_of(request, text, seconds)])
                    self.given.add((place, request.key))
            self.rated[place].add(request.key)

    def drop(self, question: Question) -> None:
        """Take a rating of this sitting back. One that is sealed stays."""
        for place, request in question.places:
            if (place, request.key) not in self.given:
                continue
            with self.store.making(planned(self.objects[place])) as writer:
                if writer.seal is None:
                    kept = writer.kept_rows(ROW)
                    writer.replace_rows(row for row in kept if row.request_digest != request.request.digest)
                    self.rated[place].discard(request.key)
                    self.given.discard((place, request.key))

    def finish(self) -> None:
        """Seal the objects of which nothing is left to rate."""
        for place, sheet in enumerate(self.sheets):
            asked = {request.key for request in sheet.requests if not request.same}
            if asked and asked <= self.rated[place]:
                with self.store.making(planned(self.objects[place])) as writer:
                    if writer.seal is None:
                        writer.finish()

    def choices(self) -> tuple[Choice, ...] | None:
        """The keys of the rubric; None where something longer is typed."""
        from judges.ratings import choices

        return choices(self.rubric)

    def typed(self, line: str) -> str | None:
        """The rating that a typed line means; None for one that means nothing."""
        from judges.ratings import typed

        return typed(self.rubric, line)

    def _unrated(self, question: Question) -> list[tuple[int, PlannedRequest]]:
        return [(place, request) for place, request in question.places if request.key not in self.rated[place]]


def sit_down(  # noqa: PLR0913 - a sitting's whole surroundings
    plan: Plan, against: StageKey, store: Store, rubric: Rubric, rater: str, items: int | None = None
) -> Sitting:
    """A rater's sitting, where it was left.

    `against`: the answers that a pairwise rubric compares with (`opponent_of`); `items`: only so many items.

    Raises HarnessError where no variant has answered yet.
    """
    from harness.raters import whole_rows
    from judges.ratings import questions, rating_input, sheet

    answered = answered_by(plan, against, store, pairwise=rubric.mode == "pairwise")
    others = None
    if rubric.mode == "pairwise":
        theirs = [row for key in opponents(plan, against) for row in store.read(key, Generation)]
        others = {(row.example_id, row.sample): row.text for row in theirs}
    tests = [graded(row.example) for row in store.stream(plan.data, SplitExample) if row.split == "test"]
    objects = [rating_input(rater, rubric, key.digest, plan.data.digest, against.digest) for key in answered]
    sheets = [
        sheet(asked, rubric, tests, store.read(key, Generation), others)
        for asked, key in zip(objects, answered, strict=True)
    ]
    rated = []
    for asked in objects:
        rows = whole_rows(store.folder(planned(asked).key) / "rows.jsonl")
        rated.append({(row.request_digest, row.example_id, row.sample, row.repeat) for row in rows})
    every = questions(sheets, tests, rater, items)
    return Sitting(store, rubric, rater, tuple(objects), tuple(sheets), tuple(every), rated)


def opponent_of(spec: MatrixSpec, plan: Plan) -> StageKey:
    """The answers of the one whom pairwise judges compare every variant with."""
    rival = opponent(spec)
    return next(each.generate for each in plan.variants if each.variant == rival)


def opponents(plan: Plan, against: StageKey) -> list[StageKey]:
    """The answers of that variant in every fold."""
    one = next(each.variant for each in plan.variants if each.generate == against)
    return [each.generate for each in plan.variants if (each.variant.cell, each.variant.seed) == (one.cell, one.seed)]


def answered_by(plan: Plan, against: StageKey, store: Store, *, pairwise: bool) -> list[StageKey]:
    """Answers that can be rated. Raises HarnessError where there are none yet."""
    answered = [each.generate for each in plan.variants if store.sealed(each.generate) is not None]
    if pairwise:
        theirs = set(opponents(plan, against))
        answered = [key for key in answered if key not in theirs] if theirs <= set(answered) else []
    if not answered:
        raise HarnessError("there is nothing to rate yet", hint="`harness run` trains and answers first")
    return list(dict.fromkeys(answered))


def rubric_of(name: str) -> Rubric:
    """A rubric by name or path, for pages, which know no judges. Raises JudgeError."""
    from judges.rubric import load_rubric

    return load_rubric(name)
