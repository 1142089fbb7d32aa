"""Expansion: variants, digests that tell apart what differs and only that, order of stages."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.commands.parsing import prepared
from harness.data.dataset import Dataset
from harness.data.source import Source
from harness.data.split import PARTS
from harness.errors import SpecError
from harness.estimate import CallsEstimate, Estimate, judge_estimates, preparation
from harness.factors import adjusted_weights, matched_levels
from harness.metrics.base import Recipe, References
from harness.metrics.registry import load_metric
from harness.plan import data_input, expand
from harness.plan_table import print_plan
from harness.prompts import STYLES
from harness.records.base import canonical_json
from harness.records.inputs import (
    AskInput,
    BaseInput,
    GenerateInput,
    ImportedInput,
    RowLimits,
    ServedInput,
    SourceInput,
    TrainInput,
)
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
        judges=tuple(ResolvedJudge(judge, judge.model, "r", "m", prompt, parser) for judge in spec.judges),
    )


def plan_of(text: str = MATRIX, **facts: str) -> Plan:
    spec = parse_spec(text, "m.yaml")
    return expand(spec, resolved(spec, **facts))


def keys(plan: Plan, stage: str) -> set[str]:
    return {each.key.digest for each in plan.stages if each.key.stage == stage}


def calls_of(judges: str, **facts: bool) -> dict[str, int]:
    """Calls that the plan tells of each judge, of 20 test items, with nothing sealed."""
    spec = parse_spec(MATRIX.replace("[{backend: scripted, name: j}]", judges), "m.yaml")
    found = resolved(spec)
    data = replace(found.data, codes=bytes([PARTS.index("test")] * 20))
    found = replace(found, data=data, judges=tuple(replace(judge, **facts) for judge in found.judges))
    plan = expand(spec, found)
    told = judge_estimates(plan, found, {stage.key for stage in plan.stages}, samples=1)
    return {judge.name: judge.calls for judge in told}


def test_replies_that_two_judges_read_are_asked_for_once() -> None:
    alone = calls_of("[{backend: scripted, name: j}]")
    both = calls_of("[{backend: scripted, name: j}, {backend: scripted, name: e, expected_score: true}]")
    assert both == alone | {"e": 0} and alone["j"] == 20 * (2 + 2 * 2 * 2 + 8)


def test_what_would_be_compared_with_itself_is_not_asked() -> None:
    """Neither the baseline's answers, nor the reference among the probes, which stand against the reference."""
    assert calls_of("[{backend: scripted, name: j}]", pairwise=True) == {"j": 2 * 20 * (1 + 2 * 2 * 2 + 7)}


def test_names_in_the_table_of_the_plan_are_no_markup() -> None:
    text = MATRIX.replace("name: j", 'name: "[/INST]"')
    spec = parse_spec(text, "m.yaml")
    known = resolved(spec)
    model = replace(known.models["a"], name="[train]", licence="[/MIT]")
    plan = expand(spec, replace(known, models={"a": model}))
    known = replace(known, models={"[train]": model})
    cost = Estimate({}, judges=(CallsEstimate("[/INST]", 1, 1, 1, None),))
    out = io.StringIO()
    print_plan(plan, known, set(), cost, Console(file=out, width=200))
    assert all(text in out.getvalue() for text in ("judge [/INST]:", "score   [/INST]", "model [train]: [/MIT]"))


def test_a_small_run_is_mostly_preparation() -> None:
    spec = parse_spec(MATRIX, "m.yaml")
    found = resolved(spec)
    plan = expand(spec, found)
    everything = {stage.key for stage in plan.stages}
    converted = {key for key in everything if key.stage != "base"}
    first, later = preparation(plan, found, everything), preparation(plan, found, converted)
    assert first["prepare"] > later["prepare"] > 0
    assert preparation(plan, found, {key for key in everything if key.stage == "judge"}) == {}


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
    ("facts", "generate", "said"),
    [
        ({"gaps": 3}, "", "no response to 3 test items"),
        ({}, "generate: {samples: 2, temperature: 0.5}\n", "where `generate.samples` asks for 2"),
        ({"samples": 2}, "generate: {samples: 2, temperature: 0.5}\n", ""),
        ({}, "", ""),
    ],
)
def test_a_pairwise_judge_needs_an_opponents_answer_to_everything(
    facts: dict[str, int], generate: str, said: str
) -> None:
    text = MATRIX + "include:\n  - {imported: {file: book.json}}\ncompare: {baseline: {model: book}}\n" + generate
    spec = parse_spec(text, "m.yaml")
    found, imported = resolved(spec), spec.include[0].imported
    assert imported is not None
    judges = tuple(replace(judge, pairwise=True) for judge in found.judges)
    book = ResolvedImport(imported, Path("book.json"), "f" * 64, **facts)
    found = replace(found, judges=judges, imported={"book": book})
    if not said:
        expand(spec, found)
        return
    with pytest.raises(SpecError, match=re.escape(said)):
        expand(spec, found)


