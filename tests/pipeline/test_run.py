"""Whole runs of `harness` on a tiny model: finish, do nothing, resume after kill -9, two at once, failed variants."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.records.result import Result
from tests.pipeline.matrix import Place, make_place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, subprocess.CompletedProcess[str]]:
    place = make_place(tmp_path_factory.mktemp("finished") / "p")
    return place, place.harness("run", "matrix.yaml")


def test_a_run_ends_with_board_answer_and_reports(
    finished: tuple[Place, subprocess.CompletedProcess[str]],
) -> None:
    place, done = finished
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    result = Result.model_validate_json(place.comparison())
    assert len(result.rows) == 2 * 3
    assert result.answer
    for row in result.rows:
        assert row.cell.name.replace("model/", "") in done.stdout.replace("model/", "")
        for score in row.scores:
            # a BLEU of 0 on every item has no interval: nothing varies
            assert score.interval is not None or score.mean == 0.0, (row.cell.name, score)
    assert result.answer[0].split()[0] in done.stdout
    assert "report.html" in done.stdout
    assert "harness leaderboard" in done.stdout
    [html] = place.folder.glob("runs/matrices/*/report.html")
    assert "<html" in html.read_text(encoding="utf-8")


def test_the_scripted_judge_passes_its_probes(finished: tuple[Place, subprocess.CompletedProcess[str]]) -> None:
    [trust] = Result.model_validate_json(finished[0].comparison()).trust
    assert trust.trusted, trust.reason


def test_run_again_does_nothing_and_says_so(finished: tuple[Place, subprocess.CompletedProcess[str]]) -> None:
    place, _ = finished
    index = (place.folder / "runs" / "index.jsonl").read_text()
    before = place.comparison()
    again = place.harness("run", "matrix.yaml")
    assert again.returncode == 0
    assert "Nothing to do" in again.stdout
    assert (place.folder / "runs" / "index.jsonl").read_text() == index
    assert place.comparison() == before


def test_every_object_verifies(finished: tuple[Place, subprocess.CompletedProcess[str]]) -> None:
    done = finished[0].harness("store", "verify")
    assert done.returncode == 0, done.stdout
    assert "sound" in done.stdout


def test_plan_tells_what_is_sealed(finished: tuple[Place, subprocess.CompletedProcess[str]]) -> None:
    done = finished[0].harness("plan", "matrix.yaml")
    assert "nothing to do" in done.stdout


def test_plan_warns_of_a_warm_up_that_has_no_end(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    place.edit("epochs: 1,", "epochs: 1, warmup_steps: 500, max_steps: 1000,")
    done = place.harness("plan", "matrix.yaml")
    assert done.returncode == 0
    assert "warning: `train.warmup_steps: 500`, and the training has 3: its rate reaches 0 % of `lr`" in done.stderr
    assert "warning: `train.max_steps: 1000` is not reached" in done.stderr


def test_adding_a_seed_trains_only_the_new_variants(
    finished: tuple[Place, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree(finished[0].folder, tmp_path / "p")
    place = Place(tmp_path / "p")
    before = len((place.folder / "runs" / "index.jsonl").read_text().splitlines())
    place.edit("seed: [1, 2]", "seed: [1, 2, 3]")
    assert place.harness("run", "matrix.yaml").returncode == 0
    new = [json.loads(line) for line in (place.folder / "runs" / "index.jsonl").read_text().splitlines()[before:]]
    assert Counter(entry["stage"] for entry in new)["train"] == 4
    assert {entry["variant"].split("#")[-1] for entry in new} == {"3"}


def test_killed_at_any_moment_and_started_again_ends_with_the_same_bits(
    finished: tuple[Place, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    place = make_place(tmp_path / "p")
    objects = place.folder / "runs" / "objects"

    def sealed(folder: Path) -> int:
        return len(list(folder.glob("*/*/seal.json")))

    rng = random.Random(20261121)
    for moment in [0, *sorted(rng.sample(range(1, sealed(finished[0].folder / "runs" / "objects") - 8), 3))]:
        process = place.start("run", "matrix.yaml")
        while process.poll() is None and sealed(objects) <= moment:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))  # into the middle of what comes next
        assert process.poll() is None, "the run was too quick to be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stderr
    assert place.comparison() == finished[0].comparison()
    for sealed in (place.folder / "runs").glob("objects/generate/*/rows.jsonl"):
        other = finished[0].folder / sealed.relative_to(place.folder)
        assert answers(sealed) == answers(other)


def answers(path: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["example_id"], row["text"]) for row in rows]


def test_two_processes_on_one_store_make_nothing_twice(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    place.edit("seed: [1, 2]", "seed: [1]")
    processes = [place.start("run", "matrix.yaml") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    entries = [json.loads(line) for line in (place.folder / "runs" / "index.jsonl").read_text().splitlines()]
    made = Counter((entry["stage"], entry["digest"]) for entry in entries if entry["status"] == "made")
    assert set(made.values()) == {1}


def test_a_variant_that_explodes_stands_as_failed_and_the_others_go_on(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    place.edit("lora: {rank: 2, alpha: 4, dropout: 0.1}", "clip_norm: null, lora: {rank: 2, lr: 1.0e+30}")
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    result = Result.model_validate_json(place.comparison())
    assert {failure.variant.split("/")[2] for failure in result.failed} == {"lora"}
    assert len(result.failed) == 4
    assert {row.cell.method for row in result.rows} == {"none", "full"}
    assert "failed" in done.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    process = place.start("run", "matrix.yaml")
    objects = place.folder / "runs" / "objects"
    while process.poll() is None and not list(objects.glob("train/*/seal.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    assert "goes on from there" in output
    assert "Traceback" not in output
    assert process.returncode == 130


@pytest.mark.parametrize(("interrupted", "status"), [(True, 130), (False, 141)])
def test_a_reader_that_has_gone_takes_nothing_with_it(tmp_path: Path, interrupted: bool, status: int) -> None:
    """`harness run matrix.yaml 2>&1 | tee log`: Ctrl-C ends the tee as well."""
    place = make_place(tmp_path / "p")
    process = place.start("run", "matrix.yaml")
    assert process.stdout is not None
    objects = place.folder / "runs" / "objects"
    while process.poll() is None and not list(objects.glob("train/*/seal.json")):
        time.sleep(0.01)
    process.stdout.close()
    if interrupted:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == status
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_statistics_of_a_finished_run(finished: tuple[Place, subprocess.CompletedProcess[str]]) -> None:
    """Pair, ranking, effects and a power estimate from the run's own spread, all from sealed rows."""
    place = finished[0]
    pair = place.harness(
        "compare", "tiny", "--a", "phi/full", "--b", "alpaca/full", "--measure", "chrf", "--margin", "50"
    )
    assert pair.returncode == 0, pair.stderr
    assert "equivalent within ±50" in pair.stdout and "crossed t (recipe)" in pair.stdout
    assert "percentile bootstrap" in pair.stdout and "Holm over" in pair.stdout
    ranking = place.harness("compare", "matrix.yaml", "--measure", "scripted")
    assert ranking.returncode == 0, ranking.stderr
    assert "beats an average cell" in ranking.stdout and "untuned" in ranking.stdout
    effects = place.harness("effects", "tiny", "--measure", "chrf")
    assert effects.returncode == 0, effects.stderr
    assert "chance in a typical pair" in effects.stdout and "training seeds" in effects.stdout
    assert "interaction" in effects.stdout and "3 more seeds" in effects.stdout
    power = place.harness("power", "matrix.yaml", "--pilot", "tiny", "--difference", "1")
    assert power.returncode == 0, power.stderr
    assert "measured in tiny" in power.stdout and "this matrix" in power.stdout
    for bad in (("compare", "tiny", "--a", "zephyr"), ("compare", "tiny", "--measure", "blue"), ("effects", "tinny")):
        refused = place.harness(*bad)
        assert refused.returncode == 2 and "hint:" in refused.stderr and "Traceback" not in refused.stderr
