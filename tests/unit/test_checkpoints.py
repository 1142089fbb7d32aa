"""Resumed equals uninterrupted, bit for bit; saved equals trained."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.records.rows import LossRow
from tests.tiny import save_tiny_folder, tiny_model, tiny_tokenizer
from tests.unit.test_sft import equal, settings, training_rows
from trainers.checkpoints import Checkpoints, load_variant, save_final
from trainers.methods import adapt
from trainers.sft import fit
from trainers.step import Stepper


class Killed(Exception):
    """Stands for kill -9 in the middle of a run."""


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """A test runner in the background of a shell ignores Ctrl-C."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def killer(at_step: int) -> Any:
    def on_step(row: LossRow, total: int) -> None:
        if row.step == at_step:
            raise Killed

    return on_step


def fresh(arch: str, method: Literal["full", "lora"]) -> Any:
    return adapt(tiny_model(arch, dropout=0.1), method, settings().lora, 1)


def with_an_unused() -> Any:
    """A weight that no row uses, as a vision tower's where only text is trained on."""
    model: Any = tiny_model()
    model.register_parameter("unused", torch.nn.Parameter(torch.ones(2, 2)))
    return model


def every_step(folder: Path, fingerprint: str = "f") -> Checkpoints:
    return Checkpoints(folder, fingerprint, every_seconds=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at_step", [2, 6])
def test_an_interrupted_training_saves_the_step_under_way(tmp_path: Path, number: signal.Signals, at_step: int) -> None:
    chosen, rows = settings(epochs=2), training_rows()
    whole, resumed, before = fresh("llama", "full"), fresh("llama", "full"), signal.getsignal(number)
    expected = fit(whole, rows, chosen, chosen.lr, 1)

    def interrupt(row: LossRow, total: int) -> None:
        if row.step == at_step:
            signal.raise_signal(number)

    patient = Checkpoints(tmp_path, "f", every_seconds=3600)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh("llama", "full"), rows, chosen, chosen.lr, 1, checkpoints=patient, on_step=interrupt)
    assert signal.getsignal(number) is before
    assert [path.name for path in tmp_path.iterdir()] == [f"step-{at_step:08d}"]
    report = fit(resumed, rows, chosen, chosen.lr, 1, checkpoints=patient)
    assert equal(whole, resumed)
    assert report.losses == expected.losses


def test_an_interrupt_while_the_last_step_is_saved_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, rows, keep = settings(max_steps=1, keep="best"), training_rows(n_validation=3), Checkpoints.save_best

    def interrupted(self: Checkpoints, model: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        keep(self, model)

    monkeypatch.setattr(Checkpoints, "save_best", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), rows, chosen, chosen.lr, 1, checkpoints=Checkpoints(tmp_path, "f"))
    assert (tmp_path / "step-00000001").is_dir()


