"""vLLM's engine against our own decoding, through a stand-in with vLLM's interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model

from harness.errors import MissingExtra, ModelError
from harness.generators.local import generate_variant
from harness.generators.vllm_engine import VllmEngine
from harness.prompts import STYLES
from harness.records.data import Example, SplitExample
from harness.records.inputs import GenerateInput
from harness.records.rows import Generation
from harness.records.settings import GenerateSettings
from tests.servers.offline_vllm import installed_vllm
from tests.tiny import save_tiny_folder
from trainers.quantised import FILE

ROWS = [
    SplitExample(split="test", index=i, example=Example(id=str(i), instruction=text, output="o"))
    for i, text in enumerate(["The cat", "Name the capital of Denmark", "x", "Rewrite it, please"])
]


def stage(**changes: Any) -> GenerateInput:
    settings = {"engine": "vllm", "max_new_tokens": 12, "batch_size": 2, "precision": "fp32", **changes}
    return GenerateInput(
        weights="w", base="b", data="d", style_sha256="s", settings=GenerateSettings.model_validate(settings)
    )


def adapter(folder: Path, base: Path, rank: int, seed: int) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(folder)
    return folder


def answers(make: Any, given: GenerateInput, weights: Path | None, base: Path) -> list[Generation]:
    rows = [row for batch in make(given, weights, base, ROWS, STYLES["alpaca"]) for row in batch]
    return sorted((row.model_copy(update={"seconds": 0.0}) for row in rows), key=lambda row: row.example_id)


def test_one_engine_answers_for_a_base_and_all_of_its_adapters(tiny_folder: Path, tmp_path: Path) -> None:
    adapters = [adapter(tmp_path / str(n), tiny_folder, 4, n) for n in (1, 2)]
    engine = VllmEngine()
    with installed_vllm() as opened:
        found = [answers(engine.generate_variant, stage(), each, tiny_folder) for each in (*adapters, None)]
    expected = [answers(generate_variant, stage(), each, tiny_folder) for each in (*adapters, None)]
    assert found == expected
    assert expected[0] != expected[1] != expected[2]
    [llm] = opened
    assert (llm.lora_rank, llm.max_num_seqs, llm.generation_config) == (8, 2, "vllm")
    assert [request and request.lora_int_id for request, _ in llm.asked] == [1, 2, None]


def test_trained_weights_have_an_engine_of_their_own(tiny_folder: Path, tmp_path: Path) -> None:
    save_tiny_folder(tmp_path, seed=5)
    engine = VllmEngine()
    with installed_vllm() as opened:
        found = answers(engine.generate_variant, stage(), tmp_path, tiny_folder)
        answers(engine.generate_variant, stage(), None, tiny_folder)
        engine.close()
    assert found == answers(generate_variant, stage(), tmp_path, tiny_folder)
    assert [Path(llm.folder) for llm in opened] == [tmp_path, tiny_folder]


def test_what_a_matrix_says_of_decoding_reaches_the_engine(tiny_folder: Path) -> None:
    drawn = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "samples": 2, "seed": 3, "repetition_penalty": 1.2}
    with installed_vllm() as opened:
        answers(VllmEngine().generate_variant, stage(**drawn, batch_size=1), None, tiny_folder)
        answers(VllmEngine().generate_variant, stage(), None, tiny_folder)
    [first, *_], [greedy, *_] = (llm.asked[0][1] for llm in opened)
    assert (first.temperature, first.top_p, first.top_k, first.repetition_penalty) == (0.7, 0.9, 5, 1.2)
    seeds = [params.seed for _, wanted in opened[0].asked for params in wanted]
    assert len(set(seeds)) == 8 and all(0 <= seed < 2**31 for seed in seeds)
    assert (greedy.temperature, greedy.seed, greedy.top_k) == (0.0, None, 0) and 1 in greedy.stop_token_ids


def test_what_was_answered_is_not_asked_again(tiny_folder: Path) -> None:
    with installed_vllm() as opened:
        done = {(str(n), 0) for n in range(3)}
        [[row]] = VllmEngine().generate_variant(stage(), None, tiny_folder, ROWS, STYLES["alpaca"], done)
    assert row.example_id == "3" and len(opened[0].asked) == 1


@pytest.mark.parametrize(
    ("changes", "said"), [({"use_dora": True}, "no DoRA adapters"), ({"r": 600}, "up to rank 512, and this has 600")]
)
def test_adapters_that_it_does_not_take(changes: dict[str, Any], said: str, tiny_folder: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path, tiny_folder, 4, 0) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with installed_vllm(), pytest.raises(ModelError, match=said):
        answers(VllmEngine().generate_variant, stage(), tmp_path, tiny_folder)


def test_an_adapter_over_four_bits_is_not_put_on_the_whole_base(tiny_folder: Path, tmp_path: Path) -> None:
    adapter(tmp_path, tiny_folder, 4, 0)
    (tmp_path / FILE).write_text("{}")
    with installed_vllm(), pytest.raises(ModelError, match="4-bit base"):
        answers(VllmEngine().generate_variant, stage(), tmp_path, tiny_folder)


def test_without_vllm_the_extra_is_named(tiny_folder: Path) -> None:
    with pytest.raises(MissingExtra, match=r"sft-harness\[vllm\]"):
        answers(VllmEngine().generate_variant, stage(), None, tiny_folder)
