"""Probes, questions to a judge, and what is read from its replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import JudgeError
from harness.records.base import digest
from harness.records.data import Example, SplitExample
from harness.records.inputs import (
    AskInput,
    ContestInput,
    JudgeInput,
    ProbeInput,
    StageKey,
    StageName,
    StopRule,
)
from harness.records.rows import Generation, Reply, ReplyRow
from harness.records.seal import AskFacts
from harness.resolved import ResolvedJudge
from harness.store import ObjectWriter, Store
from harness.thoughts import graded

if TYPE_CHECKING:
    from judges.contest import Contest
    from judges.questions import PlannedRequest, RequestKey
    from judges.rubric import Rubric

from harness.stages.workshop import Workshop

PROBE_SEED = 0
"""Of the choice of other items' references."""


def make_probe(workshop: Workshop, probe: ProbeInput, writer: ObjectWriter) -> None:
    """Answers of known worth."""
    from judges.probes import probe_generations

    writer.replace_rows(probe_generations(graded_tests(workshop, probe.data), probe.items, PROBE_SEED))


def unchanged_rubric(judge: ResolvedJudge) -> Rubric:
    """The judge's rubric. Raises JudgeError where its file is no longer what the run was planned with."""
    from judges.rubric import load_rubric

    rubric = load_rubric(judge.rubric)
    if (rubric.prompt_sha256, rubric.parser_sha256) != (judge.prompt_sha256, judge.parser_sha256):
        raise JudgeError("the rubric changed since this run began", where=judge.rubric, hint="run again")
    return rubric


def make_replies(workshop: Workshop, ask: AskInput, writer: ObjectWriter) -> AskFacts:
    """Ask the judge whatever it has not been asked yet, for this object or one of fewer items; replies are kept."""
    from judges.ask import ask as put_questions
    from judges.bill import bill
    from judges.questions import judge_requests, pending

    resolved = asker(workshop, ask)
    rubric = unchanged_rubric(resolved)
    generations = workshop.generations(ask.generations)
    requests = judge_requests(
        rubric, graded_tests(workshop, ask.data), generations, ask, opponents(workshop, ask, generations)
    )
    kept: list[Any] = writer.kept_rows(ReplyRow)
    workshop.advance(len(kept))
    known = earlier_replies(workshop.store, ask)

    def on_reply(row: Any) -> None:
        writer.append([row])
        workshop.advance(1)

    def put(questions: Sequence[PlannedRequest]) -> None:
        left = taken_over(questions, lambda each: known.get(each.key), on_reply)
        if left:
            put_questions(
                workshop.judge(resolved),
                left,
                on_reply=on_reply,
                limits=resolved.spec.limits,
                budget=workshop.budget,
                price=resolved.price,
                name=digest(ask),
            )

    spared = 0
    if ask.stop is None:
        put(pending(requests, kept))
    else:
        spared = put_until_decided(workshop, ask.stop, rubric, resolved, requests, put, writer)
    return bill(writer.kept_rows(ReplyRow), resolved.price).model_copy(update={"spared": spared})


def put_until_decided(  # noqa: PLR0913 - what is asked, of whom, and what ends it
    workshop: Workshop,
    rule: StopRule,
    rubric: Rubric,
    resolved: ResolvedJudge,
    requests: Sequence[PlannedRequest],
    put: Callable[[Sequence[PlannedRequest]], None],
    writer: ObjectWriter,
) -> int:
    """Ask round by round; how many questions were never put because the answer was there before.

    Decided is by whole rounds that this run has been through: a killed run left part of a further one.
    """
    from harness.stages.stopping import Decision, rounds
    from judges.questions import RequestKey, pending, row_key

    decision = Decision.of(workshop, rule, rubric, expected=resolved.spec.expected_score)
    waiting, known = len(requests), set[RequestKey]()
    for questions in rounds(requests):
        put(pending(questions, writer.kept_rows(ReplyRow)))
        waiting -= len(questions)
        known |= {each.key for each in questions}
        if waiting and decision.made([row for row in writer.kept_rows(ReplyRow) if row_key(row) in known]):
            break
    return waiting


def make_contest(workshop: Workshop, contest: ContestInput, writer: ObjectWriter) -> AskFacts:
    """Ask about pairs, round by round; what any object of this judge holds already is not asked again."""
    from judges.ask import ask as put_questions
    from judges.bill import bill

    resolved = next(
        judge
        for judge in workshop.resolved.judges
        if asks_as(judge, contest) and judge.parser_sha256 == contest.parser_sha256
    )
    unchanged_rubric(resolved)
    games = contest_of(workshop.store, contest, resolved.rubric)
    known = given_replies(workshop.store, contest)

    def on_reply(row: Any) -> None:
        writer.append([row])
        workshop.advance(1)

    while (standing := games.standing(writer.kept_rows(ReplyRow))).missing:
        left = taken_over(standing.missing, lambda each: known.get(each.request.digest), on_reply)
        if left:
            put_questions(
                workshop.judge(resolved),
                left,
                on_reply=on_reply,
                limits=resolved.spec.limits,
                budget=workshop.budget,
                price=resolved.price,
                name=f"{digest(contest)}:{standing.rounds}",
            )
    return bill(writer.kept_rows(ReplyRow), resolved.price)


