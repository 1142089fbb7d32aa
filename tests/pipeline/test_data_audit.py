"""The audit within a run: leaked items are named, left out, dropped from train, or forbid the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records.data import SplitExample
from harness.records.plan import Plan
from harness.records.result import Result
from harness.records.seal import DataFacts
from harness.store import Store
from tests.pipeline.matrix import Place, make_place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Test item 2 repeats train entry 4; the file's row 1 is broken."""
    place = make_place(tmp_path_factory.mktemp("leaky") / "p")
    rows = [json.loads(line) for line in (place.folder / "data.jsonl").read_text().splitlines()]
    rows[24 + 2] = rows[4]
    rows.insert(1, {"instruction": "no output"})
    (place.folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    place.edit("data: data.jsonl", "data: {path: data.jsonl, on_bad_rows: drop}\naudit: {leaks: report}")
    place.edit("method: [none, full, lora]", "method: [none]")
    place.edit("judges: [{backend: scripted, items: 20}]\n", "")
    return place


def run(place: Place, action: str, leaked_items: str) -> tuple[str, Result, Plan]:
    text = place.matrix.read_text()
    changed = text.replace("leaks: report", f"leaks: {action}").replace(
        "permutations: 1000", f"permutations: 1000, leaked_items: {leaked_items}"
    )
    (place.folder / "now.yaml").write_text(changed.replace("name: tiny", f"name: {action}-{leaked_items[:5]}"))
    done = place.harness("run", "now.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = place.folder.glob(f"runs/matrices/{action}-{leaked_items[:5]}-*")
    result = Result.model_validate_json((folder / "comparison.json").read_bytes())
    return done.stdout, result, Plan.model_validate_json((folder / "plan.json").read_bytes())


def test_a_leak_is_told_or_left_out(place: Place) -> None:
    said, counted, plan = run(place, "report", "count")
    assert counted.audit is not None
    assert (counted.n_test, len(counted.audit.leaked), counted.audit.bad_rows) == (52, 1, 1)
    assert "stands in train (test 2)" in " ".join(said.split())
    assert "1 test item stands in train (exactly or nearly) and counts" in counted.warnings[0]
    _, without, same = run(place, "report", "leave out")
    assert without.n_test == 51 and without.left_out == counted.audit.leaked and not counted.left_out
    assert {score.n_items for row in without.rows for score in row.scores} == {51}
    assert "left out of all measures" in without.warnings[0]
    assert same.stages == plan.stages  # another comparison of the same objects


def test_a_leak_can_be_dropped_from_train(place: Place) -> None:
    _, reported, told = run(place, "report", "count")
    _, dropped, plan = run(place, "drop", "count")
    assert dropped.audit is not None and dropped.audit.dropped == {"leaks": 1} and not dropped.audit.leaked
    assert plan.data != told.data
    store = Store(place.folder / "runs")
    seal = store.sealed(plan.data)
    assert seal is not None and isinstance(seal.facts, DataFacts)
    assert seal.facts.parts == {"train": 23, "test": 52, "validation": 8}
    assert [line.split(":", 1)[1] for line in seal.facts.bad_rows] == ["2: no key `output`; the row has: instruction"]
    indexes = [row.index for row in store.read(plan.data, SplitExample) if row.split == "train"]
    assert indexes == [0, 2, 3, 4, *range(6, 25)]
    assert reported.n_test == dropped.n_test


def test_rows_too_long_in_any_style_are_dropped_from_training_alone(place: Place) -> None:
    text = place.matrix.read_text().replace("leaks: report", "truncated: drop").replace("name: tiny", "name: short")
    (place.folder / "now.yaml").write_text(text.replace("train: {", "train: {max_length: 200, "))
    told = json.loads(place.harness("data", "audit", "now.yaml", "--json").stdout)
    long = {(f["place"]["split"], f["place"]["index"]) for f in told["findings"] if f["kind"] == "truncated"}
    assert {split for split, _ in long} == {"train", "validation"}
    done = place.harness("run", "now.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = place.folder.glob("runs/matrices/short-*/plan.json")
    plan, store = Plan.model_validate_json(file.read_bytes()), Store(place.folder / "runs")
    seal = store.sealed(plan.data)
    assert seal is not None and isinstance(seal.facts, DataFacts)
    assert seal.facts.dropped == {"truncated": len(long)} and seal.facts.parts["test"] == 52
    assert not long & {(row.split, row.index) for row in store.read(plan.data, SplitExample)}


def test_a_leak_can_forbid_the_run(place: Place, tmp_path: Path) -> None:
    (place.folder / "strict.yaml").write_text(place.matrix.read_text().replace("leaks: report", "leaks: fail"))
    done = place.harness("run", "strict.yaml", "--store", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "audit.leaks: 1 entry held out from training stands in train" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/objects/generate/*"))


def test_prompts_without_room_are_told_before_any_training_or_dropped(place: Place, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (place.folder / "data.jsonl").read_text().splitlines()]
    for row in (30, 31):
        rows[row]["instruction"] = "Say it again. " * 400
    (place.folder / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = place.matrix.read_text().replace("path: data.jsonl", "path: long.jsonl").replace("[none]", "[none, full]")
    (place.folder / "now.yaml").write_text(text)
    refused = place.harness("run", "now.yaml", "--store", str(tmp_path / "runs"))
    assert refused.returncode == 2, refused.stdout
    assert "audit.no_room: 2 test prompts leave no room for their answers" in refused.stderr
    assert not list(tmp_path.glob("runs/objects/train/*")) and "Traceback" not in refused.stderr
    assert place.harness("data", "audit", "now.yaml").returncode == 2
    (place.folder / "now.yaml").write_text(
        text.replace("leaks: report", "no_room: drop").replace("[none, full]", "[none]").replace("tiny", "room", 1)
    )
    done = place.harness("run", "now.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = place.folder.glob("runs/matrices/room-*/comparison.json")
    result = Result.model_validate_json(file.read_bytes())
    assert result.audit is not None and (result.n_test, result.audit.dropped) == (50, {"no_room": 2})
