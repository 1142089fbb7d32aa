"""Expansion: variants, digests that tell apart what differs and only that, order of stages."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.dataset import Dataset
from harness.data.source import Source
from harness.errors import SpecError
from harness.factors import adjusted_weights, matched_levels
from harness.metrics.base import Recipe, References
from harness.metrics.registry import load_metric
from harness.plan import expand
from harness.prompts import STYLES
from harness.records.inputs import BaseInput, ImportedInput, ServedInput, SourceInput
from harness.records.plan import Plan
from harness.records.settings import FieldMap
from harness.records.variant import Cell, Masking, Method, Variant
from harness.resolve import resolve
from harness.resolved import Resolved, ResolvedImport, ResolvedJudge, ResolvedMetric, ResolvedModel, ResolvedServed
from harness.spec.matrix import MatrixSpec
from harness.spec.reading import parse_spec
from harness.variants import baseline_cell, variants

MATRIX = """\
name: m
data: starter-en
axes: {model: [a], prompt_style: [alpaca, phi], masking: [prompt, none], method: [none, lora], seed: [1, 2]}
judges: [{backend: scripted, name: j}]
metrics: [bleu, rougeL]
"""


def resolved(spec: MatrixSpec, *, model_identity: str = "x", prompt: str = "p", parser: str = "q") -> Resolved:
    source = Source(Path("d.json"), SourceInput(format="json", identity="s" * 64))
    return Resolved(
        data=Dataset((source,), FieldMap(), spec.split, codes=bytes([1])),
        language=None,
        models={"a": ResolvedModel("a", BaseInput(kind="gguf", identity=model_identity), 1e8)},
        styles=STYLES,
        metrics={
            each.column: ResolvedMetric(load_metric(each.metric), Recipe(each.metric, References(), {}))
            for each in spec.metrics
        },
        judges=tuple(ResolvedJudge(judge, "r", "m", prompt, parser) for judge in spec.judges),
    )


def plan_of(text: str = MATRIX, **facts: str) -> Plan:
    spec = parse_spec(text, "m.yaml")
    return expand(spec, resolved(spec, **facts))


def keys(plan: Plan, stage: str) -> set[str]:
    return {each.key.digest for each in plan.stages if each.key.stage == stage}


ELSEWHERE = """\
include:
  - {served: {backend: ollama, model: "llama3:8b", name: llama3}}
  - {imported: {file: book.json}}
