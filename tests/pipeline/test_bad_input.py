"""Bad input: one clear message with what to do, exit status 2, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.pipeline.matrix import ROOT, Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path / "p")


def refused(place: Place, *parts: str, command: tuple[str, ...] = ("run", "matrix.yaml")) -> None:
    done = place.harness(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    for part in parts:
        assert part in done.stderr, done.stderr


def test_missing_matrix(place: Place) -> None:
    refused(place, "none.yaml: no such file", command=("run", "none.yaml"))


def test_unknown_model(place: Place) -> None:
    place.edit("model: [model]", "model: [smollm2-135]")
    refused(place, "smollm2-135", "did you mean 'smollm2-135m'")


def test_missing_data_file(place: Place) -> None:
    place.edit("data: data.jsonl", "data: date.jsonl")
    refused(place, "no data set or file 'date.jsonl'", "hint")


def test_data_without_output(place: Place) -> None:
    (place.folder / "data.jsonl").write_text('{"instruction": "a"}\n')
    refused(place, "data.jsonl:1: no key `output`")


def test_axis_without_value(place: Place) -> None:
    place.edit("masking: [prompt]", "masking: []")
    refused(place, "matrix.yaml:7: axes.masking: no value")


def test_conversations_for_a_served_model(place: Place) -> None:
    rows = [json.loads(line) for line in (place.folder / "data.jsonl").read_text().splitlines()]
    brief = {"role": "system", "content": "Be brief."}
    talks = [
        [brief, {"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]
        for r in rows
    ]
    (place.folder / "data.jsonl").write_text("\n".join(json.dumps({"messages": talk}) for talk in talks))
    place.edit("train: {epochs", "include: [{served: {backend: scripted, model: m}}]\ntrain: {epochs")
    told = "a served model is given one question, and this has a system message"
    refused(place, told, command=("plan", "matrix.yaml"))


def test_empty_test_split(place: Place) -> None:
    place.edit("test: 52", "test: 0.001")
    refused(place, "the test part is empty")


@pytest.mark.slow
def test_training_row_longer_than_the_context(place: Place) -> None:
    rows = [json.loads(line) for line in (place.folder / "data.jsonl").read_text().splitlines()]
    rows[0]["instruction"] = "very long " * 5000
    (place.folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused(place, rows[0].get("id", "row 1"), "tokens")


@pytest.mark.slow
def test_test_prompt_longer_than_the_context(place: Place) -> None:
    rows = [json.loads(line) for line in (place.folder / "data.jsonl").read_text().splitlines()]
    rows[30]["instruction"] = "very long " * 5000
    (place.folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused(place, "tokens")


def test_store_of_a_newer_version(place: Place) -> None:
    (place.folder / "runs").mkdir()
    (place.folder / "runs" / "store.json").write_text('{"version": 7}')
    refused(place, "layout version 7", "pip install --upgrade")


def test_store_that_is_a_file(place: Place) -> None:
    (place.folder / "runs").write_text("")
    refused(place, "--store")


def test_unknown_judge_backend(place: Place) -> None:
    place.edit("backend: scripted", "backend: skripted")
    refused(place, "judges[0]", "did you mean 'scripted'")


def test_unknown_rubric(place: Place) -> None:
    place.edit("{backend: scripted", "{rubric: corectness-5, backend: scripted")
    refused(place, "judges[0]", "correctness-5")


def test_debug_shows_the_traceback(place: Place) -> None:
    done = place.harness("run", "none.yaml", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


@pytest.mark.slow
def test_a_users_metric_that_breaks_off_takes_nothing_else_with_it(place: Place) -> None:
    (place.folder / "own.py").write_text("def score(response, references):\n    return 1 / 0\n")
    place.edit("metrics: [bleu, chrf, rougeL]", "metrics: ['own:score', rougeL]")
    place.edit("prompt_style: [alpaca, phi]", "prompt_style: [alpaca]")
    place.edit("[none, full, lora]", "[none]")
    path = f"{ROOT}:{place.folder}"
    done = place.harness("run", "matrix.yaml", "--plain", PYTHONPATH=path)
    said = f"error: metric own:score broke off: {place.folder}/own.py:2: ZeroDivisionError: division by zero\n  hint: "
    assert done.returncode == 2
    assert done.stderr.startswith(said) and "Traceback" not in done.stderr
    assert len(list((place.folder / "runs").glob("objects/score/*"))) == 2, "the other metric, and this one unsealed"
    done = place.harness("run", "matrix.yaml", "--plain", "--debug", PYTHONPATH=path)
    assert "Traceback" in done.stderr and "return 1 / 0" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_loses_nothing(place: Place) -> None:
    """A real file system of 3 MB runs full while the run writes; with room again, the run goes on."""
    runs = place.folder / "runs"
    runs.mkdir()
    if os.system(f"mount -t tmpfs -o size=1500k tmpfs {runs}") != 0:
        pytest.skip("this machine does not let us mount")
    try:
        refused(place, "the disk is full", "free some space")
        assert os.system(f"mount -o remount,size=200m {runs}") == 0
        done = place.harness("run", "matrix.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert place.harness("store", "verify").returncode == 0
    finally:
        os.system(f"umount {runs}")
