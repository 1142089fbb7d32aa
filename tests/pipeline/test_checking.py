"""`harness check` as a command: what it writes and exits with, whatever it is given and wherever it prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import warm
from tests.tiny import save_tiny_folder

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MATRIX = """\
name: tiny
data: reviews.jsonl
split: {train: 16, test: 12, validation: 0}
axes: {model: [model], prompt_style: [phi], method: [full], seed: [1, 2]}
train: {max_steps: 1, batch_size: 4}
generate: {max_new_tokens: 4}
metrics: [rougeL]
"""
POLICY = "checks: [{measure: rougeL, tolerance: 20}]\n"
WRITTEN = ("--junit", "check.xml", "--markdown", "check.md", "--json", "check.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix that has run, its baseline and a policy."""
    folder = tmp_path_factory.mktemp("finished")
    save_tiny_folder(folder / "model")
    shutil.copy(ROOT / "examples" / "ci" / "reviews.jsonl", folder)
    (folder / "matrix.yaml").write_text(MATRIX)
    (folder / "policy.yaml").write_text(POLICY)
    for command in ("run matrix.yaml", "baseline save matrix.yaml --as main"):
        done = harness(folder, *command.split())
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def harness(folder: Path, *arguments: str, stdout: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    cold = [sys.executable, "-m", "harness.cli"]  # which alone reads PYTHONIOENCODING
    return subprocess.run(
        [*(cold if "PYTHONIOENCODING" in env else warm.command()), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"} | env,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=300,
    )


def check(folder: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    named = ("check", "matrix.yaml", "--against", "baselines/main.json", "--policy", "policy.yaml")
    return harness(folder, *named, *WRITTEN, *more, **env)


def said(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "check.json").read_text())
    return found


def made(folder: Path) -> str:
    """What was ever made in its store."""
    return (folder / "runs" / "index.jsonl").read_text()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_output_without_a_minus_sign_is_no_regression(folder: Path, encoding: str) -> None:
    done = check(folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert said(folder)["outcome"] == "pass" and (folder / "check.xml").stat().st_size > 0


def test_files_are_written_before_an_output_that_takes_nothing(folder: Path) -> None:
    with open("/dev/full", "w") as full:
        done = harness(
            folder, "check", "matrix.yaml", "--against", "baselines/main.json", *WRITTEN, stdout=full.fileno()
        )
    assert done.returncode == 4 and "No space left" in done.stderr and "Traceback" not in done.stderr
    assert said(folder)["exit_status"] == 0


def test_a_folder_whose_name_is_no_utf8_can_be_reported(folder: Path) -> None:
    odd = Path(os.fsdecode(b"lat\xe9"))
    (folder / odd).mkdir()
    shutil.copy(folder / "policy.yaml", folder / odd / "policy.yaml")
    shutil.copy(folder / "baselines" / "main.json", folder / odd / "main.json")
    done = check(folder, "--against", str(odd / "main.json"), "--policy", str(odd / "policy.yaml"))
    assert done.returncode == 0, done.stderr
    assert said(folder)["baseline_file"] == r"lat\udce9/main.json"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("matrix.yaml", "max_steps", "max_stepz", "did you mean 'max_steps'"),
        ("matrix.yaml", "metrics: [rougeL]", "metrics: [chrf]", "rougeL is not measured in this matrix"),
        ("policy.yaml", "checks", "chekcs", "did you mean 'checks'"),
        ("policy.yaml", POLICY, "cells: {none: such}\n", "has no cell 'none'"),
        (
            "policy.yaml",
            POLICY,
            "golden: [{item: nope, measure: rougeL}]\n",
            "policy.yaml: golden: no test item 'nope'",
        ),
        ("baselines/main.json", '"version": 1', '"version": 7', "not a baseline that this version can read"),
        ("matrix.yaml", "[phi]", "[alpaca, chatml]", "no cell of the matrix has a counterpart"),
    ],
)
def test_what_cannot_be_checked_replaces_the_verdict_before_and_trains_nothing(
    folder: Path, file: str, old: str, new: str, told: str
) -> None:
    assert check(folder).returncode == 0
    before, text = made(folder), (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    done = check(folder)
    assert done.returncode == 2 and told in done.stdout + done.stderr
    assert said(folder)["exit_status"] == 2 and told in json.dumps(said(folder), ensure_ascii=False)
    assert 'errors="1"' in (folder / "check.xml").read_text()
    assert (folder / "check.md").read_text().startswith("<!-- sft-harness check: matrix.yaml against ")
    assert made(folder) == before


@pytest.mark.parametrize("outputs", [("--json", "baselines/main.json"), ("--junit", "x.out", "--markdown", "./x.out")])
def test_no_file_takes_the_place_of_another(folder: Path, outputs: tuple[str, ...]) -> None:
    before = (folder / "baselines" / "main.json").read_bytes()
    done = harness(folder, "check", "matrix.yaml", "--against", "baselines/main.json", *outputs)
    assert done.returncode == 2 and "named twice" in done.stderr, done.stdout + done.stderr
    assert (folder / "baselines" / "main.json").read_bytes() == before and not (folder / "x.out").exists()


def test_rows_that_are_not_what_was_sealed_are_the_stores_fault(folder: Path) -> None:
    assert check(folder).returncode == 0
    [rows, *_] = sorted((folder / "runs" / "objects" / "score").glob("*/rows.jsonl"))
    whole = rows.read_text()
    rows.write_text("".join(whole.splitlines(keepends=True)[:-3]))
    cut = check(folder)
    assert cut.returncode == 4 and "rows.jsonl is not what was sealed" in cut.stdout
    changed = whole.replace('"value":0.0', '"value":9.0')
    assert len(changed) == len(whole) and changed != whole
    rows.write_text(changed)
    assert check(folder).returncode == 4
    saved = harness(folder, "baseline", "update", "matrix.yaml", "--as", "main", "--reason", "better")
    assert saved.returncode == 2 and "not what was sealed" in saved.stderr


def test_a_log_is_no_terminal_whatever_the_colours(folder: Path) -> None:
    shutil.rmtree(folder / "runs")
    done = harness(folder, "run", "matrix.yaml", FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert "\x1b[2K" not in done.stdout and "\x1b[1A" not in done.stdout and "\x1b[" in done.stdout


def test_answers_in_a_log_of_github_are_no_commands(folder: Path) -> None:
    done = check(folder, GITHUB_ACTIONS="true")
    assert done.returncode == 0, done.stderr
    (folder / "policy.yaml").write_text("checks: [{measure: rougeL, tolerance: 20, floor: 99}]\n")
    failed = check(folder, GITHUB_ACTIONS="true")
    assert failed.returncode == 1
    commands = [line for line in failed.stdout.splitlines() if line.lstrip().startswith("::")]
    assert commands and all(line.startswith("::error file=matrix.yaml") for line in commands)


def pytested(folder: Path, matrix: str) -> subprocess.CompletedProcess[str]:
    named = ["--harness-matrix", matrix, "--harness-baseline", "baselines/main.json", "--harness-policy", "policy.yaml"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider", *named],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_pytest_says_once_a_test_why_a_matrix_cannot_be_used_and_exits_like_the_check(folder: Path) -> None:
    assert pytested(folder, "matrix.yaml").returncode == 0
    (folder / "broken.yaml").write_text(MATRIX.replace("max_steps", "max_stepz"))
    broken = pytested(folder, "broken.yaml")
    assert broken.returncode == 2, broken.stdout
    assert "did you mean 'max_steps'" in broken.stdout and "2 errors" in broken.stdout
    assert "Traceback" not in broken.stdout and "def " not in broken.stdout
    (folder / "other.yaml").write_text(MATRIX.replace("test: 12", "test: 13"))
    other = pytested(folder, "other.yaml")
    assert other.returncode == 2 and "test items changed" in other.stdout, other.stdout
