"""matrix.yaml: every problem at once, each with file, line, the bad value and the nearest right one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.spec.reading import json_schema, load_spec, parse_spec

GOOD = """\
name: small
data: starter-en
axes: {model: [smollm2-135m]}
"""

BAD = """\
name: small
data: starter-en
axes:
  model: [smollm2-135m]
  prompt_style: [alpacca]
  maskin: [prompt]
  masking: [promt, 3]
  prompt_loss_weight: 1.5
  method: []
  seed: [1, 1]
train: {lr: 5e-5, epochs: zwei, lora: {rnk: 3}}
judges:
  - {backend: scripted, item: 3}
  - {}
metrics: [rougeL, blue]
compare: {primary: rougeL}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "m.yaml")
    return list(caught.value.problems)


def test_defaults_of_a_small_matrix() -> None:
    spec = parse_spec(GOOD, "m.yaml")
    assert spec.axes.method == ("none", "full")
    assert spec.axes.masking == ("prompt",)
    assert spec.train.lr == 5e-5
    assert spec.compare.primary == "rougeL"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (5, ["axes.prompt_style[0]", "'alpacca'", "did you mean 'alpaca'"]),
        (6, ["axes.maskin", "unknown key", "did you mean 'masking'"]),
        (7, ["axes.masking[0]", "'promt'", "did you mean 'prompt'"]),
        (7, ["axes.masking[1]", "3 is not allowed"]),
        (8, ["axes.prompt_loss_weight[0]", "less than or equal to 1", "1.5"]),
        (9, ["axes.method", "no value"]),
        (10, ["axes.seed", "listed twice: 1"]),
        (11, ["train.epochs", "'zwei'"]),
        (11, ["train.lora.rnk", "did you mean 'rank'"]),
        (13, ["judges[0].item", "did you mean 'items'"]),
        (14, ["judges[1]", "`backend` is missing"]),
        (15, ["metrics[1]", "'blue'", "did you mean 'bleu'"]),
    ],
)
def test_every_problem_is_located(line: int, parts: list[str]) -> None:
    found = [text for text in problems(BAD) if text.startswith(f"m.yaml:{line}: ")]
    assert any(all(part in text for part in parts) for text in found), found


def test_nothing_is_reported_twice_or_invented() -> None:
    assert len(problems(BAD)) == 12


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e999"])
@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("train: {epochs: NUMBER}", "train.epochs"),
        ("train: {weight_decay: NUMBER}", "train.weight_decay"),
        ("split: {train: NUMBER}", "split.train"),
        ("compare: {margin: NUMBER}", "compare.margin"),
        ("exclude: [{prompt_loss_weight: NUMBER}]", "exclude[0].prompt_loss_weight"),
    ],
)
def test_a_number_is_finite(line: str, place: str, number: str) -> None:
    text = GOOD + line.replace("NUMBER", number) + "\n"
    assert problems(text)[0].startswith(f"m.yaml:{len(text.splitlines())}: {place}: input should be a finite number")


@pytest.mark.parametrize("value", [".inf", "[1, 2]", "null"])
@pytest.mark.parametrize("what", ["judges: [{backend: scripted, ", "metrics: [{metric: bleu, "])
def test_a_bad_option_is_one_problem(what: str, value: str) -> None:
    found = problems(GOOD + what + f"options: {{depth: {value}}}}}]\n")
    place = what.split(":", maxsplit=1)[0] + "[0].options.depth"
    assert [each for each in found if place in each] == [
        f"m.yaml:{len(GOOD.splitlines()) + 1}: {place}: give a text, a finite number, true or false"
    ]


def test_a_limit_that_follows_the_reference_is_finite() -> None:
    found = problems(GOOD + "generate: {max_new_tokens: {times_reference: .inf}}\n")
    assert any("times_reference: input should be a finite number, not inf" in each for each in found)


def test_a_repeated_key_is_an_error_not_a_silent_override() -> None:
    assert problems(GOOD + "data: starter-zh\n") == ["m.yaml:4: data: listed twice"]


def test_broken_yaml_names_the_line() -> None:
    assert problems("name: x\naxes: [1\n")[0].startswith("m.yaml:3: not YAML")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: 2026-13-45\n", "month must be in 1..12"),
        ("name: a\ndata: &x [*x]\n", "Circular reference"),
        ("name: a\ndata: d.json\ntrain: {preset: [x]}\n", "preset"),
    ],
)
def test_what_yaml_itself_trips_over_is_a_problem_of_the_file(text: str, said: str) -> None:
    assert said in "\n".join(problems(text))


@pytest.mark.parametrize("text", ["axes:\n\tmodel: x\n", "axes: {\tmodel: x}\n"])
def test_a_tab_is_to_be_spaces(text: str) -> None:
    line = text.count("\n", 0, text.index("\t")) + 1
    assert problems(text) == [f"m.yaml:{line}: not YAML: a tab, where only spaces may stand; write spaces"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("judges: {backend: scripted}", "judges: a list is expected, with a dash before each item: `- backend: …`"),
        ("metrics: bleu", "metrics: a list is expected, with a dash before each item: `- bleu`"),
        ("judges:", "judges: a list is expected, with a dash before each item: `- …`"),
        ("judges: [scripted]", "judges[0]: a mapping with keys such as `backend: …` is expected, not 'scripted'"),
        ("split: 5", "split: a mapping with keys such as `train: …` is expected, not 5"),
        ("metrics: [{metric: bleu, name: a b}]", "metrics[0].name: 'a b' does not fit. "),
        ("language: English", "language: 'English' does not fit. "),
    ],
)
def test_messages_speak_of_the_file_not_of_the_program(line: str, said: str) -> None:
    [found] = problems(f"{GOOD}{line}\n")
    assert found.startswith(f"m.yaml:4: {said}")


