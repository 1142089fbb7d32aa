"""The training loop: invariants, and steps recomputed by independent code."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import partialmethod
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers

from harness.errors import DataError, ModelError, TrainingFailed
from harness.prompts import STYLES
from harness.records.data import Example, SplitExample, SplitName
from harness.records.inputs import TrainInput
from harness.records.rows import LossRow
from harness.records.settings import LoraSettings, TrainSettings
from tests.tiny import tiny_model, tiny_tokenizer
from trainers.checkpoints import Checkpoints, load_variant
from trainers.masking import MaskPolicy
from trainers.methods import adapt, trained_parameters
from trainers.models import LoadedModel
from trainers.neftune import noisy_embeddings
from trainers.rows import TrainingRows, encode_examples
from trainers.schedules import batch_at, learning_rate, total_steps, unreached
from trainers.sft import FitReport, fit, train_variant
from trainers.token_shards import Recipe, write_shards

WORDS = ["cat", "roof", "warm", "Denmark", "sleeps", "sentence", "past", "name", "tense", "long", "day"]


def split_examples(n: int, split: SplitName = "train") -> list[SplitExample]:
    return [
        SplitExample(
            split=split,
            index=i,
            example=Example(
                id=f"{split}{i}", instruction=f"Repeat {WORDS[i % 11]}", output=" ".join(WORDS[i % 11 :][: 1 + i % 5])
            ),
        )
        for i in range(n)
    ]


def training_rows(n: int = 20, n_validation: int = 0) -> TrainingRows:
    base = LoadedModel(None, tiny_tokenizer(), 512)
    examples = split_examples(n) + split_examples(n_validation, "validation")
    return encode_examples(base, examples, STYLES["phi"], MaskPolicy("prompt"), None)


def write_tokens(folder: Path, base: Path, examples: list[SplitExample]) -> Path:
    """The examples in the style phi, as the tokens stage writes them."""
    folder.mkdir(exist_ok=True)
    split, tokens = folder / "rows.jsonl", folder / "tokens"
    split.write_text("".join(example.model_dump_json() + "\n" for example in examples))
    tokens.mkdir()
    write_shards(split, Recipe(base, STYLES["phi"], trust_remote_code=False, folder=tokens))
    return tokens


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"epochs": 1, "batch_size": 8, "lr": 1e-3, "precision": "fp32", **changes})


def train(
    chosen: TrainSettings, *, arch: str = "llama", seed: int = 1, method: Literal["full", "lora"] = "full"
) -> tuple[Any, FitReport]:
    dropout = 0.1 if arch == "gpt2" else 0.0
    model = adapt(tiny_model(arch, dropout=dropout), method, chosen.lora, seed)
    return model, fit(model, training_rows(n_validation=5), chosen, chosen.lr, seed)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize("micro_batch_size", [1, 3])
def test_accumulation_does_not_change_the_mathematics(micro_batch_size: int) -> None:
    whole, one = train(settings())
    parts, other = train(settings(micro_batch_size=micro_batch_size))
    assert [row.loss for row in other.losses] == pytest.approx([row.loss for row in one.losses], rel=1e-5)
    for name, expected in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], expected, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])  # gpt2 with dropout
@pytest.mark.parametrize("method", ["full", "lora"])
def test_same_seed_same_weights_other_seed_others(arch: str, method: Literal["full", "lora"]) -> None:
    first, _ = train(settings(), arch=arch, method=method)
    torch.manual_seed(99)  # a global generator in another state must not matter
    again, _ = train(settings(), arch=arch, method=method)
    other, _ = train(settings(), arch=arch, method=method, seed=2)
    assert equal(first, again)
    assert not equal(first, other)


def test_fit_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(settings(max_steps=1), method="lora")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("clip_norm", [0.5, None])
def test_steps_equal_a_plain_padded_loop(clip_norm: float | None) -> None:
    """Two AdamW steps written out with transformers' own loss and PyTorch's unfused optimizer."""
    chosen, rows, model = settings(weight_decay=0.1, clip_norm=clip_norm), training_rows().train, tiny_model()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], weight_decay=0.1)
    losses = []
    for step in range(2):
        batch = [rows[index].row for index in batch_at(step, chosen, len(rows), 1)]
        width = max(len(row.ids) for row in batch)
        ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in batch])
        labels = torch.tensor([[*row.labels, *[-100] * (width - len(row.ids))] for row in batch])
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / 2)
        optimizer.step()
        losses.append(loss.item())
    ours, report = train(settings(weight_decay=0.1, clip_norm=clip_norm, max_steps=2))
    assert [row.loss for row in report.losses] == pytest.approx(losses, rel=1e-5)
    for name, expected in weights(model).items():
        torch.testing.assert_close(weights(ours)[name], expected, rtol=1e-4, atol=2e-6, msg=name)


def test_loss_falls_and_is_reported_step_by_step() -> None:
    seen: list[tuple[LossRow, int]] = []
    chosen = settings(epochs=6, lr=5e-3)
    model = tiny_model()
    report = fit(
        model, training_rows(n_validation=5), chosen, chosen.lr, 1, on_step=lambda row, n: seen.append((row, n))
    )
    assert tuple(row for row, _ in seen) == report.losses
    assert {n for _, n in seen} == {18}
    assert [row.step for row in report.losses] == list(range(1, 19))
    assert report.losses[-1].loss < 0.7 * report.losses[0].loss
    assert [row.step for row in report.losses if row.validation_loss is not None] == [3, 6, 9, 12, 15, 18]


def test_validation_loss_is_the_mean_over_loss_bearing_tokens() -> None:
    chosen = settings(max_steps=1, lr=1e-9, micro_batch_size=2)
    rows, model = training_rows(n_validation=5), tiny_model()
    report = fit(model, rows, chosen, chosen.lr, 1)
    total = tokens = 0.0
    with torch.no_grad():
        for named in rows.validation:
            loss = model(torch.tensor([named.row.ids]), labels=torch.tensor([named.row.labels])).loss.item()
            total += loss * named.row.loss_tokens
            tokens += named.row.loss_tokens
    assert report.losses[-1].validation_loss == pytest.approx(total / tokens, rel=1e-5)


def test_a_loss_that_is_not_finite_names_step_and_rows() -> None:
    model = tiny_model()
    torch.nn.init.constant_(model.model.layers[1].mlp.down_proj.weight, torch.inf)
    with pytest.raises(TrainingFailed, match=r"step 1: loss nan.*train\d+, train\d+") as caught:
        fit(model, training_rows(), settings(), 1e-3, 1)
    assert caught.value.hint is not None
    assert "train.lr" in caught.value.hint


def test_bf16_autocast_trains_close_to_fp32() -> None:
    _, exact = train(settings())
    _, rough = train(settings(precision="bf16"))
    assert rough.precision == "bf16"
    assert [row.loss for row in rough.losses] == pytest.approx([row.loss for row in exact.losses], rel=0.03)
    assert [row.loss for row in rough.losses] != [row.loss for row in exact.losses]


def test_pure_bf16_trains_close_to_fp32_in_half_the_memory() -> None:
    _, exact = train(settings(epochs=4))
    model, rough = train(settings(epochs=4, precision="bf16-pure"))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert [row.loss for row in rough.losses] == pytest.approx([row.loss for row in exact.losses], rel=0.05)


# ---------------------------------------------------------------- schedule and order


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.25])
def test_rates_equal_those_of_transformers(schedule: Any, warmup_ratio: float) -> None:
    chosen = settings(schedule=schedule, warmup_ratio=warmup_ratio)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=3e-4)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    theirs = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=round(20 * warmup_ratio), num_training_steps=20
    )
    for step in range(20):
        assert learning_rate(step, 20, 3e-4, chosen) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 3), ({"epochs": 2}, 6), ({"epochs": 0.5}, 2), ({"epochs": 0.01}, 1), ({"epochs": 4, "max_steps": 5}, 5)],
)
def test_total_steps(changes: dict[str, float], expected: int) -> None:
    assert total_steps(settings(**changes), 20) == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"warmup_steps": 2, "max_steps": 3}, []),
        ({"warmup_steps": 4}, ["`train.warmup_steps: 4`, and the training has 3: its rate reaches 50 % of `lr`"]),
        ({"max_steps": 4}, ["`train.max_steps: 4` is not reached: `epochs: 1.0` are 3"]),
        (
            {"warmup_steps": 4, "max_steps": 1},
            ["`train.warmup_steps: 4`, and the training has 1: its rate reaches 0 %"],
        ),
    ],
)
def test_a_schedule_that_the_training_does_not_reach_is_told(changes: dict[str, int], told: list[str]) -> None:
    found = unreached(settings(**changes), 20)
    assert len(found) == len(told)
    assert all(text in each for text, each in zip(told, found, strict=True))


def test_each_epoch_sees_every_row_once_in_an_order_of_its_own() -> None:
    epochs = [
        [index for step in range(3 * e, 3 * e + 3) for index in batch_at(step, settings(), 20, 1)] for e in (0, 1)
    ]
    assert all(Counter(order) == Counter(range(20)) for order in epochs)
    assert epochs[0] != epochs[1]
    assert batch_at(0, settings(), 20, 1) != batch_at(0, settings(), 20, 2)


# ---------------------------------------------------------------- methods


def test_lora_trains_the_adapter_alone() -> None:
    before = tiny_model()
    model, _ = train(settings(), method="lora")
    assert all("lora_" in name for name in trained_parameters(model))
    for name, expected in before.named_parameters():
        kept = dict(model.get_base_model().named_parameters())
        wrapped = name.replace("proj.weight", "proj.base_layer.weight")
        assert torch.equal(kept.get(name, kept.get(wrapped)), expected)


@pytest.mark.parametrize(
    ("arch", "targets", "expected"),
    [
        ("llama", "attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("llama", ("q_proj", "v_proj"), {"q_proj", "v_proj"}),
        ("gpt2", "attention", {"c_attn", "c_proj"}),
        ("llama", "all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_lora_targets(arch: str, targets: Any, expected: set[str]) -> None:
    model = adapt(tiny_model(arch), "lora", LoraSettings(rank=2, targets=targets), 0)
    names = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    assert {name.rsplit(".", 1)[-1] for name in names} == expected
    assert arch != "gpt2" or not any("mlp" in name for name in names)


def test_unknown_lora_targets_are_answered_with_the_known() -> None:
    with pytest.raises(ModelError, match=r"q_prj(.|\n)*q_proj"):
        adapt(tiny_model(), "lora", LoraSettings(targets=("q_prj",)), 0)


# ---------------------------------------------------------------- the stage


@pytest.mark.parametrize("method", ["full", "lora"])
def test_train_variant_writes_weights_that_load(
    tmp_path: Path, tiny_folder: Path, method: Literal["full", "lora"]
) -> None:
    rows: list[LossRow] = []
    stage = TrainInput(
        base="b", data="d", style_sha256="s", masking="prompt", method=method, settings=settings(), seed=3
    )
    tokens = write_tokens(tmp_path, tiny_folder, split_examples(20) + split_examples(4, "test"))
    facts = train_variant(
        stage,
        tiny_folder,
        tokens,
        STYLES["phi"],
        tmp_path / "weights",
        tmp_path / "checkpoints",
        lambda row, _: rows.append(row),
    )
    assert (facts.examples, facts.steps, facts.first_loss, facts.last_loss) == (20, 3, rows[0].loss, rows[-1].loss)
    assert facts.loss_tokens == sum(row.loss_tokens for row in rows)
    assert (facts.trained_parameters == facts.parameters) == (method == "full")
    assert not (tmp_path / "checkpoints").exists()
    base, tuned = load_variant(None, tiny_folder), load_variant(tmp_path / "weights", tiny_folder)
    assert facts.parameters == sum(p.numel() for p in base.model.parameters())
    assert not equal(base.model, tuned.model)


def test_an_empty_training_part_is_refused() -> None:
    base = LoadedModel(None, tiny_tokenizer(), 512)
    with pytest.raises(DataError, match="no row is left to train on"):
        encode_examples(base, split_examples(3, "test"), STYLES["phi"], MaskPolicy("none"), None)


# ---------------------------------------------------------------- validation, stopping, budgets


def unlearning(**changes: Any) -> TrainSettings:
    """A rate so high that the validation loss soon rises."""
    return settings(epochs=6, lr=1.0, evaluate_every=2, warmup_ratio=0.9, **changes)


def fit_in(folder: Path, chosen: TrainSettings) -> tuple[Any, FitReport]:
    model = tiny_model()
    return model, fit(
        model, training_rows(n_validation=5), chosen, chosen.lr, 1, checkpoints=Checkpoints(folder, "f", 0.0)
    )


def test_validation_every_so_many_steps() -> None:
    _, report = train(settings(epochs=2, evaluate_every=4))
    assert [row.step for row in report.losses if row.validation_loss is not None] == [4, 6]


def test_early_stopping_ends_after_validations_that_bring_nothing() -> None:
    _, whole = train(unlearning())
    _, stopped = train(unlearning(early_stopping=2))
    validated = [row for row in stopped.losses if row.validation_loss is not None]
    best = min(validated, key=lambda row: row.validation_loss or 0.0)
    assert len(stopped.losses) < len(whole.losses)
    assert stopped.losses == whole.losses[: len(stopped.losses)]
    assert [row for row in validated if row.step > best.step] == validated[-2:]


def test_a_validation_that_is_no_number_ends_the_training() -> None:
    """A step may ruin the weights though its own loss, of those before it, is a number."""
    chosen = settings(evaluate_every=1, clip_norm=None, schedule="constant")
    with pytest.raises(TrainingFailed, match="step 1: the validation loss is nan"):
        fit(tiny_model(), training_rows(n_validation=3), chosen, 1e38, 1)


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    model, report = fit_in(tmp_path, unlearning(keep="best"))
    validated = {row.step: row.validation_loss for row in report.losses if row.validation_loss is not None}
    assert report.kept_step == min(validated, key=lambda step: validated[step] or 0.0)
    assert report.kept_step < report.losses[-1].step
    again, _ = fit_in(tmp_path / "again", settings(epochs=6, lr=1e-9, max_steps=1))
    assert not equal(model, again)
    total = tokens = 0.0
    with torch.no_grad():
        for named in training_rows(n_validation=5).validation:
            loss = model(torch.tensor([named.row.ids]), labels=torch.tensor([named.row.labels])).loss.item()
            total, tokens = total + loss * named.row.loss_tokens, tokens + named.row.loss_tokens
    assert total / tokens == pytest.approx(validated[report.kept_step], rel=1e-5)


@pytest.mark.parametrize("changes", [{"evaluate_every": 2}, {"early_stopping": 1}, {"keep": "best"}])
def test_what_needs_validation_rows_says_so(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"train.{next(iter(changes))} needs validation rows"):
        fit(tiny_model(), training_rows(), settings(**changes), 1e-3, 1, checkpoints=Checkpoints(tmp_path, "f"))


def test_a_token_budget_ends_with_the_step_that_reaches_it() -> None:
    rows = training_rows().train
    chosen = settings(epochs=3)
    per_step = [sum(len(rows[i].row.ids) for i in batch_at(step, chosen, len(rows), 1)) for step in range(9)]
    for budget, steps in [(1, 1), (per_step[0], 1), (per_step[0] + 1, 2), (sum(per_step), 9), (10**9, 9)]:
        _, report = train(settings(epochs=3, max_tokens=budget))
        assert len(report.losses) == steps
        assert report.losses[-1].lr == pytest.approx(1e-3 / steps)  # the schedule ends with the budget


def test_warmup_in_steps() -> None:
    assert [learning_rate(step, 10, 1.0, settings(warmup_steps=4, warmup_ratio=0.9)) for step in range(5)] == [
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    ]


# ---------------------------------------------------------------- noise on embeddings


def embeddings_of(model: Any, lengths: list[int], ids: torch.Tensor) -> torch.Tensor:
    with noisy_embeddings(model, 5.0, lengths), torch.no_grad():
        return model.get_input_embeddings()(ids)


@pytest.mark.parametrize("flat", [True, False])
def test_noise_is_uniform_within_the_papers_bound_for_each_row(flat: bool) -> None:
    model, lengths = tiny_model().train(), [400, 100]
    ids = torch.full((1, 500), 7) if flat else torch.full((2, 400), 7)
    clean = model.get_input_embeddings()(ids).detach()
    noise = embeddings_of(model, lengths, ids) - clean
    for row, length in enumerate(lengths):
        own = noise[0, :400] if flat and row == 0 else noise[0, 400:] if flat else noise[row, :length]
        bound = 5.0 / (length * 32) ** 0.5
        assert own.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert own.abs().max().item() <= bound
        assert own.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert torch.equal(embeddings_of(model.eval(), lengths, ids), clean)


def test_noise_is_drawn_from_the_step_s_seed() -> None:
    first, _ = train(settings(neftune_alpha=5))
    again, _ = train(settings(neftune_alpha=5))
    without, _ = train(settings())
    assert equal(first, again)
    assert not equal(first, without)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("arch", "method"), [("llama", "full"), ("gpt2", "full"), ("gpt2", "lora"), ("gemma3_text", "full")]
)
def test_recomputed_activations_change_nothing(arch: str, method: Literal["full", "lora"]) -> None:
    """GPT-2 has dropout here: the second forward pass draws the same."""
    kept, before = train(settings(), arch=arch, method=method)
    recomputed, after = train(settings(gradient_checkpointing=True), arch=arch, method=method)
    assert [row.loss for row in after.losses] == pytest.approx([row.loss for row in before.losses], rel=1e-6)
    for name, tensor in weights(kept).items():
        torch.testing.assert_close(weights(recomputed)[name], tensor, rtol=1e-5, atol=1e-6)


def test_activations_are_really_recomputed() -> None:
    calls = []
    model = tiny_model()
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    rows, chosen = TrainingRows(training_rows(8).train), settings(max_steps=1)
    fit(model, rows, chosen, 1e-3, 1)
    once = len(calls)
    fit(model, rows, chosen.model_copy(update={"gradient_checkpointing": True}), 1e-3, 1)
    assert len(calls) == 3 * once
    fit(model, rows, chosen, 1e-3, 1)
    assert len(calls) == 4 * once


CRAMPED = """
import resource, torch
from harness.records.settings import TrainSettings
from tests.unit.test_sft import training_rows
from trainers.sft import fit
from transformers import LlamaConfig, LlamaForCausalLM
chosen, rows = TrainSettings(batch_size=8, max_steps=2, lr=1e-3, precision="fp32"), training_rows(16)
shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
for megabytes in (230, None):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=400_000, num_key_value_heads=1, tie_word_embeddings=True, **shape))
    used = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
    limit = used + megabytes * 2**20 if megabytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    report = fit(model, rows, chosen, chosen.lr, 1)
    print(report.micro_batch_size, *(row.loss for row in report.losses))
"""


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_mathematics() -> None:
    done = subprocess.run([sys.executable, "-c", CRAMPED], capture_output=True, text=True, check=True)
    tight, roomy = ([float(part) for part in line.split()] for line in done.stdout.splitlines())
    assert roomy[0] == 8
    assert tight[0] < 8
    assert tight[1:] == pytest.approx(roomy[1:], rel=1e-5)


# ---------------------------------------------------------------- compiled layers


@pytest.mark.slow
def test_compiled_layers_train_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for any compiler, for batches of any length; the C++ compiler, which takes minutes, is left out."""
    _, expected = train(settings(max_steps=3))
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile, backend="eager"))
    model, report = train(settings(max_steps=3, compile=True))
    assert [row.loss for row in report.losses] == pytest.approx([row.loss for row in expected.losses], rel=1e-4)
    assert not any(module._compiled_call_impl for module in model.modules())


def test_compiling_needs_layers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    monkeypatch.setattr(type(model), "_no_split_modules", None)
    model._no_split_modules = None
    with pytest.raises(ModelError, match="does not name its layers"):
        fit(model, training_rows(), settings(compile=True), 1e-3, 1)
