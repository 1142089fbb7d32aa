"""The loss from hidden states, in pieces, against the loss from all logits at once."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from harness.records.settings import LoraSettings
from tests.tiny import tiny_model
from tests.unit.test_packing import assert_same_gradients, gradients, rows_for
from trainers import cross_entropy
from trainers.methods import adapt
from trainers.packing import padding_free, weighted_loss
from trainers.recompute import recomputing
from trainers.standing import standing_gradients

ROWS = 7
"""Rows of logits a piece in these tests: the batch has more, and not a multiple."""


def in_pieces(monkeypatch: pytest.MonkeyPatch, model: Any) -> list[int]:
    """From now on logits are formed in pieces; sizes of those that the output layer is asked for."""
    head = model.get_output_embeddings()
    monkeypatch.setattr(cross_entropy, "LOGITS_BYTES", 4 * head.weight.shape[0] * ROWS)
    sizes: list[int] = []
    of_logits = cross_entropy.cross_entropy

    def recorded(logits: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        sizes.append(len(logits))
        return of_logits(logits, *rest)

    monkeypatch.setattr(cross_entropy, "cross_entropy", recorded)
    return sizes


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma3_text"])
@pytest.mark.parametrize("masking", ["none", "prompt"])
def test_pieces_give_loss_and_gradients_of_the_whole(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, arch: str, masking: Literal["none", "prompt"]
) -> None:
    model, rows = tiny_model(arch).train(), rows_for(tokenizer, masking)
    with padding_free(model):
        expected = weighted_loss(model, rows)
        expected_gradients = gradients(model, expected)
        sizes = in_pieces(monkeypatch, model)
        with recomputing(model, True):
            found = weighted_loss(model, rows)
            n_forward = len(sizes)
            found_gradients = gradients(model, found)
        with torch.no_grad():
            again = weighted_loss(model, rows)
    assert n_forward > 1 and max(sizes) <= ROWS and len(sizes) == 3 * n_forward  # forward, backward, forward
    assert found.item() == pytest.approx(expected.item(), rel=1e-6) and again.item() == found.item()
    assert_same_gradients(found_gradients, expected_gradients)
    assert "forward" not in vars(model.get_output_embeddings())


def test_pieces_collect_in_standing_gradients(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = tiny_model(), rows_for(tokenizer, "prompt")
    with padding_free(model):
        expected = gradients(model, weighted_loss(model, rows))
        in_pieces(monkeypatch, model)
        with standing_gradients(model) as standing:
            standing.begin_step(model.parameters())
            torch.autograd.backward(weighted_loss(model, rows))
            standing.hand_over()
            found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert_same_gradients(found, expected)


def test_a_frozen_head_under_autocast(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_for(tokenizer, "prompt")
    model = adapt(tiny_model(), "lora", LoraSettings(), 1)
    with padding_free(model), torch.autocast("cpu"):
        expected = weighted_loss(model, rows)
        expected_gradients = gradients(model, expected)
        in_pieces(monkeypatch, model)
        found = weighted_loss(model, rows)
        found_gradients = gradients(model, found)
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=0.05, atol=0.02 * gradient.abs().max().item())


def test_the_way_follows_size_device_and_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda, model = torch.device("cpu"), torch.device("cuda"), tiny_model("gemma3_text")
    monkeypatch.setattr(cross_entropy, "LOGITS_BYTES", 4 * model.get_output_embeddings().weight.shape[0] * 10)
    monkeypatch.setattr(cross_entropy, "version", lambda name: "0.8.5")
    cross_entropy._liger_is_there.cache_clear()
    assert [cross_entropy.way(model, n, cuda) for n in (10, 11)] == ["at once", "liger"]
    assert cross_entropy.way(model, 11, cpu) == "in pieces"
    monkeypatch.setattr(cross_entropy, "version", lambda name: "0.6.4")  # wrong gradients for weights of their own
    cross_entropy._liger_is_there.cache_clear()
    assert cross_entropy.way(model, 11, cuda) == "in pieces"
    cross_entropy._liger_is_there.cache_clear()
    model.config.final_logit_softcapping = 30.0
    assert cross_entropy.way(model, 11, cuda) == "at once"