def test_stability_is_measured_on_responses_of_its_own() -> None:
    plain, plan = plan_of(), plan_of(MATRIX + "stability: {}\n")
    inputs = {stage.key: stage.input for stage in plan.stages}
    for before, each in zip(plain.variants, plan.variants, strict=True):
        assert (before.generate, before.scores, before.judgments) == (each.generate, each.scores, each.judgments)
        assert before.sampled is None and each.sampled is not None and list(each.sampled_scores) == ["rougeL"]
        drawn, usual = inputs[each.sampled], inputs[each.generate]
        assert isinstance(drawn, GenerateInput) and isinstance(usual, GenerateInput)
        assert drawn.settings == usual.settings.model_copy(update={"samples": 5, "temperature": 0.7})
        assert drawn.weights == usual.weights


def test_a_gpu_engine_answers_when_all_is_trained() -> None:
    stages = [stage.key.stage for stage in plan_of(MATRIX + "generate: {engine: vllm}\n").stages]
    assert max(i for i, stage in enumerate(stages) if stage == "train") < stages.index("generate")


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


def test_an_exclude_rule_that_matches_nothing_is_a_slip() -> None:
    with pytest.raises(SpecError, match=r"`exclude` \{model: aa, method: full\} matches no variant"):
        variants(parse_spec(MATRIX + "exclude: [{model: aa, method: full}]\n", "m"))


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
    assert names == {"mask-prompt", "mask-prompt-w0.1", "mask-none"}
    assert {cell.level("prompt_loss_weight") for cell in cells if cell.masking == "none"} == {None}
    plan = plan_of(WEIGHTS)
    assert len(keys(plan, "train")) == 2 * 3 * 2, "each weight trains for itself"


def test_weight_1_of_any_masking_is_masking_none() -> None:
    one = WEIGHTS.replace("[prompt, none]", "[prompt, instruction]").replace("[0, 0.1, 1.0]", "1")
    given = one.replace("seed:", "train_on: [last_turn, all_assistant_turns], seed:")
    assert keys(plan_of(one), "train") == keys(plan_of(MATRIX.replace("[prompt, none]", "none")), "train")
    assert {cell.masking for each in variants(parse_spec(given, "m")) if (cell := each.cell).method == "lora"} == {
        "none"
    }
    assert len(keys(plan_of(given), "train")) == 2 * 2
    for masking in ("prompt", "instruction"):
        baseline = f"{{method: lora, prompt_style: phi, masking: {masking}, prompt_loss_weight: 1}}"
        assert (
            baseline_cell(parse_spec(WEIGHTS + f"compare: {{baseline: {baseline}}}\n", "m")) == "a/phi/lora/mask-none"
        )


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


def test_only_conversations_that_are_cut_on_the_left_train_anew() -> None:
    def versions(train: str, conversations: bool) -> set[int]:
        spec = parse_spec(MATRIX + f"train: {{{train}}}\n", "m")
        found = resolved(spec)
        plan = expand(spec, replace(found, data=replace(found.data, conversations=conversations)))
        return {stage.input.version for stage in plan.stages if isinstance(stage.input, TrainInput)}

    assert versions("truncate: left", True) == {2}
    assert versions("truncate: left", False) == versions("truncate: right", True) == {1}
    assert versions("truncate: left, train_on: last_turn", True) == {1, 2}, "under masking none all tokens carry loss"


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
    with pytest.raises(SpecError, match=r"m.yaml:5: train: .*adamw-8bit and bf16-pure cannot be sharded"):
        parse_spec(matrix, "m.yaml")
    matrix = matrix.replace(", devices: 2, sharding: fsdp", "")
    with pytest.raises(SpecError) as caught:
        resolve(parse_spec(matrix, "m.yaml"), Path("m.yaml"))
    said = str(caught.value)
    assert "train: early_stopping and keep: best: there are no validation rows" in said
    assert "split.validation" in said
    assert "bf16-pure (torch-optimi) needs a package" in said
    assert "track: wandb needs a package" in said
    assert "method qlora (bitsandbytes and accelerate) needs a package" in said and "sft-harness[gpu]" in said
    sharded = matrix.replace("precision: bf16-pure", "devices: 2, sharding: fsdp")
    with pytest.raises(SpecError, match="fsdp splits floating-point weights, not those of method qlora"):
        resolve(parse_spec(sharded, "m.yaml"), Path("m.yaml"))
    assert "compile: true needs a C++ compiler" in said
    resolve(parse_spec(matrix.replace("[none, qlora]", "none").replace("track: wandb\n", ""), "m.yaml"), Path("m.yaml"))


