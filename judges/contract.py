"""What every backend promises, as checks that anyone can run: `harness judges test NAME`, or a loop over CHECKS.

A check takes a Trial and raises Broken; its docstring says what is promised. They ask two dozen short questions: a paid
service costs next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.credentials import redact
from harness.errors import JudgeError
from harness.records.data import Example
from harness.records.rows import Reply
from judges.base import Answer, Judge, Options, Request, identity, load_judge
from judges.parse import parse
from judges.rubric import Rubric, load_rubric

ITEM = Example(id="denmark", instruction="Name the capital of Denmark.", output="Copenhagen")
ANSWERS = ("Copenhagen", "Oslo", "", "</answer> 哥本哈根 \x00 é 🙂")
MOST_AT_ONCE = 4


class Broken(Exception):
    """A promise that is not kept, and how."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A loaded backend, and the names by which it was loaded."""

    judge: Judge
    backend: str
    model: str
    options: Options

    def run(self, check: Check) -> str | None:
        """What is broken; None if nothing is."""
        try:
            check(self)
        except Broken as e:
            return str(e)
        except Exception as e:  # noqa: BLE001 - whatever a stranger's backend raises is the finding
            return redact(f"it raised {type(e).__name__}: {e}")
        return None

    def ask(self, answer: str = "Copenhagen", rubric: str = "correctness-5") -> Answer:
        """The backend's answer to one question of a built-in rubric."""
        return self.judge.answer(question(answer, rubric))


Check = Callable[[Trial], None]


def demand(kept: bool, otherwise: str) -> None:
    """Raises Broken with `otherwise` unless `kept`."""
    if not kept:
        raise Broken(otherwise)


def question(answer: str = "Copenhagen", rubric: str = "correctness-5") -> Request:
    """A short question as a matrix would ask it."""
    chosen = load_rubric(rubric)
    shown = chosen.user_message(ITEM, answer) if chosen.mode == "pointwise" else chosen.pair_message(ITEM, answer, "?")
    return Request(chosen.system, shown, chosen.schema_, chosen.max_tokens)


def failed_tests(rubric: Rubric) -> list[str]:
    """The rubric's own tests that its parser does not pass, each with what came instead."""
    problems = []
    for test in rubric.tests:
        reply = Reply(
            request_digest="", example_id="", sample=0, repeat=0, text=test.reply, finish_reason="stop",
            prompt_tokens=0, completion_tokens=0, seconds=0.0,
        )  # fmt: skip
        found = parse(reply, rubric)
        wanted = {"scored": test.value, "unparsed": test.unparsed, "refused": test.refused}.get(found.kind)
        said = found.value if found.kind == "scored" else found.reason
        if not (wanted == said or (isinstance(wanted, str) and wanted.casefold() in str(said).casefold())):
            problems.append(f"{test.reply!r} is read as {found.kind}: {said}")
    return problems


def check_identity(trial: Trial) -> None:
    """`identity` is text, the same each time, and does not hang on seed or temperature"""
    first = identity(trial.backend, trial.model, trial.options)
    demand(isinstance(first, str) and first != "", f"it is {first!r}")
    again = identity(trial.backend, trial.model, {**trial.options, "seed": 7, "temperature": 0.5})
    demand(again == first, f"{first!r}, then {again!r}")


def check_unknown_options(trial: Trial) -> None:
    """An option that it does not know is refused by name, with JudgeError, when planning and when loading"""
    for call in (identity, load_judge):
        try:
            call(trial.backend, trial.model, {**trial.options, "no_such_option": 1})
        except JudgeError as e:
            demand("no_such_option" in str(e), f"the message does not name it: {e}")
        else:
            raise Broken(f"{call.__name__} takes no_such_option")


def check_concurrency(trial: Trial) -> None:
    """`concurrency` is a whole number, 1 or more"""
    found = trial.judge.concurrency
    demand(isinstance(found, int), f"it is {found!r}")
    demand(found >= 1, f"it is {found}")


def check_answers(trial: Trial) -> None:
    """It answers a question about any text: empty, foreign, with control characters and markup"""
    for answer in ANSWERS:
        reply = trial.ask(answer)
        demand(isinstance(reply, Answer), f"a {type(reply).__name__} instead of an Answer")
        demand(isinstance(reply.text, str), "its text is no str")
        demand(reply.finish_reason != "", "it gives no finish reason")


def check_usage(trial: Trial) -> None:
    """It counts tokens: money and limits are reckoned by them"""
    reply = trial.ask()
    demand(reply.prompt_tokens > 0, "no prompt tokens")
    demand(reply.completion_tokens > 0, "no completion tokens")
    longer = trial.ask("Copenhagen, which has been the capital of Denmark for many centuries. " * 4)
    demand(longer.prompt_tokens > reply.prompt_tokens, "a longer question counts no more tokens")


def check_schema(trial: Trial) -> None:
    """A reply to a question with a JSON schema can be read by its rubric"""
    for name in ("correctness-5", "grades-3", "pairwise", "checklist"):
        reply = trial.ask(rubric=name)
        row = Reply(
            request_digest="", example_id="", sample=0, repeat=0, text=reply.text, finish_reason=reply.finish_reason,
            prompt_tokens=0, completion_tokens=0, seconds=0.0,
        )  # fmt: skip
        found = parse(row, load_rubric(name))
        demand(found.kind == "scored", f"{name}: {found.kind}: {json.dumps(reply.text, ensure_ascii=False)[:200]}")


def check_length(trial: Trial) -> None:
    """It stops at `max_tokens`"""
    reply = trial.judge.answer(Request("You are talkative.", "Tell a long story.", None, max_tokens=8))
    demand(reply.completion_tokens <= 9, f"{reply.completion_tokens} tokens where 8 were asked for")


def check_logprobs(trial: Trial) -> None:
    """Log-probabilities, where it gives any, are at most 0, likeliest first, and lie on the reply's tokens"""
    reply = trial.ask()
    for token in reply.tokens:
        values = [each.logprob for each in token.candidates]
        demand(values == sorted(values, reverse=True), f"not sorted at {token.text!r}")
        demand(all(value <= 1e-6 for value in values), f"above 0 at {token.text!r}")
    if reply.tokens:
        joined = "".join(token.text for token in reply.tokens).strip()
        demand(joined in reply.text or reply.text.strip() in joined, f"tokens {joined!r}, text {reply.text!r}")


def check_threads(trial: Trial) -> None:
    """At temperature 0 it says the same to the same question, in any order and company"""
    questions = [question(f"{word} {n}") for n in range(2) for word in ("Copenhagen", "Oslo")]
    alone = [trial.judge.answer(each).text for each in questions]
    with ThreadPoolExecutor(min(trial.judge.concurrency, MOST_AT_ONCE)) as pool:
        together = [each.text for each in pool.map(trial.judge.answer, reversed(questions))]
    differing = sum(a != b for a, b in zip(alone, together[::-1], strict=True))
    demand(not differing, f"{differing} of {len(questions)} replies differ")


CHECKS: tuple[Check, ...] = (
    check_identity,
    check_unknown_options,
    check_concurrency,
    check_answers,
    check_usage,
    check_schema,
    check_length,
    check_logprobs,
)
"""What every backend must keep."""

WISHES: tuple[Check, ...] = (check_threads,)
"""What is good to have and cannot be had of every server; where it is not so, ask with repeats."""
