"""What gated feed-forward layers compute again in the backward pass is what they had."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from harness.records.settings import LoraSettings
from tests.tiny import FLAT_ARCHITECTURES, tiny_model
from trainers.methods import adapt
from trainers.recompute import lean_gates
from trainers.standing import standing_gradients

IDS = torch.tensor([[5, 9, 9, 40, 7, 61], [8, 5, 2, 77, 2, 3]])


def gradients(model: Any, *, lean: bool, low: bool = False) -> dict[str, torch.Tensor]:
    with standing_gradients(model) as slots, lean_gates(model, lean):
        slots.begin_step(model.parameters())
        with torch.autocast("cpu", enabled=low):
            loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        slots.hand_over()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("arch", FLAT_ARCHITECTURES)
def test_gradients_are_the_same_to_the_last_bit(arch: str, method: Any, low: bool) -> None:
    model = adapt(tiny_model(arch), method, LoraSettings(), 1)
    theirs, ours = (gradients(model, lean=lean, low=low) for lean in (False, True))
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert torch.equal(ours[name], expected), name
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize(("method", "low"), [("full", False), ("full", True), ("lora", False)])
def test_what_goes_into_the_last_projection_is_not_kept(method: Any, low: bool) -> None:
    """Under autocast an adapter keeps a copy of its own."""
    model = adapt(tiny_model(), method, LoraSettings(), 1)
    kept = {}
    for lean in (False, True):
        inputs: list[StorageWeakRef] = []
        downs = [module for name, module in model.named_modules() if name.endswith("down_proj")]
        hooks = [
            down.register_forward_pre_hook(
                lambda _, given, inputs=inputs: inputs.append(StorageWeakRef(given[0].untyped_storage()))
            )
            for down in downs
        ]
        with standing_gradients(model) as slots, lean_gates(model, lean), torch.autocast("cpu", enabled=low):
            slots.begin_step(model.parameters())
            loss = model(input_ids=IDS, labels=IDS).loss
            kept[lean] = sum(not storage.expired() for storage in inputs)
            loss.backward()
        for hook in hooks:
            hook.remove()
    assert kept == {False: 2, True: 0}