BESIDE = """\
name: m
data: starter-en
axes: {model: MODEL, prompt_style: alpaca, method: none}
judges: [{backend: transformers, model: MODEL}]
metrics: [{metric: bertscore, options: {model: MODEL, layer: 1}}]
"""


def test_every_model_is_looked_up_beside_the_matrix(tiny_folder: Path) -> None:
    matrix = tiny_folder.parent / "m.yaml"
    found = resolve(parse_spec(BESIDE.replace("MODEL", tiny_folder.name), str(matrix)), matrix)
    [judge], [metric] = found.judges, found.metrics.values()
    assert {found.models[tiny_folder.name].name, judge.model, metric.recipe.options["model"]} == {str(tiny_folder)}
    assert judge.spec.model == tiny_folder.name, "names and signatures are the matrix's"


def test_a_matrix_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = tmp_path / "m.yaml"
    matrix.write_text(MATRIX)

    def edited_meanwhile(spec: MatrixSpec, matrix: Path) -> Resolved:
        matrix.write_text("name: another\n")
        return resolved(spec)

    monkeypatch.setattr("harness.resolve.resolve", edited_meanwhile)
    spec, plan, _, text = prepared(matrix)
    assert (spec.name, plan.matrix, text) == ("m", "m", MATRIX)
    with pytest.raises(SpecError, match="no such file"):
        prepared(tmp_path / "none.yaml")


def test_only_a_split_that_would_hold_other_rows_than_before_has_another_digest() -> None:
    leaks, parts = "audit: {leaks: drop}\n", "split: {train: 0.8, test: 0.1, validation: 0.1}\n"

    def version(text: str, n: int = 10, **facts: Any) -> int:
        spec = parse_spec(MATRIX + text, "m.yaml")
        data = Dataset((), FieldMap(), spec.split, codes=bytes(n), **facts)
        return data_input(spec, data, RowLimits(bases=(), styles_sha256=(), max_length=None)).version

    assert [version(""), version("", numbers=True)] == [1, 2]
    assert [version(parts), version(parts, 15)] == [1, 2]
    assert version("", newly_read=True) == 4
    assert [version(leaks), version("", folds=(2,)), version(leaks, folds=(2,))] == [1, 1, 2]
    halves, binary = "split: {train: 0.8, test: 0.2}\n", "split: {train: 0.57, test: 0.29}\n"
    assert [version(halves), version(halves, 1099), version(binary, 90), version(binary, 100)] == [1, 3, 1, 3]
    assert version("split: {folds: 2, validation: 0.29}\n", 100) == 3
    said = {"conversations": True}
    assert [version("", **said), version(leaks, **said), version("audit: {echoes: drop}\n", **said)] == [1, 3, 1]
    assert version("audit: {languages: drop}\n", **said) == version("audit: {near_repeats: drop}\n", **said) == 3


