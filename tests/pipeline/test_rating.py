"""`harness rate` as people use it: in a real terminal, interrupted, by two raters; and how they agree with a judge."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.records.result import Result
from harness.records.rows import Reply, ReplyRow
from harness.store import read_rows
from tests.pipeline.matrix import Place, environment, make_place

pytestmark = pytest.mark.slow

ROW: Any = ReplyRow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("rated") / "p")
    place.edit("method: [none, full, lora]", "method: [none]")
    nothing = place.harness("rate", "matrix.yaml", "--rater", "anna", "--terminal")
    assert nothing.returncode == 2
    assert "harness run" in nothing.stderr
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stderr
    return place


def at_a_terminal(place: Place, keys: str, rater: str, *, kill: bool = False, more: tuple[str, ...] = ()) -> str:
    """One sitting, a key at a time, without any Enter."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "harness.cli", "rate", "matrix.yaml", "--rater", rater, "--items", "6"]
    process = subprocess.Popen(
        [*command, "--terminal", *more],
        cwd=place.folder,
        env=environment(TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""

    def look(mark: bytes, times: int) -> None:
        nonlocal shown
        deadline = time.monotonic() + 40
        while shown.count(mark) < times and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # the other end is closed
                    return

    for number, key in enumerate(keys, 1):
        look(b"[q]uit", number)
        os.write(ours, key.encode())
    if kill:
        look(b"[q]uit", len(keys) + 1)
        process.send_signal(signal.SIGKILL)
    else:
        look(b"never to be seen", 1)
    process.wait(timeout=60)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown.decode(errors="replace"))


def ratings(place: Place, rater: str) -> list[Reply]:
    found = []
    for spec in Path(place.folder).glob("runs/objects/ask/*/spec.json"):
        if f'"human:{rater}"' in spec.read_text():
            found += read_rows(spec.parent / "rows.jsonl", ROW)
    return found


def test_ratings_survive_a_kill_and_the_next_sitting_goes_on(place: Place) -> None:
    at_a_terminal(place, "45", "anna", kill=True)
    assert sorted(row.text for row in ratings(place, "anna")) == ['{"score": 4}', '{"score": 5}']
    shown = at_a_terminal(place, "3211q", "anna")
    assert "3 of 12" in shown
    assert len(ratings(place, "anna")) == 6
    assert len({(row.request_digest, row.example_id) for row in ratings(place, "anna")}) == 6


def test_two_raters_and_a_judge_are_compared_and_gc_keeps_ratings(place: Place) -> None:
    said = place.harness("rate", "matrix.yaml", "--agreement")
    at_a_terminal(place, "123454q", "anna")
    at_a_terminal(place, "123454321234q", "ben")
    said = place.harness("rate", "matrix.yaml", "--agreement")
    assert said.returncode == 0, said.stderr
    assert "Do judges agree with people?" in said.stdout
    result = Result.model_validate_json(place.comparison())
    assert result.people is not None
    anna, ben = "anna (correctness-5)", "ben (correctness-5)"
    pairs = [(each.a, each.b, each.judge) for each in result.people.agreement]
    assert pairs == [(anna, ben, False), (anna, "scripted", True), (ben, "scripted", True)]
    assert {each.labels for each in result.people.corrected} == {6}, "the run's comparison is written anew"
    [report] = place.folder.glob("runs/matrices/*/report.md")
    assert "### Means corrected by people's ratings" in report.read_text()
    assert "fewer than 30 rated items" in report.read_text()
    before = len(ratings(place, "ben"))
    place.harness("store", "gc")
    assert len(ratings(place, "ben")) == before > 10


def test_pairs_are_rated_too(place: Place) -> None:
    at_a_terminal(place, "abtq", "anna", more=("--rubric", "pairwise"))
    said = {row.text for row in ratings(place, "anna")}
    assert '{"better": "A"}' in said or '{"better": "tie"}' in said
