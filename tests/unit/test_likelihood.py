"""Bits per byte of reference answers against transformers' own loss; and matrices' weights where they lie."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from harness.generators.layout import keep_low, lay_by_columns
from harness.generators.likelihood import item_bits, reference_bits
from harness.metrics.base import ItemScore, NoScore
from harness.prompts import STYLES, inference_prompt, render
from harness.records.data import Example, Turn
from harness.records.inputs import GenerateInput
from harness.records.settings import GenerateSettings
from tests.tiny import tiny_model, tiny_tokenizer
from trainers.masking import encode_prompt
from trainers.models import LoadedModel

TESTS = [
    Example(id="a", instruction="Name the capital of Denmark", output="København."),
    Example(
        id="b",
        instruction="And of France?",
        output="Paris, of course",
        history=(Turn(role="user", text="Hello"), Turn(role="assistant", text="Hi")),
    ),
]


@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
@pytest.mark.parametrize("example", TESTS, ids=lambda example: example.id)
def test_bits_are_transformers_loss_over_the_answers_tokens(arch: str, example: Example) -> None:
    model, tokenizer, style = tiny_model(arch, tied=False), tiny_tokenizer(), STYLES["alpaca"]
    prompt = encode_prompt(tokenizer, inference_prompt(render(style, example, tokenizer)))
    answer = tokenizer.encode(example.output, add_special_tokens=False)
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    with torch.no_grad():
        nats = float(model(input_ids=ids, labels=labels).loss) * len(answer)
    size = len(example.output.encode())
    from trainers.packing import padding_free

    with torch.no_grad(), padding_free(model):
        found = item_bits(LoadedModel(model, tokenizer, 512), example, style)
    assert isinstance(found, ItemScore)
    assert found.counts == pytest.approx((nats / math.log(2), size), rel=1e-5)
    assert found.value == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    around = style.model_copy(update={"response": " «{output}»"})
    with torch.no_grad(), padding_free(model):
        padded = item_bits(LoadedModel(model, tokenizer, 512), example, around)
    assert isinstance(padded, ItemScore) and padded.counts[1] == size, "the reference's bytes, in every style"


def test_all_items_of_a_variant_and_those_that_do_not_fit(tiny_folder: Path) -> None:
    given = GenerateInput(
        weights="b", base="b", data="d", style_sha256="s", settings=GenerateSettings(precision="fp32")
    )
    long = Example(id="c", instruction="x", output="no end " * 400)
    first, second, third = reference_bits(given, None, tiny_folder, [*TESTS, long], STYLES["alpaca"])
    assert isinstance(first, ItemScore) and isinstance(second, ItemScore) and first.counts[1] == 11
    assert third == NoScore("prompt and reference are longer than the model's context of 512 tokens")


@pytest.mark.parametrize("tied", [True, False])
def test_another_layout_holds_the_same_values(tied: bool) -> None:
    model, same = tiny_model(tied=tied), tiny_model(tied=tied)
    lay_by_columns(model)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), same.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    assert model.model.layers[0].mlp.up_proj.weight.t().is_contiguous()
    assert model.model.embed_tokens.weight.is_contiguous() != tied
    ids = torch.tensor([[5, 9, 40, 7]])
    torch.testing.assert_close(model(ids).logits, same(ids).logits)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma3_text"])
def test_low_precision_weights_are_those_that_autocast_makes(arch: str) -> None:
    model, same, ids = tiny_model(arch), tiny_model(arch), torch.tensor([[5, 9, 40, 7]])
    keep_low(model, "bf16")
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert model.get_input_embeddings().weight.dtype == torch.float32
    with torch.no_grad(), torch.autocast("cpu"):
        assert torch.equal(model(ids).logits, same(ids).logits)
