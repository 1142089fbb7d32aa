"""The backend that scores by likelihood: against transformers' own logits, without any cache and one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import HarnessError
from judges.base import Judge, Request, RequestFailed, identity, load_judge
from judges.contract import CHECKS, Trial, question
from judges.parse import parse
from judges.rubric import load_rubric
from judges.transformers_judge import spelled_out
from tests.unit.test_judge_parse import reply


@pytest.fixture(scope="module")
def judge(tiny_folder: Path) -> Iterator[Judge]:
    loaded = load_judge("transformers", str(tiny_folder), {})
    yield loaded
    loaded.close()


def test_the_contract(judge: Judge, tiny_folder: Path) -> None:
    trial = Trial(judge, "transformers", str(tiny_folder), {})
    problems = {check.__name__: trial.run(check) for check in CHECKS}
    assert not {name: problem for name, problem in problems.items() if problem}


def alone(folder: Path, prompt: str, verdict: str, *, end: bool) -> float:
    """Log-probability of a verdict after a prompt, by one forward pass over both."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    before = tokenizer(prompt).input_ids
    opening = tokenizer('{"score": ', add_special_tokens=False).input_ids if not end else []
    said = tokenizer(verdict, add_special_tokens=False).input_ids + ([tokenizer.eos_token_id] if end else [])
    ids = torch.tensor([[*before, *opening, *said]])
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(ids).logits[0].double(), -1)
    start = len(before) + len(opening)
    return sum(float(logprobs[start + place - 1, token]) for place, token in enumerate(said))


@pytest.mark.parametrize(
    ("rubric", "end", "low", "high"), [("correctness-5", False, 1, 5), ("correctness-100", True, 0, 100)]
)
def test_verdicts_are_weighed_by_the_models_own_likelihood(
    judge: Judge, tiny_folder: Path, rubric: str, end: bool, low: int, high: int
) -> None:
    asked = question(rubric=rubric)
    answer = judge.answer(asked)
    [verdict] = [token for token in answer.tokens if token.candidates]
    found = {int(each.token): each.logprob for each in verdict.candidates}
    assert sorted(found) == list(range(low, high + 1))
    assert math.fsum(map(math.exp, found.values())) == pytest.approx(1)
    prompt = "\n\n".join(filter(None, (asked.system, asked.user))) + "\n\n"
    picked = [low, high, low + 1]
    theirs = [alone(tiny_folder, prompt, str(value) if end else f"{value}}}", end=end) for value in picked]
    differences = [found[value] - value_ for value, value_ in zip(picked, theirs, strict=True)]
    assert differences == pytest.approx([differences[0]] * 3, abs=1e-4), "they differ by the scaling only"
    assert int(verdict.text) == max(found, key=lambda value: found[value])


def test_the_expected_score_is_the_mean_over_all_verdicts(judge: Judge) -> None:
    answer = judge.answer(question())
    row = reply(answer.text, answer.finish_reason).model_copy(update={"tokens": answer.tokens})
    found = parse(row, load_rubric("correctness-5"), expected=True)
    weighed = [int(each.token) * math.exp(each.logprob) for each in answer.tokens[1].candidates]
    assert found.kind == "scored"
    assert found.value == pytest.approx(math.fsum(weighed))


@pytest.mark.parametrize("rubric", ["correctness-100", "book-100"])
def test_a_temperature_draws_by_seed(judge: Judge, rubric: str) -> None:
    """Whether the verdicts can be spelled out or not."""
    asked = question(rubric=rubric)
    before = torch.random.get_rng_state()
    draws = [judge.answer(Request(asked.system, asked.user, asked.schema, 8, 1.0, seed)).text for seed in range(8)]
    again = [judge.answer(Request(asked.system, asked.user, asked.schema, 8, 1.0, seed)).text for seed in range(8)]
    assert draws == again
    assert len(set(draws)) > 2
    assert torch.equal(torch.random.get_rng_state(), before), "nobody else's draws are touched"


def test_what_is_written_is_drawn_by_the_models_own_probabilities(judge: Judge, tiny_folder: Path) -> None:
    """One token, many seeds, the likeliest one's share against a forward pass."""
    ids: Any = AutoTokenizer.from_pretrained(tiny_folder)("Say.\n\n").input_ids
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        shares = (model(torch.tensor([ids])).logits[0, -1].double() / 0.2).softmax(-1)
    likeliest = judge.answer(Request("", "Say.", None, 1)).text
    draws = [judge.answer(Request("", "Say.", None, 1, 0.2, seed)).text for seed in range(400)]
    share = float(shares.max())
    assert draws.count(likeliest) / 400 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 400))


def test_a_question_beyond_the_context_fails_for_good(judge: Judge) -> None:
    with pytest.raises(RequestFailed, match="do not fit the context"):
        judge.answer(question("word " * 3000))


GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}<model>"
)


def test_a_template_without_system_messages_has_them_before_the_question(tiny_folder: Path) -> None:
    loaded: Any = load_judge("transformers", str(tiny_folder), {})
    loaded._tokenizer.chat_template = GEMMA
    asked = Request("Be strict.", "Grade.", {"type": "boolean"}, 8)
    ids = loaded._tokenizer("<user>Be strict.\n\nGrade.<model>", add_special_tokens=False).input_ids
    assert loaded.answer(asked).prompt_tokens == len(ids)
    assert loaded._prompt(asked) == ids
    loaded.close()


def test_what_can_be_spelled_out() -> None:
    form = spelled_out({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "y"]}}})
    assert form is not None
    assert (form.opening, form.slots[0].after, form.slots[1].choices) == ('{"a": ', ', "b": ', ('"x"', '"y"'))
    assert spelled_out({"type": "object", "properties": {"why": {"type": "string"}}}) is None
    assert spelled_out({"type": "integer"}) is None


def test_identity_is_content_and_a_model_that_is_not_there_is_told(tiny_folder: Path) -> None:
    assert identity("transformers", str(tiny_folder), {}).startswith("folder:")
    with pytest.raises(HarnessError, match="unknown model"):
        identity("transformers", "smolm2-135m", {})
