"""Greedy decoding against `model.generate`, and resume batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.generators.local import Prompt, generate, generate_variant, greedy
from harness.prompts import STYLES, inference_prompt, render
from harness.records.data import Example, SplitExample
from harness.records.inputs import GenerateInput
from harness.records.rows import Generation
from harness.records.settings import GenerateSettings
from tests.tiny import FLAT_ARCHITECTURES, tiny_model, tiny_tokenizer
from trainers.masking import encode_prompt
from trainers.models import LoadedModel

SENTENCES = ["The cat", "Name the capital of Denmark", "x", "Rewrite the sentence in the past tense, please", "Day"]


def example(number: int) -> Example:
    return Example(id=str(number), instruction=SENTENCES[number % 5] + "!" * (number // 5), output="o")


def prompts(n: int) -> list[Prompt]:
    return [(str(i), inference_prompt(render(STYLES["phi"], example(i)))) for i in range(n)]


def loaded(arch: str = "llama", context: int = 512) -> LoadedModel:
    return LoadedModel(tiny_model(arch, context=context), tiny_tokenizer(), context)


def settings(**changes: Any) -> GenerateSettings:
    return GenerateSettings.model_validate({"max_new_tokens": 24, "batch_size": 4, "precision": "fp32", **changes})


def flat(batches: Any) -> dict[str, Generation]:
    return {row.example_id: row for batch in batches for row in batch}


def reference(model: Any, ids: list[int], max_new_tokens: int, stops: frozenset[int]) -> list[int]:
    output = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(stops),
        pad_token_id=0,
    )
    return list(output[0, len(ids) :].tolist())


def until(ids: list[int], stops: frozenset[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in stops), len(ids) - 1)
    return ids[: end + 1]


def stops_at_many_lengths(responses: list[list[int]]) -> frozenset[int]:
    """EOS and the token at which the responses would end at the most different lengths."""
    tokens = sorted({token for ids in responses for token in ids})
    return max((frozenset({1, t}) for t in tokens), key=lambda stops: len({len(until(r, stops)) for r in responses}))


@pytest.mark.parametrize("shared", [0, 4])
@pytest.mark.parametrize("arch", [*FLAT_ARCHITECTURES, "gpt_neox"])
def test_batched_greedy_equals_transformers_one_by_one(arch: str, shared: int) -> None:
    model, rng = tiny_model(arch, tied=False), np.random.default_rng(shared)
    prefix = rng.integers(3, 320, shared).tolist()
    encoded = [prefix + rng.integers(3, 320, length).tolist() for length in (3, 20, 9, 5, 14, 1, 7)]
    free = [reference(model, ids, 24, frozenset({1})) for ids in encoded]
    stops = stops_at_many_lengths(free)
    expected = [until(ids, stops) for ids in free]
    assert len({len(ids) for ids in expected}) > 2
    with torch.inference_mode():
        assert greedy(model, encoded, 24, stops) == expected


def test_tokens_text_and_finish_reason() -> None:
    model = loaded()
    first = flat(generate(model, prompts(5), settings(), STYLES["phi"]))
    ids = encode_prompt(model.tokenizer, prompts(1)[0][1])
    expected = reference(model.model, ids, 24, frozenset({1}))
    assert first["0"].finish_reason == "length"
    assert first["0"].tokens == 24
    assert first["0"].text == model.tokenizer.decode(expected, skip_special_tokens=True)
    model.model.generation_config.eos_token_id = [1, expected[4]]
    stopped = flat(generate(model, prompts(5), settings(), STYLES["phi"]))["0"]
    end = expected.index(expected[4])
    assert (stopped.finish_reason, stopped.tokens) == ("eos", end + 1)
    assert stopped.text == model.tokenizer.decode(expected[:end], skip_special_tokens=True)


def test_batches_depend_on_the_whole_list_alone() -> None:
    model = loaded()
    everything = list(generate(model, prompts(11), settings(), STYLES["phi"]))
    assert [len(batch) for batch in everything] == [4, 4, 3]
    done = {row.example_id for row in everything[0]}
    torn = done | {everything[1][0].example_id}  # a batch of which one line survived is done again whole
    resumed = list(generate(model, prompts(11), settings(), STYLES["phi"], skip=torn))
    texts = [[(row.example_id, row.text) for row in batch] for batch in everything]
    assert [[(row.example_id, row.text) for row in batch] for batch in resumed] == texts[1:]


def test_a_prompt_too_long_is_named_before_anything_is_generated() -> None:
    model = loaded(context=64)
    with pytest.raises(ModelError, match=r"example 3 has \d+ tokens.*context of 64 leaves 40 beside 24"):
        next(generate(model, prompts(4), settings(), STYLES["phi"]))


@pytest.mark.parametrize("n", [1, 3])
def test_generate_variant_answers_the_test_part_only(tiny_folder: Path, n: int) -> None:
    examples = [SplitExample(split="train", index=0, example=example(9))]
    examples += [SplitExample(split="test", index=i + 1, example=example(i)) for i in range(n)]
    stage = GenerateInput(weights="b", base="b", data="d", style_sha256="s", settings=settings(max_new_tokens=3))
    rows = flat(generate_variant(stage, None, tiny_folder, examples, STYLES["phi"]))
    assert set(rows) == {str(i) for i in range(n)}
    assert not list(generate_variant(stage, None, tiny_folder, examples, STYLES["phi"], done_ids=set(rows)))