"""


def test_who_answers_elsewhere_is_an_untuned_variant_without_base() -> None:
    spec = parse_spec(MATRIX + ELSEWHERE, "m.yaml")
    found = resolved(spec)
    served, imported = spec.include[0].served, spec.include[1].imported
    assert served is not None and imported is not None
    both = replace(
        found,
        served={"llama3": ResolvedServed(served, "ollama:abc", {}, None)},
        imported={"book": ResolvedImport(imported, Path("book.json"), "f" * 64)},
    )
    plan = expand(spec, both)
    names = {each.variant.name: each for each in plan.variants if each.base is None}
    assert set(names) == {"llama3/served", "book/imported"}
    assert all(each.train is None and each.variant.cell.level("masking") is None for each in names.values())
    inputs = {stage.key: stage.input for stage in plan.stages}
    assert isinstance(inputs[names["llama3/served"].generate], ServedInput)
    assert isinstance(inputs[names["book/imported"].generate], ImportedInput)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert keys(plan_of(), "train") == keys(plan, "train"), "whoever else answers trains nothing again"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "include: [{imported: {file: a/x.json}}, {imported: {file: b/x.json}}]",
            "two variants are called 'x/imported'",
        ),
        ("include: [{model: a, imported: {file: x.json}}]", "give axes, `served` or `imported`"),
        ("generate: {samples: 2}", "without a temperature above 0 nothing is drawn"),
        ("generate: {max_new_tokens: {times_reference: 2, at_least: 9, at_most: 8}}", "at_least is above at_most"),
    ],
)
def test_what_cannot_be_included_or_drawn_is_refused(line: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        parse_spec(f"{MATRIX}{line}\n", "m.yaml")


def test_untuned_variants_ignore_masking_and_seed() -> None:
    found = variants(parse_spec(MATRIX, "m"))
    untuned = [each for each in found if each.method == "none"]
    assert untuned == [
        Variant(model="a", prompt_style=style, method="none", masking=None, seed=None) for style in ("alpaca", "phi")
    ]
    assert len(found) == 2 + 2 * 2 * 2


def test_exclude_and_include() -> None:
    text = MATRIX + "exclude: [{prompt_style: phi, masking: none}, {method: none}]\ninclude: [{model: b, seed: 7}]\n"
    found = variants(parse_spec(text, "m"))
    assert not [each for each in found if each.method == "none"]
    assert not [each for each in found if each.prompt_style == "phi" and each.masking == "none"]
    assert {each.seed for each in found if each.model == "b"} == {7}
    assert len({each.name for each in found}) == len(found)


def test_excluding_all_is_refused() -> None:
    with pytest.raises(SpecError, match="leaves no variant"):
        variants(parse_spec(MATRIX + "exclude: [{model: a}]\n", "m"))


def test_baseline_must_mean_one_cell() -> None:
    with pytest.raises(SpecError, match="4 cells match"):
        plan_of(MATRIX + "compare: {baseline: {method: lora}}\n")
    plan_of(MATRIX + "compare: {baseline: {method: none, prompt_style: phi}}\n")


def test_every_stage_comes_after_its_inputs_and_once() -> None:
    seen: set[str] = set()
    plan = plan_of()
    everything = {each.key.digest for each in plan.stages}
    for each in plan.stages:
        needed = {value for value in each.input.model_dump().values() if isinstance(value, str) and value in everything}
        assert needed <= seen, each
        assert each.key.digest not in seen
        seen.add(each.key.digest)


def test_no_two_variants_share_an_answer() -> None:
    plan = plan_of()
    generated = [each.generate for each in plan.variants]
    assert len(set(generated)) == len(generated)


def test_renaming_a_judge_asks_nothing_again() -> None:
    assert plan_of().stages == plan_of(MATRIX.replace("name: j", "name: k")).stages


def test_a_new_parser_reads_old_replies() -> None:
    old, new = plan_of(), plan_of(parser="other")
    assert keys(old, "ask") == keys(new, "ask")
    assert not keys(old, "judge") & keys(new, "judge")


def test_a_new_rubric_asks_everything_again_and_trains_nothing() -> None:
    old, new = plan_of(), plan_of(prompt="other")
    assert not keys(old, "ask") & keys(new, "ask")
    assert keys(old, "train") == keys(new, "train")


def test_other_weights_change_everything_behind_them() -> None:
    old, new = plan_of(), plan_of(model_identity="other")
    for stage in ("train", "generate", "score"):
        assert not keys(old, stage) & keys(new, stage)
    probes = {judge.probe_ask.digest for judge in old.judges}  # made from the data alone: no weights behind them
    assert keys(old, "ask") & keys(new, "ask") == probes


def test_lora_settings_do_not_touch_full_training() -> None:
    text = MATRIX.replace("[none, lora]", "[full]")
    assert plan_of(text).stages == plan_of(text + "train: {lora: {rank: 4}}\n").stages


def test_a_metric_more_makes_only_its_scores() -> None:
    old, new = plan_of(), plan_of(MATRIX.replace("[bleu, rougeL]", "[bleu, rougeL, chrf]"))
    made = {each.key for each in new.stages} - {each.key for each in old.stages}
    assert {key.stage for key in made} == {"score"}
    assert old.matrix_digest != new.matrix_digest


# ---------------------------------------------------------------- the weight of masked tokens


HALF_FRACTION: list[tuple[str, Method, Masking]] = [
    ("alpaca", "lora", "none"),
    ("phi", "lora", "prompt"),
    ("phi", "full", "none"),
    ("alpaca", "full", "prompt"),
]
WEIGHTS = MATRIX.replace("masking: [prompt, none]", "masking: [prompt, none], prompt_loss_weight: [0, 0.1, 1.0]")


def test_the_weight_is_an_axis_where_something_is_masked() -> None:
    cells = {each.cell for each in variants(parse_spec(WEIGHTS, "m")) if each.method == "lora"}
    names = {cell.name.rsplit("/", 1)[-1] for cell in cells}
    assert names == {"mask-prompt", "mask-prompt-w0.1", "mask-prompt-w1", "mask-none"}
    assert {cell.level("prompt_loss_weight") for cell in cells if cell.masking == "none"} == {None}
    plan = plan_of(WEIGHTS)
    assert len(keys(plan, "train")) == 2 * 4 * 2, "each weight trains for itself"


def test_levels_of_the_weight_are_matched_and_none_stands_at_weight_0() -> None:
    cells = list(dict.fromkeys(each.cell for each in variants(parse_spec(WEIGHTS, "m"))))
    pairs = {(found.axis, found.a, found.b): found.pairs for found in matched_levels(cells)}
    assert len(pairs["prompt_loss_weight", "0", "0.1"]) == 2  # a pair a style
    [*maskings] = pairs["masking", "prompt", "none"]
    assert len(maskings) == 2
    assert {cells[i].prompt_loss_weight for i, _ in maskings} == {0.0}


def test_a_weight_that_is_always_0_does_not_hide_the_masking_where_it_never_meets() -> None:
    cells = [
        Cell(model="a", prompt_style=style, method=method, masking=masking) for style, method, masking in HALF_FRACTION
    ]
    [masking] = [found for found in matched_levels(cells) if found.axis == "masking"]
    weights = adjusted_weights(cells, masking)
    assert not masking.pairs and weights is not None
    assert weights.tolist() == pytest.approx([0.5, -0.5, 0.5, -0.5])


def test_a_baseline_by_weight_means_one_cell() -> None:
    baseline = "{method: lora, masking: prompt, prompt_style: phi, prompt_loss_weight: 0.1}"
    spec = parse_spec(WEIGHTS + f"compare: {{baseline: {baseline}}}\n", "m")
    assert baseline_cell(spec) == "a/phi/lora/mask-prompt-w0.1"


def test_settings_of_the_mask_train_anew() -> None:
    for changed in ("eos_in_loss: false", "train_on: last_turn", "truncate: drop"):
        assert not keys(plan_of(), "train") & keys(plan_of(MATRIX + f"train: {{{changed}}}\n"), "train")


def test_what_the_first_training_would_lack_is_said_while_planning(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    matrix = f"""\
name: m
data: starter-en
split: {{train: 8, test: 4}}
axes: {{model: {tiny_folder}, prompt_style: alpaca, method: [none, qlora]}}
train: {{early_stopping: 2, keep: best, precision: bf16-pure, devices: 2, sharding: fsdp, compile: true}}
track: wandb
"""
    with pytest.raises(SpecError) as caught:
        resolve(parse_spec(matrix, "m.yaml"), Path("m.yaml"))
    said = str(caught.value)
    assert "train: early_stopping and keep: best: there are no validation rows" in said
    assert "split.validation" in said
    assert "bf16-pure (torch-optimi) needs a package" in said
    assert "track: wandb needs a package" in said
    assert "method qlora (bitsandbytes and accelerate) needs a package" in said and "sft-harness[gpu]" in said
    assert "fsdp splits floating-point weights, not those of method qlora" in said
    assert "compile: true needs a C++ compiler" in said
    resolve(parse_spec(matrix.replace("[none, qlora]", "none").replace("track: wandb\n", ""), "m.yaml"), Path("m.yaml"))
