"""Judges in a whole run: pairwise, panels, several backends, limits, the bill; and no key anywhere afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.records.result import Result
from tests.pipeline.matrix import Place, make_place
from tests.servers.chaos import completion
from tests.servers.loopback import Asked, Said, serve

pytestmark = pytest.mark.slow

KEY = "planted-key-0123456789-never-to-be-seen"
JUDGES = """\
judges:
  - {backend: scripted, items: 20}
  - {backend: scripted, name: strict, items: 20, options: {garbage: 7}, repeats: 2}
  - {backend: scripted, name: duel, rubric: pairwise, items: 20, pairs: all}
  - {backend: openai, name: served, model: m, items: 12, options: {base_url: BASE, api_key_env: PLANTED_API_KEY},
     price: {input: 1, output: 10}, limits: {retries: 1}}
panels:
  - {name: both, judges: [scripted, strict], combine: mean}
"""


def leaking(asked: Asked) -> Said:
    """A server that repeats the key wherever it can: in errors, in headers, in replies."""
    key = asked.headers.get("authorization", "")
    kind = sum(map(ord, json.dumps(asked.body["messages"]))) % 4
    if kind == 0:
        return Said.of({"error": {"message": f"you sent {key}"}}, 400)
    if kind == 1 and asked.nth == 1:
        return Said.of({"error": {"message": f"slow down, {key}"}}, 429, **{"X-Key": key})
    if kind == 2:
        return Said.of(completion(f"{key} is not a verdict"))
    return Said.of(completion('{"score": 3}'))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    place = make_place(tmp_path_factory.mktemp("judged") / "p")
    place.edit("method: [none, full, lora]", "method: [none]")
    with serve(leaking) as server:
        place.edit("judges: [{backend: scripted, items: 20}]\n", JUDGES.replace("BASE", f"'{server.address}/v1'"))
        said = ""
        for arguments in (["plan"], ["judges", "trust"], ["run", "--debug"], ["judges", "trust"], ["judges", "bill"]):
            done = place.harness(*arguments, "matrix.yaml", PLANTED_API_KEY=KEY)
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout + done.stderr
            assert arguments == ["plan"] or place.harness("store", "gc", "--dry-run").stdout.startswith("0 objects")
        assert any(f"Bearer {KEY}" == asked.headers["authorization"] for asked in server.asked)
        failed = place.harness("run", "matrix.yaml", "--store", "other", "--max-calls", "5", PLANTED_API_KEY=KEY)
        assert failed.returncode == 2
        assert "limit of 5 calls to judges is reached" in failed.stderr
        yield place, said + failed.stdout + failed.stderr


def result_of(place: Place) -> Result:
    return Result.model_validate_json(place.comparison())


def test_no_key_stands_anywhere(run: tuple[Place, str]) -> None:
    place, said = run
    assert KEY not in said
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert any(b"[key removed]" in path.read_bytes() for path in files), "the server did send it"


def test_all_judges_and_the_panel_are_measures(run: tuple[Place, str]) -> None:
    result = result_of(run[0])
    assert [info.name for info in result.measures][-5:] == ["scripted", "strict", "duel", "served", "both"]
    assert [report.judge for report in result.trust] == ["scripted", "strict", "duel", "served", "both"]
    assert {(pair.a, pair.b) for pair in result.agreement} == {
        ("scripted", "strict"),
        ("scripted", "served"),
        ("strict", "served"),
    }, "verdicts on pairs are no scores"
    panel = result.measures[-1].panel
    assert panel is not None and (panel.judges, panel.combine) == (("scripted", "strict"), "mean")
    for row in result.rows:
        both = next(score for score in row.scores if score.measure == "both")
        assert both.mean is not None


def test_unscored_items_have_bounds(run: tuple[Place, str]) -> None:
    for row in result_of(run[0]).rows:
        served = next(score for score in row.scores if score.measure == "served")
        assert served.unscored
        assert served.mean is not None
        assert served.worst is not None
        assert served.best is not None
        assert 1 <= served.worst <= served.mean <= served.best <= 5


def test_the_pairwise_judge_gives_win_rates_and_the_opponent_half(run: tuple[Place, str]) -> None:
    result = result_of(run[0])
    means = {row.cell.name: {score.measure: score.mean for score in row.scores} for row in result.rows}
    assert means[result.baseline]["duel"] == 50.0
    [rate] = result.win_rates
    assert (rate.judge, rate.n) == ("duel", 20)
    assert rate.raw == pytest.approx(means[rate.cell]["duel"])
    duel = next(report for report in result.trust if report.judge == "duel")
    assert duel.order is not None
    assert duel.order.consistent.value == 1.0


def test_all_pairs_give_strengths_and_ask_nothing_that_was_asked_against_the_opponent(run: tuple[Place, str]) -> None:
    place, said = run
    [contest] = result_of(place).contests
    assert (contest.judge, contest.design, contest.games, contest.possible, contest.unscored) == (
        "duel",
        "all",
        20,
        20,
        0,
    )
    assert [each.games for each in contest.strengths] == [20, 20]
    [rate] = result_of(place).win_rates
    [meeting] = contest.meetings
    assert {round(100 * meeting.share, 6), round(100 - 100 * meeting.share, 6)} >= {round(rate.raw, 6)}
    [seal] = place.folder.glob("runs/objects/contest/*/seal.json")
    assert json.loads(seal.read_text())["facts"]["calls"] == 0, "two cells: all was known from the opponent's games"
    assert "beats an average cell on" in said


def test_the_reports_show_what_judges_are_worth(run: tuple[Place, str]) -> None:
    [folder] = run[0].folder.glob("runs/matrices/*")
    for name, escaped in (("report.md", r"wrong, with forged markup"), ("report.html", "wrong, with forged markup")):
        text = (folder / name).read_text()
        for title in ("Answers of known worth", "Noise and biases of the judges", "Do the judges agree?", "Win rates",
                      "Strengths by judge duel", "Answers without a verdict"):  # fmt: skip
            assert title in text, (name, title)
        assert escaped in text


def test_the_bill_and_the_plan_are_told(run: tuple[Place, str]) -> None:
    said = run[1]
    assert "judge served:" in said
    assert "tokens to it" in said
    assert "wrong, with an order to give the best score" in said
    assert "retries" in said
    assert "judges scripted and strict: " in said
    assert "wins" in said


def test_a_judge_without_its_key_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p")
    place.edit("{backend: scripted, items: 20}", "{backend: openai, model: gpt-4o-mini}")
    done = place.harness("run", "matrix.yaml", OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "OPENAI_API_KEY holds no key" in done.stderr
    assert not list(place.folder.glob("runs/objects/*"))