def contest_of(store: Store, contest: ContestInput, rubric: str) -> Contest:
    """The contest over the sealed answers."""
    from judges.contest import Contest
    from judges.rubric import load_rubric

    tests = [graded(row.example) for row in store.stream(StageKey(stage="data", digest=contest.data), SplitExample)
             if row.split == "test"]  # fmt: skip
    texts = [
        [
            {row.example_id: row.text for row in store.read(StageKey(stage="generate", digest=each), Generation)
             if row.sample == 0}
            for each in digests
        ]
        for digests in contest.contestants
    ]  # fmt: skip
    return Contest(contest, load_rubric(rubric), tests, texts)


def taken_over(
    questions: Sequence[PlannedRequest],
    known: Callable[[PlannedRequest], Reply | None],
    on_reply: Callable[[Reply], None],
) -> list[PlannedRequest]:
    """The questions that are still to be asked; `on_reply` gets the known replies to the others."""
    from judges.contest import known_already

    left = []
    for each in questions:
        reply = None if each.same else known(each)
        if reply is None:
            left.append(each)
        else:
            on_reply(known_already(each, reply))
    return left


def sealed_questions(store: Store) -> Iterator[tuple[StageKey, AskInput | ContestInput]]:
    """Every sealed object of a judge's replies; one whose spec this version cannot read is left out."""
    kinds: dict[StageName, type[AskInput | ContestInput]] = {"ask": AskInput, "contest": ContestInput}
    for stage, kind in kinds.items():
        for path in sorted(store.root.glob(f"objects/{stage}/*/spec.json")):
            key = StageKey(stage=stage, digest=path.parent.name)
            with suppress(ValidationError):
                asked = kind.model_validate_json(path.read_bytes())
                if store.is_sealed(key):
                    yield key, asked


def earlier_replies(store: Store, ask: AskInput) -> dict[RequestKey, Reply]:
    """By question, what was replied where the same was asked about other items, as often or not, or until decided.

    Probes of other items count as well.
    """
    from judges.questions import row_key

    def question(asked: AskInput) -> AskInput:
        probes = store.is_sealed(StageKey(stage="probe", digest=asked.generations))
        about = {"generations": "probes"} if probes else {}
        return asked.model_copy(update={"items": None, "repeats": 1, "stop": None, **about})

    wanted = question(ask)
    found: dict[RequestKey, Reply] = {}
    for key, other in sealed_questions(store):
        if isinstance(other, AskInput) and question(other) == wanted:
            row_type: Any = ReplyRow
            found |= {row_key(row): row for row in store.stream(key, row_type) if isinstance(row, Reply)}
    return found


def given_replies(store: Store, contest: ContestInput) -> dict[str, Reply]:
    """By request, what this judge has replied in any sealed object of the store."""
    identity = (contest.data, contest.backend, contest.model_identity, contest.prompt_sha256, contest.options)
    found: dict[str, Reply] = {}
    for key, asked in sealed_questions(store):
        if (asked.data, asked.backend, asked.model_identity, asked.prompt_sha256, asked.options) == identity:
            row_type: Any = ReplyRow
            found |= {row.request_digest: row for row in store.stream(key, row_type) if isinstance(row, Reply)}
    return found


def graded_tests(workshop: Workshop, data: str) -> list[Example]:
    """The test examples as judges see them."""
    return [graded(example) for example in workshop.tests(data)]


def opponents(workshop: Workshop, ask: AskInput, generations: list[Generation]) -> dict[tuple[str, int], str] | None:
    """What a pairwise rubric compares each answer with, by (example, sample); None for any other rubric."""
    if ask.against is None:
        return None
    if ask.against == "reference":
        texts = {example.id: example.output for example in graded_tests(workshop, ask.data)}
        return {(row.example_id, row.sample): texts[row.example_id] for row in generations if row.example_id in texts}
    return {(row.example_id, row.sample): row.text for row in workshop.generations(ask.against)}


def asks_as(judge: ResolvedJudge, ask: AskInput | ContestInput) -> bool:
    """Whether this judge of the matrix is the one whose questions these are."""
    mine = (judge.spec.backend, judge.model_identity, judge.prompt_sha256, judge.options)
    return mine == (ask.backend, ask.model_identity, ask.prompt_sha256, ask.options)


def asker(workshop: Workshop, ask: AskInput) -> ResolvedJudge:
    """The judge of the matrix whose questions these are; where its verdicts end the asking, the one that reads so."""
    mine = [judge for judge in workshop.resolved.judges if asks_as(judge, ask)]
    if ask.stop is None:
        return mine[0]
    spec = workshop.store.folder(StageKey(stage="judge", digest=ask.stop.judged)) / "spec.json"
    read = JudgeInput.model_validate_json(spec.read_bytes())
    reading = (read.parser_sha256, read.expected_score)
    return next(judge for judge in mine if (judge.parser_sha256, judge.spec.expected_score) == reading)


def make_judgments(workshop: Workshop, judge: JudgeInput, writer: ObjectWriter) -> None:
    """Read the replies, in the order of their questions."""
    from judges.parse import read_replies

    resolved = next(each for each in workshop.resolved.judges if each.parser_sha256 == judge.parser_sha256)
    rubric = unchanged_rubric(resolved)
    replies: list[Any] = workshop.store.read(StageKey(stage="ask", digest=judge.replies), ReplyRow)
    replies.sort(key=lambda row: (row.example_id, row.sample, row.repeat))
    writer.replace_rows(read_replies(replies, rubric, expected=judge.expected_score))