def test_clusters_by_a_field_that_no_test_example_has_are_refused_while_planning(
    tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [{"instruction": f"q{i}", "output": "a", "talk": i // 2, "text": "t"} for i in range(8)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    matrix = f"""\
name: m
data: d.jsonl
split: {{train: 4, test: 4}}
axes: {{model: {tiny_folder}, prompt_style: alpaca, method: none}}
compare: {{clusters: talk}}
"""
    resolve(parse_spec(matrix, "m.yaml"), tmp_path / "m.yaml")
    with pytest.raises(
        SpecError, match=r"(?s)compare.clusters: no test example has the field 'talks'.*fields: talk, text"
    ):
        resolve(parse_spec(matrix.replace("clusters: talk", "clusters: talks"), "m.yaml"), tmp_path / "m.yaml")


# ---------------------------------------------------------------- folds, and training settings as axes

FOLDED = """\
name: m
data: starter-en
split: {folds: 3, shuffle: 1}
axes: {model: [a], method: [none, lora], seed: [1, 2]}
judges: [{backend: scripted, name: j}]
metrics: [rougeL]
"""


def test_every_trained_variant_stands_there_once_a_fold_and_an_untuned_one_once() -> None:
    spec = parse_spec(FOLDED, "m.yaml")
    trained = "a/alpaca/lora/mask-prompt"
    names = ["a/alpaca/untuned", *(f"{trained}#{seed}.fold{fold}" for seed in (1, 2) for fold in (1, 2, 3))]
    assert [each.name for each in variants(spec)] == names
    assert {each.cell.name for each in variants(spec)} == {"a/alpaca/untuned", trained}
    plan = plan_of(FOLDED)
    assert len(keys(plan, "data")) == 1, "all folds share one sealed split"
    assert (len(keys(plan, "train")), len(keys(plan, "generate"))) == (6, 7)
    assert [each.fold for each in variants(parse_spec(FOLDED.replace("seed: [1, 2]", "fold: 2"), "m.yaml"))] == [
        None,
        2,
    ]


def test_folds_that_there_are_not_are_refused_by_line() -> None:
    with pytest.raises(SpecError, match=r"m.yaml:4: .*fold 4: the split has 3 folds"):
        parse_spec(FOLDED.replace("seed: [1, 2]", "fold: [1, 4]"), "m.yaml")
    with pytest.raises(SpecError, match="leave `train` and `test` out"):
        parse_spec(FOLDED.replace("folds: 3,", "folds: 3, test: 0.1,"), "m.yaml")


def test_a_pairwise_judge_meets_the_same_fold_of_a_cross_validated_baseline() -> None:
    text = FOLDED.replace("method: [none, lora]", "method: [full, lora]") + "compare: {baseline: {method: full}}\n"

    def planned(text: str) -> Plan:
        spec = parse_spec(text, "m.yaml")
        facts = resolved(spec)
        return expand(spec, replace(facts, judges=tuple(replace(judge, pairwise=True) for judge in facts.judges)))

    plan = planned(text)
    rivals = {v.variant.fold: v.generate.digest for v in plan.variants if v.variant.name.startswith("a/alpaca/full")
              and v.variant.seed == 1}  # fmt: skip
    asked = {stage.key: stage.input for stage in plan.stages if isinstance(stage.input, AskInput)}
    assert len(set(rivals.values())) == 3
    assert all(asked[each.asks["j"]].against == rivals[each.variant.fold] for each in plan.variants)
    with pytest.raises(SpecError, match=r"compare.baseline: judge 'j'.*untuned"):
        planned(text.replace("[full, lora]", "[none, full, lora]"))


def test_training_settings_are_axes_where_the_matrix_varies_them() -> None:
    text = MATRIX.replace(
        "seed: [1, 2]", "seed: 1, eos_in_loss: [true, false], train_on: last_turn, truncate: [left, drop]"
    )
    every = [each for each in variants(parse_spec(text, "m.yaml")) if each.method == "lora"]
    assert len(every) == 2 * 2 * 2 * 2
    told = {each.name for each in every}
    assert "a/phi/lora/mask-prompt-no-eos-last-turn-truncate-left#1" in told
    assert "a/phi/lora/mask-none-eos-all-turns-truncate-drop#1" in told, "masking none learns all turns anyway"
    plan = plan_of(text)
    trained = {s.key: s.input for s in plan.stages if isinstance(s.input, TrainInput)}
    for each in plan.variants:
        if each.train is not None:
            settings = trained[each.train].settings
            assert settings.eos_in_loss == each.variant.eos_in_loss
            assert settings.truncate == each.variant.truncate
    assert len(trained) == 16
    matched = {(m.axis, m.a, m.b): len(m.pairs) for m in matched_levels([each.cell for each in every])}
    assert matched["eos_in_loss", "true", "false"] == matched["truncate", "left", "drop"] == 8


def test_learning_rate_and_rank_are_axes() -> None:
    text = MATRIX.replace("seed: [1, 2]", "seed: 1, lr: [5e-5, 2e-4], rank: [4, 16]").replace(
        "[prompt, none]", "prompt"
    )
    text = text.replace("[none, lora]", "[none, full, lora]") + "train: {lora: {alpha: 8}}\n"
    plan = plan_of(text)
    names = {each.variant.name for each in plan.variants if each.variant.prompt_style == "phi"}
    assert names == {
        "a/phi/untuned",
        *(f"a/phi/full/mask-prompt-lr{rate}#1" for rate in ("5e-05", "0.0002")),
        *(f"a/phi/lora/mask-prompt-lr{rate}-r{rank}#1" for rate in ("5e-05", "0.0002") for rank in (4, 16)),
    }
    trained = {s.key: s.input for s in plan.stages if isinstance(s.input, TrainInput)}
    for each in plan.variants:
        if each.train is not None:
            settings, lora = trained[each.train].settings, each.variant.method == "lora"
            assert (settings.lr, settings.lora.lr) == (each.variant.lr, None)
            assert (settings.lora.rank, settings.lora.alpha) == ((each.variant.rank, 8) if lora else (16, 16))
    cells = [each.variant.cell for each in plan.variants]
    matched = {(m.axis, m.a, m.b): len(m.pairs) for m in matched_levels(cells)}
    assert matched["lr", "5e-05", "0.0002"] == 2 * 3 and matched["rank", "4", "16"] == 2 * 2
    assert matched["method", "full", "lora"] == 2 * 2 * 2, "each rank against the full training at its rate"
    assert matched["method", "none", "lora"] == 2 * 4
    with pytest.raises(SpecError, match=r"train.*leave `lora.lr` out"):
        plan_of(text.replace("{alpha: 8}", "{alpha: 8, lr: 1.0e-4}"))
    with pytest.raises(SpecError, match="greater than 0"):
        plan_of(text.replace("5e-5", "0"))
    with pytest.raises(SpecError, match="finite"):
        plan_of(text.replace("5e-5", ".inf"))


def test_a_rank_of_one_inclusion_alone_sets_it_apart() -> None:
    text = MATRIX.replace("seed: [1, 2]", "seed: 1") + "include: [{method: lora, rank: 64, masking: prompt}]\n"
    ranks = {(each.method, each.rank) for each in variants(parse_spec(text, "m.yaml"))}
    assert {("lora", 16), ("lora", 64)} <= ranks and {rank for method, rank in ranks if method != "lora"} <= {None}


def test_an_unvaried_training_setting_leaves_names_and_digests_alone() -> None:
    plain, given = plan_of(), plan_of(MATRIX + "train: {eos_in_loss: false}\n")
    assert [each.variant for each in plain.variants] == [each.variant for each in given.variants]
    axis = plan_of(MATRIX.replace("seed: [1, 2]", "seed: [1, 2], eos_in_loss: false"))
    assert keys(axis, "train") == keys(given, "train"), "one training, whichever way it was written"
    included = plan_of(MATRIX + "include: [{eos_in_loss: false, prompt_style: phi, masking: prompt}]\n")
    assert keys(included, "train") > keys(plain, "train")


# ---------------------------------------------------------------- judging until it is decided

ONE_SEED = MATRIX.replace("seed: [1, 2]", "seed: [1]")
STOPPED = ONE_SEED + "compare: {stop_when_decided: true, primary: j, margin: 2}\n"


def test_asking_until_it_is_decided_comes_after_the_baseline_is_judged() -> None:
    plain, stopped = plan_of(ONE_SEED), plan_of(STOPPED)
    rules = {stage.key: stage.input for stage in stopped.stages if isinstance(stage.input, AskInput)}
    asks = [rules[each.asks["j"]] for each in stopped.variants]
    assert sum(each.stop is None for each in asks) == 1
    rival = stopped.variants[[each.stop for each in asks].index(None)]
    assert rival.variant.method == "none", "what others are held against is judged whole, as ever"
    assert rival.asks["j"] in {each.asks["j"] for each in plain.variants}
    judged = {rule.judged for each in asks if (rule := each.stop) is not None}
    assert judged == {rival.judgments["j"].digest}
    (rule,) = {each.stop for each in asks if each.stop is not None}
    assert (rule.alpha, rule.margin) == (pytest.approx(0.05 / 5), 2.0)
    order = [stage.key for stage in stopped.stages]
    others = [each.asks["j"] for each in stopped.variants if each != rival]
    assert order.index(rival.judgments["j"]) < min(order.index(key) for key in others)
    assert not keys(plain, "ask") & {key.digest for key in others}


def test_without_a_rule_questions_keep_their_identity() -> None:
    """Replies that were paid for before there were such rules are found again."""
    asked = next(stage.input for stage in plan_of().stages if isinstance(stage.input, AskInput))
    assert "stop" not in canonical_json(asked)
    assert AskInput.model_validate_json(canonical_json(asked)) == asked


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: [1]", "seed: [1, 2]", "has 2 seeds"),
        ("name: j}", "name: j, options: {batch: true}}", "by batch"),
        ("margin: 2", "clusters: topic", "stand or fall together"),
        ("compare:", "panels: [{name: p, judges: [j, k]}]\ncompare:", "a panel needs"),
    ],
)
def test_asking_until_it_is_decided_is_refused_where_it_has_no_meaning(old: str, new: str, message: str) -> None:
    text = STOPPED.replace("name: j}]", "name: j}, {backend: scripted, name: k}]") if "panels" in new else STOPPED
    with pytest.raises(SpecError, match=message):
        plan_of(text.replace(old, new))
