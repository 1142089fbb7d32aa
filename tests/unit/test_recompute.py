"""What gated feed-forward layers compute again in the backward pass is what they had."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from harness.records.settings import LoraSettings
from tests.tiny import FLAT_ARCHITECTURES, tiny_model
from trainers.methods import adapt
from trainers.recompute import NORMS, lean_gates, lean_norms
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


class Turned(torch.autograd.Function):
    """A product that keeps its input the other way round."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x[0].t(), weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        return gradients[0] @ weight, (x @ gradients[0][0]).t()


def test_a_projection_that_keeps_its_input_turned_round_gets_it_so() -> None:
    model = tiny_model()
    down = model.model.layers[0].mlp.down_proj
    down.forward = lambda x: Turned.apply(x, down.weight)
    expected, found = (gradients(model, lean=lean) for lean in (False, True))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_nothing_is_differentiated_twice() -> None:
    model = tiny_model()
    x = torch.randn(1, 3, model.config.hidden_size, requires_grad=True)
    with lean_norms(model, True):
        (once,) = torch.autograd.grad(model.model.norm(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once.sum().backward()


def test_a_layer_of_that_name_from_elsewhere_is_left_alone() -> None:
    """Code that comes with a model on the Hub may call anything LlamaMLP."""
    model = tiny_model()
    layer = model.model.layers[0]
    layer.mlp.__class__ = type("LlamaMLP", (type(layer.mlp),), {"__module__": "transformers_modules.theirs"})
    layer.input_layernorm.forward = own = lambda x: x
    with lean_gates(model, True), lean_norms(model, True):
        assert "forward" not in vars(layer.mlp)
        assert "forward" in vars(model.model.layers[1].mlp)
        assert layer.input_layernorm.forward is own
    assert layer.input_layernorm.forward is own


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("arch", ["llama", "mistral", "qwen2", "qwen3", "phi3", "smollm3"])
def test_a_norm_is_its_own_with_autograds_gradient(arch: str, dtype: torch.dtype) -> None:
    model = tiny_model(arch).to(dtype)
    norms = [module for module in model.modules() if type(module).__name__ in NORMS]
    assert len(norms) >= 5
    assert not [module for module in model.modules() if type(module).__name__.endswith("Norm") and module not in norms]
    torch.manual_seed(0)
    for norm in (norms[0], norms[-1]):
        torch.nn.init.normal_(norm.weight)
        x, dy = torch.randn(2, 3, 5, norm.weight.shape[0], dtype=dtype).unbind()
        found = []
        for lean in (False, True):
            norm.weight.grad, given = None, x.clone().requires_grad_()
            with lean_norms(model, lean):
                y = norm(given)
            y.backward(dy)
            assert given.grad is not None
            found.append((y.detach(), given.grad, norm.weight.grad.clone()))
        (y, dx, dw), (own_y, own_dx, own_dw) = found
        assert torch.equal(own_y, y)
        close = {torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]
        torch.testing.assert_close(own_dx, dx, rtol=close, atol=close)
        torch.testing.assert_close(own_dw, dw, rtol=close, atol=close)
