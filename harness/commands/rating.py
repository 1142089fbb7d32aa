"""`harness rate`: people rate a matrix's answers, blind, in the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.parsing import Commands, add_matrix, positive, prepared

if TYPE_CHECKING:
    from harness.records.plan import Plan
    from harness.records.variant import Variant
    from harness.store import ObjectWriter, Store
    from judges.questions import PlannedRequest
    from judges.ratings import Question, Sheet
    from judges.rubric import Rubric


def add(commands: Commands) -> None:
    """Add it to the parser."""
    rate_ = commands.add("rate", rate, "rate a finished matrix's answers yourself: blind, one key each", on_store=True)
    add_matrix(rate_)
    rate_.add_argument("--rater", metavar="NAME", help="who rates; each rater has an order and ratings of their own")
    rate_.add_argument("--rubric", default="correctness-5", help="a built-in rubric or a YAML file; also pairwise")
    rate_.add_argument("--items", type=positive, metavar="N", help="rate only N test items, the same for every rater")
    rate_.add_argument("--agreement", action="store_true", help="show only how raters and judges agree")


@dataclass(frozen=True, slots=True)
class Book:
    """The open objects of one rater, one a sheet."""

    writers: Sequence[ObjectWriter]

    def keep(self, question: Question, text: str, seconds: float) -> None:
        """Write a rating wherever it belongs and is not yet."""
        from judges.ratings import reply_of

        for place, planned in self.unrated(question):
            self.writers[place].append([reply_of(planned, text, seconds)])

    def unrated(self, question: Question) -> list[tuple[int, PlannedRequest]]:
        """The places of a question that have no rating."""
        from judges.questions import pending

        return [(place, each) for place, each in question.places if pending([each], self.rows(place))]

    def drop(self, question: Question) -> None:
        """Take a rating back."""
        for place, planned in question.places:
            if self.writers[place].seal is not None:
                continue
            rows = self.rows(place)
            self.writers[place].replace_rows(row for row in rows if row.request_digest != planned.request.digest)

    def rows(self, place: int) -> list[Any]:
        """What a sheet holds so far."""
        from harness.records.rows import ReplyRow

        reply_type: Any = ReplyRow
        rows: list[Any] = self.writers[place].kept_rows(reply_type)
        return rows


def rate(arguments: argparse.Namespace) -> int:
    """`harness rate`."""
    from rich.console import Console

    from harness.errors import HarnessError
    from harness.raters import agreements_with_people
    from harness.resolve import rubric_name
    from harness.store import Store
    from harness.variants import opponent
    from judges.rubric import load_rubric
    from reports.trust_table import print_agreement

    spec, plan, _, _ = prepared(arguments.matrix)
    store, console = Store(arguments.store), Console()
    if not arguments.agreement:
        if not arguments.rater:
            raise HarnessError("nobody is named as the rater", hint="--rater anna")
        rubric = load_rubric(rubric_name(arguments.rubric, Path(arguments.matrix)))
        rate_answers(plan, opponent(spec), store, rubric, arguments.rater, arguments.items, console)
    print_agreement(agreements_with_people(plan, store), console)
    return 0


def rate_answers(  # noqa: PLR0913 - a sitting's whole surroundings
    plan: Plan, rival: Variant, store: Store, rubric: Rubric, rater: str, items: int | None, console: Any
) -> None:
    """One sitting of one rater. Every rating is on disk before the next question is shown."""
    from harness.records.data import SplitExample
    from judges.questions import pending
    from judges.rating_desk import Desk, keyboard
    from judges.ratings import questions

    tests = [row.example for row in store.stream(plan.data, SplitExample) if row.split == "test"]
    with ExitStack() as open_ones:
        sheets, writers = opened(plan, rival, store, rubric, rater, tests, open_ones)
        book = Book(writers)
        every = questions(sheets, tests, rater, items)
        left = [each for each in every if book.unrated(each)]
        Desk(rubric, console, keyboard, book.keep, book.drop).rate(left, len(every) - len(left))
        for place, each in enumerate(sheets):
            asked = [request for request in each.requests if not request.same]
            if writers[place].seal is None and asked and not pending(asked, book.rows(place)):
                writers[place].finish()


def opened(  # noqa: PLR0913 - a sitting's whole surroundings
    plan: Plan, rival: Variant, store: Store, rubric: Rubric, rater: str, tests: list[Any], open_ones: ExitStack
) -> tuple[list[Sheet], list[ObjectWriter]]:
    """A sheet and an open object for every variant that has answered. Raises HarnessError where none has."""
    from harness.errors import HarnessError
    from harness.records.rows import Generation
    from harness.store import planned
    from judges.ratings import rating_input, sheet

    pairwise = rubric.mode == "pairwise"
    same = [each for each in plan.variants if (each.variant.cell, each.variant.seed) == (rival.cell, rival.seed)]
    against = same[0].generate
    answered = [each.generate for each in plan.variants if store.sealed(each.generate) is not None]
    if pairwise:
        theirs = {each.generate for each in same}
        answered = [key for key in answered if key not in theirs] if theirs <= set(answered) else []
    if not answered:
        raise HarnessError("there is nothing to rate yet", hint="`harness run` trains and answers first")
    others = None
    if pairwise:
        rows = [row for each in same for row in store.read(each.generate, Generation)]
        others = {(row.example_id, row.sample): row.text for row in rows}
    sheets, writers = [], []
    for key in answered:
        asked = rating_input(rater, rubric, key.digest, plan.data.digest, against.digest)
        writers.append(open_ones.enter_context(store.making(planned(asked), announce=print)))
        sheets.append(sheet(asked, rubric, tests, store.read(key, Generation), others))
    return sheets, writers
