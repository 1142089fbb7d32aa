"""Gradients that stand in buffers against autograd's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny import FLAT_ARCHITECTURES, tiny_model
from trainers import standing as stands
from trainers.standing import standing_gradients
from trainers.workspace import Workspace

IDS = torch.tensor([[5, 9, 9, 40, 7, 61], [8, 5, 2, 77, 2, 3]])


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def autograd(model: Any, batches: list[torch.Tensor], low: bool = False) -> dict[str, torch.Tensor]:
    model.zero_grad()
    for ids in batches:
        with torch.autocast("cpu", enabled=low):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
    return gradients(model)


def standing(
    model: Any, steps: list[list[torch.Tensor]], low: bool = False, one_pass: bool = False
) -> dict[str, torch.Tensor]:
    with standing_gradients(model, one_pass=one_pass) as slots:
        for batches in steps:
            slots.begin_step(model.parameters())
            for ids in batches:
                with torch.autocast("cpu", enabled=low):
                    loss = model(input_ids=ids, labels=ids).loss
                loss.backward()
            slots.hand_over()
        return gradients(model)


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(ours[name], expected, rtol=tolerance, atol=tolerance * scale, msg=name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("arch", [*FLAT_ARCHITECTURES, "gpt_neox"])
def test_gradients_are_autograds(arch: str, tied: bool) -> None:
    model = tiny_model(arch, tied=tied)
    theirs = autograd(model, [IDS[:1], IDS])
    assert_same(standing(model, [[IDS], [IDS[:1], IDS]]), theirs, 1e-5)  # nothing is left of the step before


@pytest.mark.parametrize("tied", [True, False])
def test_under_autocast_they_agree_within_its_precision(tied: bool) -> None:
    model = tiny_model(tied=tied)
    assert_same(standing(model, [[IDS]], low=True), autograd(model, [IDS], low=True), 0.02)


@pytest.mark.parametrize("tied", [True, False])
def test_weights_that_are_cast_anew_give_what_copies_give(tied: bool) -> None:
    model = tiny_model(tied=tied)
    kept = standing(model, [[IDS], [IDS, IDS[:1]]], low=True)
    assert_same(standing(model, [[IDS], [IDS, IDS[:1]]], low=True, one_pass=True), kept, 0)


def test_a_gradient_in_low_precision_is_collected_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    whole = standing(model, [[IDS, IDS[:1]]], low=True)
    monkeypatch.setattr(stands, "BLOCK_BYTES", 300)
    assert_same(standing(model, [[IDS, IDS[:1]]], low=True), whole, 0)


def test_layers_that_get_the_same_input_cast_it_once() -> None:
    workspace, x = Workspace(), torch.randn(3, 4)
    low = workspace.input_as(x, torch.bfloat16)
    assert workspace.input_as(x, torch.bfloat16) is low
    assert workspace.input_as(low, torch.bfloat16) is low
    assert workspace.input_as(x, torch.float16).dtype == torch.float16
    x.mul_(2)
    torch.testing.assert_close(workspace.input_as(x, torch.bfloat16), x.to(torch.bfloat16))
    calls: list[torch.Tensor] = []
    model = tiny_model()
    with standing_gradients(model) as slots, torch.autocast("cpu"):
        attention = model.model.layers[0].self_attn
        x = torch.randn(1, 5, attention.q_proj.in_features)
        for layer in (attention.q_proj, attention.k_proj, attention.v_proj):
            layer(x)
            assert slots.workspace._cast is not None
            calls.append(slots.workspace._cast)
        assert calls[0] is calls[1] is calls[2]
        slots.hand_over()
        assert slots.workspace._source is slots.workspace._cast is None


@pytest.mark.parametrize("one_pass", [True, False])
def test_low_precision_weights_follow_the_optimizer(one_pass: bool) -> None:
    model = tiny_model()
    with standing_gradients(model, one_pass=one_pass) as slots, torch.autocast("cpu"), torch.no_grad():
        slots.begin_step(model.parameters())
        model(input_ids=IDS)
        for parameter in model.parameters():
            parameter.mul_(0.5)
        slots.begin_step(model.parameters())
        ours = model(input_ids=IDS).logits
    with torch.autocast("cpu"), torch.no_grad():
        torch.testing.assert_close(ours, model(input_ids=IDS).logits)


class Scaled(nn.Embedding):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) * 3.0


def test_a_matrix_shared_with_a_special_layer_is_left_to_autograd() -> None:
    embedding, head, other = Scaled(11, 4), nn.Linear(4, 11, bias=False), nn.Linear(4, 4)
    head.weight = embedding.weight
    model = nn.Sequential(embedding, other, head)
    ids = torch.tensor([1, 2, 2])
    model(ids).square().sum().backward()
    theirs = gradients(model)
    with standing_gradients(model) as slots:
        assert set(slots.slots) == {other.weight}
        slots.begin_step(model.parameters())
        model(ids).square().sum().backward()
        slots.hand_over()
        assert_same(gradients(model), theirs, 1e-6)


def test_what_is_no_plain_layer_is_left_to_autograd() -> None:
    """A layer with a forward of its own (a hook of accelerate's), and a matrix that is not a layer's weight."""
    hooked, part = nn.Linear(3, 3), nn.Linear(3, 3)
    hooked.forward = own = lambda x: 2 * x @ hooked.weight  # type: ignore[method-assign]
    part.weight_v = nn.Parameter(part.weight.detach())
    del part._parameters["weight"]
    part.weight = 3 * part.weight_v  # type: ignore[assignment]
    with standing_gradients(nn.ModuleList([hooked, part])) as slots:
        assert not slots.slots
        assert hooked.forward is own and "forward" not in vars(part)
    assert hooked.forward is own


def test_gradients_stand_in_for_those_of_their_own_kind_only() -> None:
    workspace, wide = Workspace(2**20), torch.zeros(4, 6)
    lent = workspace.lend(wide)
    workspace.take_back(lent)
    assert workspace.lend(wide.bfloat16()).dtype == torch.bfloat16
    assert workspace.lend(wide.view(6, 4)).data_ptr() == lent.data_ptr()


def test_gradients_that_waited_for_the_steps_end_are_lent_again() -> None:
    layer = nn.Linear(5, 5, bias=False)
    places = set()
    with standing_gradients(layer, released=True) as slots:
        for _ in range(3):
            slots.begin_step(layer.parameters())
            layer(torch.ones(2, 5)).sum().backward()
            slots.hand_over()
            assert layer.weight.grad is not None
            places.add(layer.weight.grad.data_ptr())
    assert len(places) == 1


def test_frozen_and_unused_matrices_get_no_gradient() -> None:
    frozen, used, unused = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    frozen.requires_grad_(False)
    model = nn.ModuleList([frozen, used, unused])
    with standing_gradients(model) as slots:
        slots.begin_step(model.parameters())
        used(frozen(torch.ones(2, 3))).sum().backward()
        slots.hand_over()
    assert frozen.weight.grad is None
    assert unused.weight.grad is None
    assert used.weight.grad is not None
    assert "forward" not in vars(used)


def test_a_matrix_used_beside_its_layer_collects_both_parts() -> None:
    layer, x = nn.Linear(3, 3, bias=False), torch.ones(2, 3)

    def backward() -> None:
        (layer(x).square().sum() + layer.weight.norm()).backward()

    backward()
    theirs = gradients(layer)
    with standing_gradients(layer) as slots:
        for _ in range(2):
            slots.begin_step(layer.parameters())
            backward()
            slots.hand_over()
            assert_same(gradients(layer), theirs, 1e-6)
        slots.begin_step(layer.parameters())
        layer.weight.norm().backward()
        slots.hand_over()
        layer_only = gradients(layer)["weight"]
    torch.testing.assert_close(layer_only, (layer.weight / layer.weight.norm()).detach())


def test_the_padding_entry_of_an_embedding_does_not_learn() -> None:
    embedding = nn.Embedding(5, 3, padding_idx=1)
    with standing_gradients(embedding) as slots:
        slots.begin_step(embedding.parameters())
        embedding(torch.tensor([0, 1, 4])).sum().backward()
        slots.hand_over()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.sum(1).tolist() == [3.0, 0.0, 0.0, 0.0, 3.0]


def test_a_validation_after_a_step_sees_the_new_weights() -> None:
    """Under autocast the low-precision copies are of the step before until they are made anew."""
    model = tiny_model()
    with standing_gradients(model) as slots, torch.autocast("cpu"):
        slots.begin_step(model.parameters())
        model(input_ids=IDS, labels=IDS).loss.backward()
        slots.hand_over()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
            ours = model(input_ids=IDS, labels=IDS).loss
    with torch.no_grad(), torch.autocast("cpu"):
        theirs = model(input_ids=IDS, labels=IDS).loss
    torch.testing.assert_close(ours, theirs)
