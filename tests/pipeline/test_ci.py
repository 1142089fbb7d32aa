"""examples/ci as a runner executes it: the shell steps of both workflow files, on a fresh checkout."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.records.check import CheckReport
from tests.pipeline import warm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "ci"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as committed, and commands `harness` and `python` of this very tree."""
    root = tmp_path_factory.mktemp("checkout")
    kept = shutil.ignore_patterns("model", "runs", "check.*", "__pycache__")
    shutil.copytree(EXAMPLES, root / "examples" / "ci", ignore=kept)
    commands = root / "bin"
    commands.mkdir()
    for name, line in (
        ("harness", f'exec {shlex.join(warm.command())} "$@"'),
        ("python", f'exec "{sys.executable}" "$@"'),
    ):
        script = commands / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return root


def shell(checkout: Path, text: str, folder: str = ".", **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=checkout / folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def install(line: str) -> bool:
    """The one step that is not run: what it installs is under test."""
    return "pip install" in line


@pytest.fixture(scope="module")
def github(checkout: Path) -> tuple[list[subprocess.CompletedProcess[str]], Path]:
    """The steps of the GitHub workflow, and the step summary."""
    steps: list[dict[str, Any]] = yaml.safe_load((EXAMPLES / "github.yml").read_text())["jobs"]["check"]["steps"]
    summary = checkout / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ran = [
        shell(checkout, step["run"], step.get("working-directory", "."), **runner)
        for step in steps
        if "run" in step and not install(step["run"]) and step["name"] != "Comment"
    ]
    return ran, summary


def test_the_github_workflow_passes_and_writes_its_reports(
    github: tuple[list[subprocess.CompletedProcess[str]], Path], checkout: Path
) -> None:
    ran, summary = github
    assert [done.returncode for done in ran] == [0, 0], ran[-1].stdout + ran[-1].stderr
    folder = checkout / "examples" / "ci"
    report = CheckReport.model_validate_json((folder / "check.json").read_bytes())
    assert report.exit_status == 0 and len(report.checks) == 6
    assert "<testsuites" in (folder / "check.xml").read_text()
    assert summary.read_text() == (folder / "check.md").read_text()


def test_the_gitlab_job_runs_too_and_makes_nothing_again(
    github: tuple[list[subprocess.CompletedProcess[str]], Path], checkout: Path
) -> None:
    job = yaml.safe_load((EXAMPLES / "gitlab.yml").read_text())["model"]
    index = checkout / "examples" / "ci" / "runs" / "index.jsonl"
    before = index.read_text()
    done = shell(checkout, "\n".join(line for line in job["script"] if not install(line)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert index.read_text() == before
    for paths in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (checkout / paths).exists()


def test_a_worse_recipe_fails_with_annotations_and_is_found_by_one_seed(
    github: tuple[list[subprocess.CompletedProcess[str]], Path], checkout: Path
) -> None:
    folder = checkout / "examples" / "ci"
    worse = (
        (folder / "matrix.yaml").read_text().replace("lr: 3.0e-3", "lr: 3.0e-5").replace("seed: [1, 2]", "seed: [1]")
    )
    (folder / "worse.yaml").write_text(worse)
    check = "harness check worse.yaml --against baselines/main.json --policy policy.yaml"
    done = shell(
        checkout, f"{check} --json worse.json", "examples/ci", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(checkout)
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "::error file=examples/ci/worse.yaml," in done.stdout
    report = json.loads((folder / "worse.json").read_text())
    assert report["checks"][0]["outcome"] == "regression" and report["checks"][0]["seeds"] == [1, 2]
    assert "train.lr: 0.003 → 3e-05" in report["changed"]
    bisected = shell(checkout, "harness bisect matrix.yaml worse.yaml", "examples/ci")
    assert bisected.returncode == 0, bisected.stderr
    assert "train.lr: 0.003 → 3e-05 explains it" in bisected.stdout
    with_pytest = shell(
        checkout,
        "python -m pytest -c /dev/null --rootdir . --harness-matrix "
        "worse.yaml --harness-baseline baselines/main.json --harness-policy policy.yaml",
        "examples/ci",
    )
    assert with_pytest.returncode == 1 and "FAILED worse.yaml::measure[rougeL]" in with_pytest.stdout


def test_the_change_of_the_repository_that_made_the_model_worse_is_found(
    github: tuple[list[subprocess.CompletedProcess[str]], Path], checkout: Path
) -> None:
    """Four revisions, of which the third breaks the recipe; the model is not under version control."""
    repository = checkout / "repository"
    recipe = repository / "recipes"
    recipe.mkdir(parents=True)
    (recipe / "model").symlink_to(checkout / "examples" / "ci" / "model")
    (recipe / "reviews.jsonl").write_bytes((EXAMPLES / "reviews.jsonl").read_bytes())
    (repository / ".gitignore").write_text("model\n")
    matrix = (EXAMPLES / "matrix.yaml").read_text().replace("seed: [1, 2]", "seed: [1]")
    git = "git -c user.name=a -c user.email=a@example.org"
    assert shell(checkout, "git init -q", "repository").returncode == 0
    for old, new, about in (
        ("", "", "A recipe"),
        ("batch_size: 16,", "batch_size: 16, weight_decay: 0.05,", "Decay less"),
        ("lr: 3.0e-3", "lr: 3.0e-5", "Lower the learning rate"),
        ("epochs: 8", "epochs: 7", "Save an epoch"),
    ):
        matrix = matrix.replace(old, new)
        (recipe / "matrix.yaml").write_text(matrix)
        made = shell(checkout, f"git add -A && {git} commit -q -m '{about}'", "repository")
        assert made.returncode == 0, made.stderr
    store = checkout / "examples" / "ci" / "runs"
    before = (store / "index.jsonl").read_text().splitlines()
    found = shell(checkout, f"harness bisect HEAD~3:matrix.yaml HEAD:matrix.yaml --store {store}", "repository/recipes")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "train.lr: 0.003 → 3e-05 explains it" in found.stdout
    commit = shell(checkout, "git log -1 --format=%h HEAD~1", "repository").stdout.strip()
    assert f"It came with commit {commit} Lower the learning rate" in found.stdout
    added = [json.loads(line) for line in (store / "index.jsonl").read_text().splitlines()[len(before) :]]
    stages = [each["stage"] for each in added if each["status"] == "made"]
    assert 3 <= stages.count("train") <= 4 and "data" not in stages  # the good side was there already


def test_trouble_is_told_from_a_worse_model(
    github: tuple[list[subprocess.CompletedProcess[str]], Path], checkout: Path
) -> None:
    folder = checkout / "examples" / "ci"
    matrix = (folder / "matrix.yaml").read_text()
    against = "--against baselines/main.json --policy policy.yaml"
    (folder / "rubric.yaml").write_text(matrix.replace("backend: scripted", "backend: scripted, rubric: book-100"))
    changed = shell(checkout, f"harness check rubric.yaml {against}", "examples/ci")
    assert changed.returncode == 2
    assert "rubric changed: correctness-5 → book-100" in changed.stdout and "baseline update" in changed.stdout
    gone = (
        "backend: openai, name: scripted, model: m, options: {base_url: 'http://127.0.0.1:9/v1'}, limits: {retries: 0}"
    )
    (folder / "gone.yaml").write_text(matrix.replace("backend: scripted", gone))
    advisory = "checks: [{measure: rougeL, tolerance: 8}, {measure: scripted, tier: advisory, tolerance: 1}]\n"
    (folder / "lenient.yaml").write_text(advisory)
    env = {"OPENAI_API_KEY": "none"}
    down = shell(
        checkout, "harness check gone.yaml --against baselines/main.json --policy lenient.yaml", "examples/ci", **env
    )
    assert down.returncode == 4, down.stdout + down.stderr
    with_pytest = shell(
        checkout,
        "python -m pytest -c /dev/null --rootdir . --harness-matrix gone.yaml "
        "--harness-baseline baselines/main.json --harness-policy lenient.yaml",
        "examples/ci",
        **env,
    )
    assert with_pytest.returncode == 4, with_pytest.stdout
    assert "ERROR gone.yaml::verdict" in with_pytest.stdout and "FAILED" not in with_pytest.stdout
    silent = "backend: ollama, name: scripted, model: m, options: {host: 'http://127.0.0.1:9'}"
    (folder / "silent.yaml").write_text(matrix.replace("backend: scripted", silent))
    planned = shell(checkout, f"harness check silent.yaml {against} --junit silent.xml", "examples/ci")
    assert planned.returncode == 4 and "no Ollama server answers" in planned.stdout, planned.stdout + planned.stderr
    assert 'errors="1"' in (folder / "silent.xml").read_text()
    usage = shell(checkout, "harness check matrix.yaml --against nowhere.json", "examples/ci")
    assert usage.returncode == 2 and "no such file" in usage.stderr
    refused = shell(checkout, "harness baseline save matrix.yaml --as main", "examples/ci")
    assert refused.returncode == 2 and "--reason" in refused.stderr
    updated = shell(
        checkout, "harness baseline update matrix.yaml --as main --texts --reason 'with texts'", "examples/ci"
    )
    assert updated.returncode == 0, updated.stderr
    shown = shell(checkout, "harness baseline show baselines/main.json", "examples/ci")
    assert "with texts" in shown.stdout and "first saved" in shown.stdout
