"""Weights that learn during the backward pass learn the same as after it."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import nn

from harness.errors import TrainingFailed
from harness.records.settings import TrainSettings
from tests.tiny import tiny_model
from tests.unit.test_sft import equal, settings, training_rows, weights
from trainers import gradient_release as released
from trainers import sft, standing, step
from trainers.gradient_release import GradientRelease, can_release, gradient_release
from trainers.methods import adapt
from trainers.sft import FitReport, fit
from trainers.standing import standing_gradients

Method = Literal["full", "lora"]


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parameter learns by itself, as the large ones of a large model do."""
    monkeypatch.setattr(released, "part_of", lambda n_bytes: 1)


def trained(arch: str, method: Method = "full", *, tied: bool = True, **changes: Any) -> tuple[Any, FitReport]:
    chosen = settings(weight_decay=0.1, clip_norm=None, **changes)
    model = adapt(tiny_model(arch, tied=tied), method, chosen.lora, 1)
    return model, fit(model, training_rows(n_validation=5), chosen, chosen.lr, 1)


def afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on weights learn when all gradients are there."""
    monkeypatch.setattr(sft, "can_release", lambda *_: False)


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("arch", "method", "tied"),
    [("llama", "full", True), ("llama", "full", False), ("gpt2", "full", True), ("gemma3_text", "lora", True)],
)
def test_it_changes_no_number(
    monkeypatch: pytest.MonkeyPatch, arch: str, method: Method, tied: bool, precision: str, shares: bool
) -> None:
    if not shares:  # as matrices that are large in their model
        monkeypatch.setattr(standing, "part_of", lambda n_bytes: 0)
    model, report = trained(arch, method, tied=tied, precision=precision)
    afterwards(monkeypatch)
    expected, theirs = trained(arch, method, tied=tied, precision=precision)
    assert equal(model, expected)
    assert report.losses == theirs.losses


def test_gradients_are_forgotten_as_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[int] = []
    flush = GradientRelease.flush

    def counted(self: GradientRelease) -> None:
        parameters = self.optimizer.param_groups[0]["params"]
        there.append(sum(parameter.grad is not None for parameter in parameters))
        flush(self)

    monkeypatch.setattr(GradientRelease, "flush", counted)
    trained("llama", max_steps=1)
    assert len(there) > 10
    assert max(there) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_stand_in_the_same_memory_step_after_step(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    places: list[set[int]] = []
    take, begin_step = GradientRelease.take, GradientRelease.begin_step

    def noted(self: GradientRelease, parameter: nn.Parameter) -> None:
        if parameter.ndim == 2 and self.standing.slots[parameter].gradient is None:
            assert parameter.grad is not None
            places[-1].add(parameter.grad.data_ptr())
        take(self, parameter)

    def begun(self: GradientRelease, *, active: bool) -> None:
        places.append(set())
        begin_step(self, active=active)

    monkeypatch.setattr(GradientRelease, "take", noted)
    monkeypatch.setattr(GradientRelease, "begin_step", begun)
    trained("llama", max_steps=3, precision=precision)
    assert places[0] == places[1] == places[2]
    sizes = {p.numel() for name, p in tiny_model("llama").named_parameters() if "proj" in name}
    assert len(places[0]) <= 2 * len(sizes)  # used one by one: autograd may hold the next when one is used


@pytest.mark.parametrize(
    ("changes", "can"),
    [
        ({}, True),
        ({"micro_batch_size": 8}, True),
        ({"micro_batch_size": 4}, False),
        ({"clip_norm": 1.0}, False),
        ({"optimizer": "adamw-8bit"}, False),
    ],
)
def test_where_something_looks_at_the_whole_gradient_it_stays(changes: dict[str, Any], can: bool) -> None:
    assert can_release(settings(**{"clip_norm": None, **changes}), "fp32") is can
    assert not can_release(settings(clip_norm=None), "bf16-pure")


class Shared(nn.Module):
    """One matrix as embedding, as output layer, and by itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.middle, self.head = nn.Embedding(11, 4), nn.Linear(4, 4), nn.Linear(4, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.middle(self.embedding(ids))).square().sum() + self.head.weight.norm()
        return found


def test_a_shared_matrix_learns_once_from_its_whole_gradient() -> None:
    ids = torch.tensor([1, 2, 2])
    ours, theirs = Shared(), Shared()
    for model, wanted in ((ours, True), (theirs, False)):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        with (
            standing_gradients(model, released=wanted) as slots,
            gradient_release(optimizer, slots, wanted) as release,
        ):
            slots.begin_step(model.parameters())
            if release is not None:
                release.begin_step(active=True)
            model(ids).backward()
            slots.hand_over()
            optimizer.step()
            assert optimizer.state[model.head.weight]["step"] == 1
    assert equal(ours, theirs)


# ---------------------------------------------------------------- when a step fails


def test_memory_that_runs_out_before_anything_learned_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = trained("llama")
    whole = step.weighted_loss

    def cramped(model: Any, rows: Any, **keywords: Any) -> torch.Tensor:
        if len(rows) > 4:
            raise torch.OutOfMemoryError("too many")
        return whole(model, rows, **keywords)

    monkeypatch.setattr(step, "weighted_loss", cramped)
    model, report = trained("llama")
    assert report.micro_batch_size == 4
    for name, tensor in weights(expected).items():
        torch.testing.assert_close(weights(model)[name], tensor, rtol=1e-4, atol=2e-6, msg=name)


def test_memory_that_runs_out_after_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    flush = GradientRelease.flush

    def cramped(self: GradientRelease) -> None:
        flush(self)
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(GradientRelease, "flush", cramped)
    with pytest.raises(TrainingFailed, match="step 1: out of memory with 8 examples") as caught:
        trained("llama")
    assert "micro_batch_size: 4, which keeps all gradients at once" in (caught.value.hint or "")
    assert "in each process" not in caught.value.what
    with pytest.raises(TrainingFailed, match="one example at a time; the longest is"):
        trained("llama", batch_size=1)


def test_nothing_learns_from_a_loss_that_is_none() -> None:
    model = tiny_model()
    torch.nn.init.constant_(model.model.layers[1].mlp.down_proj.weight, torch.inf)
    before = weights(model)
    chosen: TrainSettings = settings(clip_norm=None)
    with pytest.raises(TrainingFailed, match="step 1: loss nan; the batch held"):
        fit(model, training_rows(), chosen, 1e-3, 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())