@pytest.mark.parametrize("name", ["my run", ".run", "a/b", "n" * 65])
def test_a_name_that_does_not_fit_is_told_what_does(name: str) -> None:
    [found] = problems(GOOD.replace("small", name))
    assert found.startswith(f"m.yaml:1: name: {name!r} does not fit. ")
    assert all(word in found for word in ("64", "letters", "digits", "underscores", "dots", "dashes"))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "d"}\n'),
        ("a.jsonl", '{"instruction": "a", "output": "b"}\n'),
        ("a.json", '[{"instruction": "a", "output": "b"}]'),
        ("a.CSV", "instruction,output\na,b\n"),
        ("a.parquet", "PAR1\udcff"),
    ],
)
def test_data_is_told_from_a_matrix(file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SpecError, match=re.escape(f"{path}: this looks like data, not like a matrix file")) as caught:
        load_spec(path)
    assert f"data: {file}" in str(caught.value)


def test_a_matrix_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"name": "small", "data": "starter-en", "axes": {"model": "smollm2-135m"}}')
    assert load_spec(path) == parse_spec(GOOD, "m.yaml")


def test_an_adapter_is_put_somewhere() -> None:
    [text] = problems(GOOD + "train: {lora: {targets: []}}\n")
    assert text == "m.yaml:4: train.lora.targets: no value; give at least one"
    [text] = problems(GOOD + "train: {lora: {targets: [3]}}\n")
    assert text.startswith("m.yaml:4: train.lora.targets[0]: ")
    [text] = problems(GOOD + "train: {optimizer: [adamw], lora: {targets: [q_proj]}}\n")
    assert "train.optimizer" in text


def test_not_a_mapping() -> None:
    assert "is a mapping" in problems("- a\n")[0]


def test_empty_file() -> None:
    assert "is a mapping" in problems("")[0]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        load_spec(tmp_path / "none.yaml")


def test_primary_must_be_measured() -> None:
    text = problems(GOOD + "metrics: [bleu]\ncompare: {primary: rouge1}\n")
    assert text == ["m.yaml:5: compare: primary 'rouge1' is not measured in this matrix; measured: bleu"]


def test_where_rouge_l_is_not_measured_the_first_measure_ranks(tmp_path: Path) -> None:
    for written, primary in (
        ("metrics: [bleu, chrf]", "bleu"),
        ("metrics: [chrf]\ncompare: {permutations: 1000}", "chrf"),
        ("metrics: [chrf, rougeL]", "rougeL"),
    ):
        (tmp_path / "m.yaml").write_text(f"{GOOD}{written}\n")
        assert load_spec(tmp_path / "m.yaml").compare.primary == primary


def test_two_judges_of_one_name() -> None:
    judges = "judges: [{backend: scripted}, {backend: scripted}]\n"
    assert "two measures are called 'scripted'" in problems(GOOD + judges)[0]


def test_scalar_stands_for_a_list_of_one() -> None:
    assert parse_spec("name: a\ndata: d\naxes: {model: m, seed: 3}\n", "m").axes.seed == (3,)


def test_unicode_name_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("\ufeff" + GOOD.replace("small", "试验-1"), encoding="utf-8")
    assert load_spec(path).name == "试验-1"


def test_schema_is_the_committed_one_and_examples_name_it() -> None:
    examples = Path(__file__).parents[2] / "examples"
    committed = json.loads((examples / "matrix.schema.json").read_text())
    assert committed == json.loads(json.dumps(json_schema())), "renew: harness schema > examples/matrix.schema.json"
    for example in examples.glob("*.yaml"):
        assert example.read_text().startswith("# yaml-language-server: $schema=matrix.schema.json"), example
        load_spec(example)


def test_a_preset_is_overridden_key_by_key() -> None:
    train = parse_spec(GOOD + "train: {preset: lora-16gb, lr: 1.0e-3, lora: {rank: 4}}\n", "m.yaml").train.settings
    assert (train.epochs, train.batch_size, train.lr) == (3, 2, 1e-3)
    assert (train.lora.rank, train.lora.alpha, train.lora.targets) == (4, 32, ("q_proj", "v_proj"))


def test_the_book_s_presets_are_its_settings() -> None:
    def settings(text: str) -> Any:
        return parse_spec(GOOD + text, "m.yaml").train.settings

    loop = "epochs: 2, lr: 5.0e-5, weight_decay: 0.1, batch_size: 8, schedule: constant, clip_norm: null"
    assert settings("train: {preset: book-ch07}\n") == settings(f"train: {{{loop}}}\n")
    adapters = settings("train: {preset: book-lora}\n")
    assert (adapters.schedule, adapters.clip_norm, adapters.weight_decay) == ("constant", None, 0.1)
    zh = settings("train: {preset: alpaca-zh}\n")
    assert (zh.batch_size, zh.micro_batch_size, zh.warmup_ratio) == (32, 4, 0.03)
    for trainer in (zh, settings("train: {preset: lora-16gb}\n")):  # transformers' TrainingArguments
        assert (trainer.schedule, trainer.clip_norm, trainer.weight_decay) == ("linear", 1.0, 0.0)


def test_an_unknown_preset_is_told_the_nearest() -> None:
    assert problems(GOOD + "train: {preset: book-chapter7}\n") == [
        "m.yaml:4: train.preset: unknown preset 'book-chapter7'; did you mean 'book-ch07'? "
        "known: book-ch07, book-lora, lora-16gb, alpaca-zh"
    ]
