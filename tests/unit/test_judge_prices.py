"""Every figure of the price table against litellm's own list, as its package ships it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from harness.records.data import Example
from harness.records.settings import Price
from harness.resolve import resolve_judge
from harness.spec.judges import JudgeSpec
from judges.budget import listed_price
from judges.questions import request_of
from judges.rubric import load_rubric

FILE = "model_prices_and_context_window_backup.json"
TABLE = yaml.safe_load((Path(__file__).parents[2] / "judges" / "prices.yaml").read_text())
ROWS = [(section, model) for section, models in TABLE.items() for model in models]


@pytest.fixture(scope="module")
def litellms() -> dict[str, dict[str, float]]:
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, dict[str, float]] = json.loads((Path(spec.origin).parent / FILE).read_text())
    return found


@pytest.mark.parametrize(("section", "model"), ROWS)
def test_a_listed_price_is_the_one_of_the_list_it_cites(
    section: str, model: str, litellms: dict[str, dict[str, float]]
) -> None:
    theirs = [litellms[model][f"{side}_cost_per_token"] * 1e6 for side in ("input", "output")]
    assert TABLE[section][model] == pytest.approx(theirs)


@pytest.mark.parametrize("model", TABLE["openai"])
def test_a_batch_costs_what_the_list_says_of_batches(model: str, litellms: dict[str, dict[str, float]]) -> None:
    found, whole = listed_price("openai", model, {"batch": True}), litellms[model]
    assert found is not None
    for side in ("input", "output"):
        theirs = whole.get(f"{side}_cost_per_token_batches", whole[f"{side}_cost_per_token"] / 2)
        assert getattr(found, side) == pytest.approx(theirs * 1e6)


def test_a_batch_has_its_own_price_and_litellm_its_own_list() -> None:
    assert listed_price("openai", "gpt-4o-mini", {"batch": True}) == Price(input=0.075, output=0.3)
    assert listed_price("openai", "gpt-5-mini", {"batch": True}) == Price(input=0.125, output=1.0)
    assert listed_price("openai", "gpt-4o-mini", {}) == Price(input=0.15, output=0.6)
    assert listed_price("openai", "gpt-99", {"batch": True}) is None, "not listed is not known"
    assert listed_price("anthropic", "claude-haiku-4-5", {}) == Price(input=1, output=5)
    assert listed_price("litellm", "anthropic/claude-haiku-4-5", {}) == Price(input=1, output=5)
    assert listed_price("litellm", "nobody/nothing", {}) is None
    assert listed_price("human", "anna", {}) == Price(input=0, output=0)


@pytest.mark.parametrize("options", [{}, {"max_completion_tokens": 4000}])
def test_the_plan_reckons_with_the_length_that_is_asked_for(options: dict[str, int]) -> None:
    spec = JudgeSpec(backend="openai", model="gpt-5-mini", options=options)
    found = resolve_judge(spec, Path("matrix.yaml"), [Example(id="1", instruction="a", output="b")])
    assert found.reply_tokens == request_of(load_rubric(spec.rubric), "Grade.", options, 0).max_tokens / 2
