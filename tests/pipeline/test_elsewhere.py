"""A whole run with a served model, an imported file and sampled responses beside variants of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.records.result import Result
from tests.pipeline.matrix import make_place
from tests.servers.chaos import completion
from tests.servers.loopback import Asked, Said, serve

pytestmark = pytest.mark.slow


def echo(asked: Asked) -> Said:
    return Said.of(completion(asked.body["messages"][-1]["content"]))


def test_served_imported_and_sampled_variants_stand_on_one_board(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    entries = [json.loads(line) for line in (place.folder / "data.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [entry | {"model_response": entry["output"]} for entry in reversed(entries)]
    (place.folder / "perfect.json").write_text(json.dumps(rows))
    place.edit("method: [none, full, lora]", "method: [none]")
    with serve(echo) as server:
        served = f"{{backend: openai, model: m, name: parrot, options: {{base_url: '{server.address}/v1'}}}}"
        place.edit(
            "train: {epochs", f"include: [{{served: {served}}}, {{imported: {{file: perfect.json}}}}]\ntrain: {{epochs"
        )
        place.edit(
            "batch_size: 16}", "batch_size: 16, precision: fp32, temperature: 1.0, samples: 2}\nstability: {samples: 3}"
        )
        place.edit("rougeL]", "rougeL, bits_per_byte]")
        planned = place.harness("plan", "matrix.yaml")
        assert planned.returncode == 0, planned.stderr
        assert "parrot/served" in planned.stdout and "perfect/imported" in planned.stdout
        # 2 and 3 responses to each of 52 items, of 8 tokens at most, of which 0.7 are assumed
        assert "served model parrot: 260 calls" in planned.stdout and "k from it; no price known" in planned.stdout
        assert "260 calls to served models" in " ".join(planned.stdout.split())
        done = place.harness("run", "matrix.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        calls = len(server.asked)
    assert calls == (2 + 3) * 52
    result = Result.model_validate_json(place.comparison())
    assert [row.cell.name for row in result.rows][0] == "perfect/imported"
    assert {row.cell.name for row in result.rows} >= {"parrot/served", "model/alpaca/untuned"}
    scores = {row.cell.name: {score.measure: score for score in row.scores} for row in result.rows}
    assert scores["model/alpaca/untuned"]["bits_per_byte"].mean > 0
    assert scores["parrot/served"]["bits_per_byte"].mean is None, "its weights are not here"
    report = next((place.folder / "runs" / "matrices").glob("*/report.md")).read_text()
    [agreement, *_] = [line for line in report.splitlines() if line.startswith("| Stability: agreement")]
    assert any(character.isdigit() for character in agreement), agreement
    checked = place.harness("check-batch", "matrix.yaml", "--items", "3")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "model/phi/untuned  0 of 3 responses differ (0.0%) between batches of 1 and of 16" in checked.stdout
    again = place.harness("run", "matrix.yaml")
    assert "Nothing to do" in again.stdout, again.stdout + again.stderr
    rows[-52 - 24 : -24] = []
    (place.folder / "perfect.json").write_text(json.dumps(rows))
    refused = place.harness("plan", "matrix.yaml")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "of 52 test items have no response here" in refused.stderr


def test_a_server_that_hangs_up_costs_nothing_that_does_not_need_it(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    place.edit("method: [none, full, lora]", "method: [none]")
    good = [True]

    def hangs_up(asked: Asked) -> Said:
        return echo(asked) if good[0] or len(server.asked) < 10 else Said.of({"error": {"message": "gone"}}, 503)

    with serve(hangs_up) as server:
        served = [
            f"{{served: {{backend: openai, model: {name}, options: {{base_url: '{server.address}/v1'}},"
            " limits: {retries: 0, concurrency: 2}}}"
            for name in ("m", "other")
        ]
        place.edit("train: {epochs", f"include: [{', '.join(served)}]\ntrain: {{epochs")
        place.edit("judges: [", "judges: [{backend: scripted, name: second, items: 10}, ")
        good[0] = False
        broken = place.harness("run", "matrix.yaml")
        assert broken.returncode == 2 and "Traceback" not in broken.stderr, broken.stderr
        assert "what was answered is kept" in broken.stderr
        stages = Counter(path.parent.parent.name for path in place.folder.glob("runs/objects/*/*/seal.json"))
        assert stages["generate"] == 2, "both local ones"
        assert stages["judge"] >= 4 + 2, "two judges of two variants, and of their probes"
        good[0] = True
        done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(Result.model_validate_json(place.comparison()).rows) == 4
