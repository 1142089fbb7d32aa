"""A whole run with every kind of metric, several references and several languages; then `harness board`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records.result import Result
from tests.pipeline.matrix import Place, make_place

pytestmark = pytest.mark.slow

METRICS = """\
metrics: [bleu, rougeL, ter, token_f1, length_ratio, distinct_2, 'own:characters',
          {metric: bleu, name: bleu-char, options: {tokenizer: char}}]
"""
OWN = "def characters(response, references):\n    return float(max(len(r) for r in references))\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("metrics") / "p")
    place.edit("metrics: [bleu, chrf, rougeL]\n", METRICS)
    place.edit("data: data.jsonl", "data: {path: data.jsonl, fields: {references: more}}")
    place.edit("method: [none, full, lora]", "method: [none, full]")
    place.edit("items: 20", "items: 20, rubric: instruction-following")
    (place.folder / "own.py").write_text(OWN)
    path = place.folder / "data.jsonl"
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, entry in enumerate(entries):
        entry["kind"] = "ab"[number % 2]
        if number % 3 == 0:
            entry["more"] = ["x" * 500]
        if number % 4 == 0:
            entry["output"] = "北京是中国的首都。"
        if number == 31:  # in the test part, without a further reference
            entry["output"] = "?!"
    path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    done = place.harness("run", "matrix.yaml", "--plain", PYTHONPATH=f"{Path(__file__).parents[2]}:{place.folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def board(place: Place, *arguments: str) -> tuple[int, str]:
    path = f"{Path(__file__).parents[2]}:{place.folder}"
    done = place.harness("board", "matrix.yaml", *arguments, PYTHONPATH=path, COLUMNS="200")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_every_metric_has_its_column(place: Place) -> None:
    result = Result.model_validate_json(place.comparison())
    names = [measure.name for measure in result.measures][:-1]
    assert names == ["bleu", "rougeL", "ter", "token_f1", "length_ratio", "distinct_2", "own:characters", "bleu-char"]
    by_name = {measure.name: measure for measure in result.measures}
    assert by_name["bleu"].signature.startswith("nrefs:var|") and "tok:char" in by_name["bleu-char"].signature
    assert by_name["length_ratio"].descriptive and not any(c.measure == "length_ratio" for c in result.comparisons)
    for row in result.rows:
        scores = {score.measure: score for score in row.scores}
        assert scores["rougeL"].unscored == max(1, len(row.seeds))  # the reference without words
        assert scores["rougeL"].n_items == 51 and scores["bleu"].n_items == 52
        assert scores["own:characters"].mean is not None and scores["own:characters"].mean > 150


def test_board_shows_slices_health_and_before_and_after(place: Place) -> None:
    status, text = board(place, "--write")
    assert status == 0
    for said in (
        "ROUGE-L by language",
        "zh",
        "Health of the responses",
        "Before and after: alpaca/full",
        "80 % excellent",
    ):
        assert said in text, text
    [folder] = (place.folder / "runs" / "matrices").iterdir()
    assert "ROUGE-L by length" in (folder / "slices.md").read_text(encoding="utf-8")
    assert "<h2>Health of the responses</h2>" in (folder / "slices.html").read_text(encoding="utf-8")
    status, text = board(place, "--slice", "kind", "--measure", "bleu")
    assert status == 0 and "BLEU by kind" in text and "Health" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--slice", "king"), "slices: language"), (("--measure", "blue"), "did you mean 'bleu'")],
)
def test_board_answers_a_slip(place: Place, arguments: tuple[str, ...], said: str) -> None:
    status, text = board(place, *arguments)
    assert status == 2 and said in text
