"""People as judges: blind and shuffled questions, keys, going back, and what is kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.raters import ratings
from harness.records.data import Example
from harness.records.inputs import StageKey
from harness.records.plan import Plan, VariantPlan
from harness.records.rows import Generation, Reply
from harness.records.variant import Variant
from harness.sitting import Sitting
from harness.store import Store
from judges.base import load_judge
from judges.parse import parse
from judges.rating_desk import Desk
from judges.ratings import Question, Sheet, choices, questions, rating_input, reply_of, sheet, typed
from judges.rubric import Rubric, Scale, known_rubrics, load_rubric

EXAMPLES = [Example(id=f"e{n}", instruction=f"Say {n}.", output=f"{n}") for n in range(30)]
FIVE, PAIR = load_rubric("correctness-5"), load_rubric("pairwise")


def answers(text: str) -> list[Generation]:
    return [
        Generation(
            example_id=each.id, sample=0, text=text.format(each.output), finish_reason="eos", tokens=1, seconds=0
        )
        for each in EXAMPLES
    ]


def sheets(rater: str, *texts: str, rubric: Any = FIVE, others: str | None = None) -> list[Sheet]:
    rivals = None if others is None else {(each.example_id, 0): each.text for each in answers(others)}
    return [
        sheet(rating_input(rater, rubric, text, "data", "rival"), rubric, EXAMPLES, answers(text), rivals)
        for text in texts
    ]


def test_each_rater_has_an_order_and_comes_back_to_it() -> None:
    anna = [questions(sheets("anna", "It is {}.", "{}!"), EXAMPLES, "anna", None) for _ in range(2)]
    ben = questions(sheets("ben", "It is {}.", "{}!"), EXAMPLES, "ben", None)
    assert anna[0] == anna[1]
    assert [each.example_id for each in anna[0]] != [each.example_id for each in ben]
    assert sorted(each.example_id for each in anna[0]) == sorted(each.example_id for each in ben)
    variants = [each.places[0][0] for each in anna[0]]
    assert variants != sorted(variants), "variants are mixed"


def test_equal_answers_are_shown_once_and_count_for_each_variant() -> None:
    found = questions(sheets("anna", "It is {}.", "It is {}."), EXAMPLES, "anna", None)
    assert len(found) == 30
    assert all([place for place, _ in each.places] == [0, 1] for each in found)


def test_a_number_of_items_is_the_same_for_everyone_and_grows() -> None:
    few, more = (
        {each.example_id for each in questions(sheets(rater, "{}"), EXAMPLES, rater, items)}
        for rater, items in (("anna", 5), ("ben", 9))
    )
    assert len(few) == 5
    assert few < more


def test_of_a_pair_chance_decides_which_stands_first_and_equal_ones_are_not_shown() -> None:
    found = questions(sheets("anna", "{} a", rubric=PAIR, others="{} b"), EXAMPLES, "anna", None)
    orders = {planned.repeat for each in found for _, planned in each.places}
    assert orders == {0, 1}
    assert len(found) == 30
    for each in found:
        [(_, planned)] = each.places
        row = reply_of(planned, '{"better": "A"}', 1.0)
        judgment = parse(row, PAIR)
        assert judgment.kind == "scored"
        assert judgment.value == (100 if planned.repeat == 0 else 0), "A is ours in the one order, theirs in the other"
    assert not questions(sheets("anna", "{} a", rubric=PAIR, others="{} a"), EXAMPLES, "anna", None)


@pytest.mark.parametrize("name", known_rubrics())
def test_every_rating_is_a_reply_that_its_rubric_reads(name: str) -> None:
    rubric = load_rubric(name)
    keys = choices(rubric)
    lines = {"checklist": ["yyn", "y, n, n"]}.get(rubric.parser.kind, [str(rubric.scale.low), str(rubric.scale.high)])
    texts = [each.reply for each in keys] if keys else [typed(rubric, line) for line in lines]
    [planned] = sheets("a", "{}", rubric=FIVE)[0].requests[:1]
    for text in texts:
        assert text is not None
        assert parse(reply_of(planned, text, 1.0), rubric).kind == "scored", text
    if keys:
        assert len({each.key for each in keys}) == len(keys)
        assert not {"q", "u", "s"} & {each.key for each in keys}


def test_of_a_pair_the_keys_are_a_b_and_t() -> None:
    assert {each.key: each.words for each in choices(PAIR) or ()} == {"a": "A", "b": "B", "t": "tie"}


def test_what_means_nothing_is_not_taken() -> None:
    assert [typed(load_rubric("book-100"), line) for line in ("101", "-1", "7.5", "good", "", "²", "9" * 5000)] == [
        None
    ] * 7
    assert typed(load_rubric("book-100"), " 85 ") == "85"
    below = FIVE.model_copy(update={"scale": Scale(low=-2, high=2)})
    assert [typed(below, line) for line in ("-1", "2", "-3", "--1", "-", "1-")] == [
        '{"score": -1}', '{"score": 2}', None, None, None, None
    ]  # fmt: skip
    assert [typed(load_rubric("checklist"), line) for line in ("yy", "yyyy", "yxn")] == [None] * 3


def sit(said: Iterable[str], n: int = 5) -> tuple[list[tuple[str, str]], str]:
    """(example, reply) as they stand at the end, and what was on the screen."""
    kept: dict[str, str] = {}
    answers_left = iter(said)

    def read(single: bool) -> str:
        assert single, "a grade is one key"
        try:
            return next(answers_left)
        except StopIteration:
            raise EOFError from None

    screen = Console(file=io.StringIO(), width=100, force_terminal=False)
    left: list[Question] = questions(sheets("anna", "It is {}."), EXAMPLES, "anna", None)[:n]
    desk = Desk(
        FIVE,
        screen,
        read,
        lambda question, text, seconds: kept.update({question.example_id: text}),
        lambda question: kept.pop(question.example_id, None),  # type: ignore[arg-type, return-value]
    )
    desk.rate(left, 0)
    shown: Any = screen.file
    return list(kept.items()), shown.getvalue()


def test_keys_rate_go_back_skip_and_leave() -> None:
    kept, shown = sit(["x", "9", "4", "2", "u", "5", "s", "1", "q", "3"])
    assert [text for _, text in kept] == ['{"score": 4}', '{"score": 5}', '{"score": 1}']
    assert "3 rated now, 3 of 5 in all" in shown
    assert "answer to rate" in shown
    assert "anna" not in shown, "nothing says whose answer it is"


def test_only_ratings_that_are_kept_are_counted() -> None:
    kept, shown = sit(["4", "s", "u", "q"])
    assert len(kept) == 1
    assert "1 rated now, 1 of 5 in all" in shown
    kept, shown = sit(["4", "u", "q"])
    assert not kept
    assert "0 rated now, 0 of 5 in all" in shown


def test_a_terminal_that_is_closed_leaves_what_was_rated() -> None:
    kept, _ = sit(["4", "2"])
    assert len(kept) == 2


def sitting(store: Store, rubric: Rubric, against: str = "rival") -> Sitting:
    objects = (rating_input("anna", rubric, "It is {}.", "data", against),)
    sheets_ = tuple(sheets("anna", "It is {}.", rubric=rubric, others=against))
    return Sitting(store, rubric, "anna", objects, sheets_, tuple(questions(sheets_, EXAMPLES, "anna", 3)), [set()])


def plan_of(*generations: str) -> Plan:
    variants = tuple(
        VariantPlan(
            variant=Variant(model="m", prompt_style="alpaca", method="full", masking="prompt", seed=seed),
            base=None, train=None, generate=StageKey(stage="generate", digest=digest),
            scores={}, asks={}, judgments={},
        )
        for seed, digest in enumerate(generations)
    )  # fmt: skip
    data = StageKey(stage="data", digest="data")
    return Plan(matrix="m", matrix_digest="d", data=data, stages=(), variants=variants, judges=())


def test_ratings_by_a_rubric_that_no_judge_uses_count(tmp_path: Path) -> None:
    mine = Rubric.model_validate({**FIVE.model_dump(by_alias=True), "system": "My own words."})
    store = Store(tmp_path)
    one = sitting(store, mine)
    for question in one.left():
        one.keep(question, '{"score": 4}', 1.0)
    [found] = ratings(plan_of("It is {}."), store)
    assert found.name == f"anna (rubric {mine.prompt_sha256[:8]})"
    assert set(found.scores.values()) == {4.0}
    assert len(found.scores) == 3


def test_a_question_of_another_version_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = sitting(store, FIVE)
    for question in one.left():
        one.keep(question, '{"score": 4}', 1.0)
    strange = store.folder(StageKey(stage="ask", digest="0" * 64))
    strange.mkdir()
    (strange / "spec.json").write_text('{"stage": "ask", "of": "another version"}')
    assert len(ratings(plan_of("It is {}."), store)) == 1


def test_pairs_with_a_former_opponent_do_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for against, said in (("old", "A"), ("new", "tie")):
        one = sitting(store, PAIR, against)
        for question in one.left():
            one.keep(question, f'{{"better": "{said}"}}', 1.0)
    [found] = ratings(plan_of("It is {}."), store, against=StageKey(stage="generate", digest="new"))
    assert set(found.scores.values()) == {(PAIR.scale.low + PAIR.scale.high) / 2}


def test_going_back_to_what_was_skipped_takes_no_earlier_rating_away(tmp_path: Path) -> None:
    """The same answer of another variant was rated in an earlier sitting."""
    store = Store(tmp_path)
    earlier = sitting(store, FIVE)
    for question in earlier.left():
        earlier.keep(question, '{"score": 4}', 1.0)
    both = tuple(sheets("anna", "It is {}.")) * 2
    objects = (*earlier.objects, rating_input("anna", FIVE, "another", "data", "rival"))
    asked = tuple(questions(both, EXAMPLES, "anna", 3))
    later = Sitting(store, FIVE, "anna", objects, both, asked, [*earlier.rated, set()])
    plan, first = plan_of("It is {}.", "another"), later.left()[0]
    later.drop(first)
    assert len(ratings(plan, store)[0].scores) == 3
    later.keep(first, '{"score": 2}', 1.0)
    assert len(ratings(plan, store)[0].scores) == 4
    later.drop(first)
    assert len(ratings(plan, store)[0].scores) == 3


def test_people_are_no_backend_of_a_matrix() -> None:
    with pytest.raises(Exception, match="harness rate"):
        load_judge("human", "anna", {})


def test_a_rating_is_a_row_like_any_other() -> None:
    [planned] = sheets("anna", "{}")[0].requests[:1]
    row = reply_of(planned, '{"score": 4}', 2.5)
    assert isinstance(row, Reply)
    assert (row.request_digest, row.seconds, row.prompt_tokens) == (planned.request.digest, 2.5, 0)
