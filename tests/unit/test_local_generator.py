"""Decoding against `model.generate`, and resume piece by piece."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.errors import ModelError
from harness.generators.invariance import check_batches
from harness.generators.local import PIECE, Prompt, Task, generate, generate_variant, prompt_of, responses
from harness.prompts import STYLES
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
    return [prompt_of(example(i), STYLES["phi"], tiny_tokenizer()) for i in range(n)]


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


class Until:
    """Ends at these tokens."""

    def __init__(self, tokens: frozenset[int]) -> None:
        self.tokens = tokens

    def reason(self, row: Any) -> str | None:
        return "eos" if row.ids[-1] in self.tokens else "length" if len(row.ids) >= row.limit else None


def made(model: Any, encoded: list[list[int]], ends: Any, **changes: Any) -> list[list[int]]:
    tasks = [Task(str(i), 0, tuple(ids), 24) for i, ids in enumerate(encoded)]
    rows = [
        row
        for finished in responses(LoadedModel(model, tiny_tokenizer(), 512), tasks, settings(**changes), ends)
        for row in finished
    ]
    return [row.ids for row in sorted(rows, key=lambda row: row.number)]


@pytest.mark.parametrize("shared", [0, 4, 20])
@pytest.mark.parametrize("arch", [*FLAT_ARCHITECTURES, "gpt_neox"])
def test_rows_that_come_and_go_equal_transformers_one_by_one(arch: str, shared: int) -> None:
    """Three slots for eleven prompts: rows leave at many lengths, and others join in the middle."""
    model, rng = tiny_model(arch, tied=False), np.random.default_rng(shared)
    prefix = rng.integers(3, 320, shared).tolist()
    lengths = (3, 20, 9, 5, 14, 1, 7, 30, 2, 11, 6)
    encoded = [prefix + rng.integers(3, 320, length).tolist() for length in lengths]
    free = [reference(model, ids, 24, frozenset({1})) for ids in encoded]
    stops = stops_at_many_lengths(free)
    expected = [until(ids, stops) for ids in free]
    assert len({len(ids) for ids in expected}) > 2
    assert made(model, encoded, Until(stops), batch_size=3) == expected
    assert made(model, encoded, Until(stops), batch_size=64) == expected


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_repetition_penalty_is_that_of_transformers(penalty: float) -> None:
    model, rng = tiny_model(), np.random.default_rng(0)
    encoded = [rng.integers(3, 320, length).tolist() for length in (4, 9, 6)]
    theirs = [
        model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                       max_new_tokens=24, repetition_penalty=penalty, eos_token_id=1, pad_token_id=0)[0, len(ids):]
        for ids in encoded
    ]  # fmt: skip
    assert made(model, encoded, Until(frozenset({1})), repetition_penalty=penalty) == [t.tolist() for t in theirs]


def test_draws_depend_on_their_own_seed_alone() -> None:
    model, drawn = loaded(), {"temperature": 1.5, "samples": 3, "seed": 7}
    everything = draws(model, prompts(6), **drawn)
    assert everything == draws(model, prompts(6)[::-1], **drawn, batch_size=2)
    assert everything != draws(model, prompts(6), **drawn | {"seed": 8})
    assert len(set(everything.values())) > 12, "three samples of a prompt are three draws"
    likeliest = draws(model, prompts(6), **drawn, top_k=1)
    assert len(set(likeliest.values())) <= 6, "the likeliest token is no draw"
    assert draws(model, prompts(6), **drawn, top_p=1e-6) == likeliest


def draws(model: LoadedModel, asked: list[Prompt], **changes: Any) -> dict[tuple[str, int], str]:
    batches = generate(model, asked, settings(**changes), STYLES["phi"])
    return {(row.example_id, row.sample): row.text for batch in batches for row in batch}


def test_a_stop_string_of_several_tokens_ends_decoding_at_once() -> None:
    model = loaded()
    [free] = generate(model, prompts(1), settings(), STYLES["alpaca"])
    whole = free[0].text
    ids = reference(model.model, encode_prompt(model.tokenizer, prompts(1)[0].segments), 24, frozenset({1}))
    stop = model.tokenizer.decode(ids[3:6])
    assert len(model.tokenizer.encode(stop, add_special_tokens=False)) > 1
    style = STYLES["alpaca"].model_copy(update={"stop": (stop,)})
    [[row]] = generate(model, prompts(1), settings(), style)
    assert row.text == whole[: whole.index(stop)]
    assert row.finish_reason == "eos"
    assert row.tokens <= 6


def test_batches_are_checked_against_single_prompts() -> None:
    found = check_batches(loaded(), prompts(6), settings(batch_size=4), STYLES["phi"])
    assert (found.prompts, found.breaches, found.rate) == (6, (), 0.0)


def test_the_limit_may_follow_the_reference() -> None:
    model = loaded()
    asked = [replace(prompt, reference="word " * 3 * number) for number, prompt in enumerate(prompts(3), start=1)]
    lengths = [len(model.tokenizer.encode(prompt.reference, add_special_tokens=False)) for prompt in asked]
    limit = {"times_reference": 2, "at_least": 4, "at_most": 60}
    rows = flat(generate(model, asked, settings(max_new_tokens=limit), STYLES["phi"]))
    assert [rows[str(i)].tokens for i in range(3)] == [min(60, 2 * n) for n in lengths]


def test_nothing_is_drawn_without_a_temperature() -> None:
    with pytest.raises(ValidationError, match="samples: without a temperature above 0 nothing is drawn"):
        settings(samples=2)
    assert GenerateSettings.model_validate_json(settings().model_dump_json()) == settings()


def test_tokens_text_and_finish_reason() -> None:
    model = loaded()
    first = flat(generate(model, prompts(5), settings(), STYLES["phi"]))
    ids = encode_prompt(model.tokenizer, prompts(1)[0].segments)
    expected = reference(model.model, ids, 24, frozenset({1}))
    assert first["0"].finish_reason == "length"
    assert first["0"].tokens == 24
    assert first["0"].text == model.tokenizer.decode(expected, skip_special_tokens=True)
    model.model.generation_config.eos_token_id = [1, expected[4]]
    stopped = flat(generate(model, prompts(5), settings(), STYLES["phi"]))["0"]
    end = expected.index(expected[4])
    assert (stopped.finish_reason, stopped.tokens) == ("eos", end + 1)
    assert stopped.text == model.tokenizer.decode(expected[:end], skip_special_tokens=True)


def test_a_resumed_run_makes_torn_pieces_anew_and_nothing_else() -> None:
    model, n = loaded(), 2 * PIECE + 3
    everything = flat(generate(model, prompts(n), settings(batch_size=1), STYLES["phi"]))
    assert len(everything) == n
    longest = sorted(range(n), key=lambda i: -len(encode_prompt(model.tokenizer, prompts(n)[i].segments)))
    whole, torn = longest[:PIECE], longest[PIECE : PIECE + 3]
    done = {(str(i), 0) for i in (*whole, *torn)}
    resumed = flat(generate(model, prompts(n), settings(batch_size=1), STYLES["phi"], done))
    assert set(resumed) == {str(i) for i in longest[PIECE:]}
    assert all(row.text == everything[name].text for name, row in resumed.items())


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
    assert not list(generate_variant(stage, None, tiny_folder, examples, STYLES["phi"], {(name, 0) for name in rows}))


@pytest.mark.parametrize("arch", [*FLAT_ARCHITECTURES, "gpt_neox"])
def test_bfloat16_gives_near_likeliest_tokens(arch: str) -> None:
    """Position embeddings leave keys in float32 there; values come in bfloat16."""
    model = loaded(arch)
    tasks = [Task(each.example_id, 0, tuple(encode_prompt(model.tokenizer, each.segments)), 6) for each in prompts(6)]
    made = list(responses(model, tasks, settings(precision="bf16"), Until(frozenset())))
    rows = [row for finished in made for row in finished]
    assert [len(row.ids) for row in rows] == [6] * 6
    for row in rows:
        with torch.inference_mode():
            logits = model.model(torch.tensor([[*row.prompt, *row.ids]])).logits[0, len(row.prompt) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(row.ids)[:, None])[:, 0]
        assert (logits.max(1).values - chosen).max() < 0.05 * logits.std()
