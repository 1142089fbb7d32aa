"""Training over 4-bit base weights, on the CPU by bitsandbytes itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.errors import MissingExtra
from harness.prompts import STYLES
from harness.records.inputs import TrainInput
from harness.records.seal import TrainFacts
from tests.tiny import tiny_model
from tests.unit.test_sft import settings, split_examples, write_tokens
from trainers.checkpoints import load_variant
from trainers.export import export_merged
from trainers.quantised import without_packing
from trainers.sft import train_variant


def train_in(folder: Path, base: Path, n_validation: int = 0, **changes: Any) -> tuple[TrainFacts, list[float]]:
    chosen = settings(epochs=4, lr=1e-2, lora={"rank": 4, "dropout": 0.1}, **changes)
    given = TrainInput(base="b", data="d", style_sha256="s", masking="prompt", method="qlora", settings=chosen, seed=3)
    losses: list[float] = []
    facts = train_variant(
        given,
        base,
        write_tokens(
            folder.with_suffix(".split"), base, split_examples(20) + split_examples(n_validation, "validation")
        ),
        STYLES["phi"],
        folder,
        folder.with_suffix(".checkpoints"),
        lambda row, total: losses.append(row.loss),
    )
    return facts, losses


def test_an_adapter_learns_over_four_bits_and_answers_over_the_same(tiny_folder: Path, tmp_path: Path) -> None:
    facts, losses = train_in(tmp_path / "a", tiny_folder)
    again, same = train_in(tmp_path / "b", tiny_folder)
    assert losses == same and losses[-1] < 0.8 * losses[0]
    assert facts.parameters == sum(parameter.numel() for parameter in tiny_model().parameters())
    assert 0 < facts.trained_parameters < facts.parameters

    from peft import PeftModel
    from transformers import BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, quantization_config=four_bits, device_map={"": "cpu"})
    trained = PeftModel.from_pretrained(without_packing(base), tmp_path / "a").eval()
    merged = load_variant(tmp_path / "a", tiny_folder).model
    export_merged(tmp_path / "export", tmp_path / "a", tiny_folder, STYLES["phi"], dtype="bfloat16")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export", dtype=torch.float32)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected = trained(ids).logits
        torch.testing.assert_close(merged(ids).logits, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(exported(ids).logits, expected, rtol=0.05, atol=0.1)  # kept in bfloat16
        plain = PeftModel.from_pretrained(tiny_model(), tmp_path / "a").eval()(ids).logits
    assert (plain - expected).abs().max() > 0.1  # four bits do matter here


def test_validation_leaves_the_four_bits_as_they_are(tiny_folder: Path, tmp_path: Path) -> None:
    """Where a CPU multiplies bfloat16, bitsandbytes lays weights out anew for inference, if it can at all."""
    _, losses = train_in(tmp_path / "a", tiny_folder)
    facts, validated = train_in(tmp_path / "b", tiny_folder, n_validation=5, evaluate_every=1)
    assert validated == losses
    assert facts.validation_loss is not None


def test_weights_in_bfloat16_beside_those_in_four_bits(tiny_folder: Path, tmp_path: Path) -> None:
    facts, losses = train_in(tmp_path / "a", tiny_folder, precision="bf16-pure")
    assert facts.precision == "bf16-pure" and losses[-1] < 0.8 * losses[0]


def test_the_missing_package_is_named(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    with pytest.raises(MissingExtra, match="qlora") as caught:
        train_in(tmp_path / "a", tiny_folder)
    assert "sft-harness[gpu]" in str(caught.value)