@pytest.mark.parametrize("come", [False, True])
def test_a_step_that_nobody_reads_about_is_saved_if_an_interrupt_is_why(tmp_path: Path, come: bool) -> None:
    def unheard(row: LossRow, total: int) -> None:
        if come:
            signal.raise_signal(signal.SIGINT)
        raise BrokenPipeError

    chosen, said = settings(), os.dup(2)
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 2)  # `2>&1 | tee`, and the tee has gone
    try:
        with pytest.raises(KeyboardInterrupt if come else BrokenPipeError):
            patient = Checkpoints(tmp_path, "f", every_seconds=3600)
            fit(tiny_model(), training_rows(), chosen, chosen.lr, 1, checkpoints=patient, on_step=unheard)
    finally:
        os.dup2(said, 2)
        os.close(said)
        os.close(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"] * come


def test_a_weight_that_no_row_uses_is_no_hindrance(tmp_path: Path) -> None:
    chosen, rows, whole = settings(weight_decay=0.5), training_rows(), with_an_unused()
    fit(whole, rows, chosen, chosen.lr, 1)
    with pytest.raises(Killed):
        fit(with_an_unused(), rows, chosen, chosen.lr, 1, checkpoints=every_step(tmp_path), on_step=killer(3))
    resumed = with_an_unused()
    fit(resumed, rows, chosen, chosen.lr, 1, checkpoints=every_step(tmp_path))
    assert equal(resumed, whole) and bool((resumed.unused == 1).all())


def test_a_micro_batch_that_was_halved_stays_so_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, rows, loss = settings(clip_norm=1.0), training_rows(), Stepper._loss
    steps: list[int] = []

    def cramped(self: Stepper, given: list[Any]) -> Any:
        if len(steps) == 0 and len(given) > 2:
            raise torch.OutOfMemoryError("no more")
        return loss(self, given)

    def passes(row: LossRow, total: int) -> None:
        steps.append(row.step)

    monkeypatch.setattr(Stepper, "_loss", cramped)
    whole = fresh("gpt2", "full")
    expected = fit(whole, rows, chosen, chosen.lr, 1, on_step=passes)
    steps.clear()
    with pytest.raises(Killed):
        fit(fresh("gpt2", "full"), rows, chosen, chosen.lr, 1, checkpoints=every_step(tmp_path), on_step=killer(3))
    steps.append(1)
    resumed = fresh("gpt2", "full")
    report = fit(resumed, rows, chosen, chosen.lr, 1, checkpoints=every_step(tmp_path))
    assert report.micro_batch_size == expected.micro_batch_size == 2
    assert equal(resumed, whole), "dropout is drawn for the same micro-batches"


def test_a_signal_that_is_ignored_stays_so() -> None:
    chosen, before = settings(), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fit(
            fresh("llama", "full"), training_rows(), chosen, chosen.lr, 1,
            on_step=lambda row, total: signal.raise_signal(signal.SIGINT),
        )  # fmt: skip
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_does_not_wait() -> None:
    steps: list[int] = []

    def impatient(row: LossRow, total: int) -> None:
        steps.append(row.step)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        steps.append(-1)

    chosen = settings()
    with pytest.raises(KeyboardInterrupt):
        fit(fresh("llama", "full"), training_rows(), chosen, chosen.lr, 1, on_step=impatient)
    assert steps == [1]


@pytest.mark.parametrize(
    ("arch", "method", "changes"),
    [
        ("llama", "full", {}),
        ("gpt2", "full", {}),
        ("gpt2", "lora", {}),
        ("llama", "full", {"precision": "bf16-pure"}),
        ("llama", "full", {"optimizer": "adamw-8bit"}),
    ],
)
@pytest.mark.parametrize("killed_at", [1, 2, 5])
def test_resumed_equals_uninterrupted(
    tmp_path: Path, arch: str, method: Literal["full", "lora"], changes: dict[str, Any], killed_at: int
) -> None:
    chosen, rows = settings(epochs=2, schedule="cosine", **changes), training_rows(n_validation=3)
    whole = fresh(arch, method)
    expected = fit(whole, rows, chosen, chosen.lr, 1)
    with pytest.raises(Killed):
        fit(
            fresh(arch, method),
            rows,
            chosen,
            chosen.lr,
            1,
            checkpoints=every_step(tmp_path),
            on_step=killer(killed_at),
        )
    resumed, seen = fresh(arch, method), []
    report = fit(
        resumed,
        rows,
        chosen,
        chosen.lr,
        1,
        checkpoints=every_step(tmp_path),
        on_step=lambda row, _: seen.append(row),
    )
    assert equal(resumed, whole)
    assert report.losses == expected.losses == tuple(seen)


def test_a_checkpoint_is_really_used(tmp_path: Path) -> None:
    chosen, rows = settings(), training_rows()
    with pytest.raises(Killed):
        fit(tiny_model(), rows, chosen, 1e-3, 1, checkpoints=every_step(tmp_path), on_step=killer(3))
    (folder,) = tmp_path.iterdir()
    assert folder.name == "step-00000002"
    assert len(json.loads((folder / "progress.json").read_text())["losses"]) == 2
    tampered = load_file(folder / "weights.safetensors")
    resumed = tiny_model()
    optimizer = torch.optim.AdamW(resumed.parameters())
    assert every_step(tmp_path).resume(resumed, optimizer).steps == 2
    assert torch.equal(resumed.model.norm.weight, tampered["model.norm.weight"])


def test_a_checkpoint_of_another_training_is_not_resumed(tmp_path: Path) -> None:
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(Killed):
        fit(model, training_rows(), settings(), 1e-3, 1, checkpoints=every_step(tmp_path), on_step=killer(3))
    assert every_step(tmp_path, "another").resume(model, optimizer).steps == 0


def test_a_torn_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".step-00000009.123").mkdir(parents=True)
    model = tiny_model()
    assert every_step(tmp_path).resume(model, torch.optim.AdamW(model.parameters())).steps == 0


def test_short_trainings_save_nothing(tmp_path: Path) -> None:
    fit(tiny_model(), training_rows(), settings(), 1e-3, 1, checkpoints=Checkpoints(tmp_path / "c", "f"))
    assert not (tmp_path / "c").exists()


# ---------------------------------------------------------------- final weights


def test_full_weights_load_with_transformers_as_bfloat16(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("qwen3"), tiny_tokenizer()
    expected = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    save_final(model, tokenizer, tmp_path, "base")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert loaded.dtype == torch.bfloat16
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in expected.items())
    text = "The cat — 猫"
    assert AutoTokenizer.from_pretrained(tmp_path).encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize(
    ("arch", "changed"),
    [
        ("llama", {}),
        ("gpt2", {}),
        ("llama", {"rslora": True}),
        ("llama", {"dora": True}),
        ("gpt2", {"targets": "auto"}),
    ],
)
def test_merged_adapter_equals_unmerged(tmp_path: Path, arch: str, changed: dict[str, Any]) -> None:
    base = save_tiny_folder(tmp_path / "base", arch)
    model = adapt(tiny_model(arch), "lora", settings().lora.model_copy(update=changed), 1)
    fit(model, training_rows(), settings(epochs=3), 1e-2, 1)
    save_final(model, tiny_tokenizer(), tmp_path / "adapter", "base")
    merged = load_variant(tmp_path / "adapter", base).model
    ids = torch.tensor([[5, 17, 40, 99, 200]])
    with torch.no_grad():
        ours, untuned = merged(ids).logits, tiny_model(arch)(ids).logits
        expected = model.eval()(ids).logits
    assert (expected - untuned).abs().max() > 0.05
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    base = save_tiny_folder(tmp_path / "base")
    model = adapt(AutoModelForCausalLM.from_pretrained(base), "lora", settings().lora, 1)
    save_final(model, tiny_tokenizer(), tmp_path / "adapter", "some-base")
    files = list((tmp_path / "adapter").iterdir())
    assert {path.name for path in files} == {"adapter_config.json", "adapter_model.safetensors"}
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in files)
