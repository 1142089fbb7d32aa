"""The leaderboard's data frames over the ugly store, and the command that serves it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from harness.errors import HarnessError
from harness.records.data import AuditSummary
from harness.records.result import Interval, PanelInfo, Result
from harness.store import MatrixRun, Store
from leaderboard import cache, view
from leaderboard.launch import ADDRESS, command, require_free
from leaderboard.pages.items import ending_words
from leaderboard.pairs import sentence
from leaderboard.spread import cell_means, spread_among, spread_of
from reports.interchange import inspect_log
from reports.ledger import ledger
from reports.samples import samples
from reports.vega import loss_plot
from tests.ugly import CELLS, FAILED, LONG, MEASURES, TEST, all_values, result
from tests.ugly_store import ugly_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ugly_store(tmp_path_factory.mktemp("ugly") / "runs")


@pytest.fixture(scope="module")
def run(store: Store) -> MatrixRun:
    return store.matrices()[0]


@pytest.fixture(scope="module")
def values(run: MatrixRun, store: Store) -> pd.DataFrame:
    return view.values(run.plan.variants, store)


def test_board_has_a_row_a_cell_and_measure() -> None:
    frame = view.board(result())
    assert len(frame) == len(CELLS) * len(MEASURES)
    assert list(frame.columns) == view.BOARD_COLUMNS
    rows = frame[frame["measure"] == "rougeL"]
    assert list(rows["cell"]) == [row.cell.name for row in result().rows]
    assert list(rows["mean"]) == [row.scores[0].mean for row in result().rows]
    untrusted = frame[~frame["trusted"]]
    assert set(untrusted["measure"]) == {"smollm2-judge"} and set(untrusted["ranks"]) == {"–"}


def test_chosen_filters_by_every_axis_and_nothing_by_default() -> None:
    frame = view.board(result())
    assert len(view.chosen(frame, {"model": [], "masking": []})) == len(frame)
    kept = view.chosen(frame, {"prompt_style": ["phi"], "method": ["full", "lora"]})
    assert set(kept["cell"]) == {c.name for c in CELLS if c.prompt_style == "phi" and c.method != "none"}
    assert set(view.chosen(frame, {"masking": ["–"]})["method"]) == {"none"}


def test_in_order_turns_round_where_lower_is_better() -> None:
    frame = view.board(result())
    lower = MEASURES[1].model_copy(update={"higher_is_better": False})
    assert view.in_order(frame, MEASURES[1])["mean"].is_monotonic_decreasing
    assert view.in_order(frame, lower)["mean"].is_monotonic_increasing


def test_table_leads_with_the_chosen_measure_and_ends_with_the_untrusted() -> None:
    table = view.table(view.board(result()), MEASURES, MEASURES[1])
    rest = map(view.column_of, ("rougeL", "chrf", "keyword-judge", "smollm2-judge"))
    assert list(table.columns) == [
        "ranks", "model", "prompt_style", "method", "masking", "seeds",
        view.column_of("bleu"), "interval", *rest, "unscored",
    ]  # fmt: skip
    assert table[view.column_of("bleu")].is_monotonic_decreasing
    assert table["unscored"].sum() == 3 * 4
    assert [cell for cell, level in table["masking"].items() if level.endswith("(baseline)")] == [result().baseline]
    untuned = table[table["method"] == "none"]
    assert untuned["seeds"].isna().all() and len(untuned) == 3


def test_ranks_sort_as_numbers_do() -> None:
    frame = view.board(result())
    frame["ranks"], frame["rank_low"] = frame["ranks"].where(frame["rank_low"] > 1, "12"), frame["rank_low"].fillna(2)
    told = view.table(frame, MEASURES, MEASURES[0])["ranks"]
    assert sorted(told) == sorted(told, key=lambda said: [int(part) for part in said.split("–")])
    assert len(told.unique()) > 2


def test_seeds_unfold_below_their_cell() -> None:
    frame = view.board(result())
    folded = view.table(frame, MEASURES, MEASURES[0])
    table = view.table(frame, MEASURES, MEASURES[0], seeds=True)
    assert list(table.columns) == list(folded.columns) and len(table) == 3 + 9 * 4
    row = next(row for row in result().rows if row.seeds)
    mine = table.loc[row.cell.name]
    assert list(mine["seeds"]) == ["3", "#123", "#124", "#125"]
    scores = {score.measure: score for score in row.scores}
    for measure in MEASURES:
        assert list(mine[view.column_of(measure.name)]) == [scores[measure.name].mean, *scores[measure.name].per_seed]
    assert mine["interval"].notna().tolist() == [True, False, False, False]


def test_a_seed_without_a_score_leaves_the_others_unnamed() -> None:
    row = next(row for row in result().rows if row.seeds)
    score = row.scores[0].model_copy(update={"per_seed": row.scores[0].per_seed[:2]})
    short = row.model_copy(update={"scores": (score, *row.scores[1:])})
    told = result().model_copy(update={"rows": (short, *(r for r in result().rows if r != row))})
    mine = view.table(view.board(told), MEASURES, MEASURES[0], seeds=True).loc[row.cell.name]
    assert mine[view.column_of("rougeL")].notna().tolist() == [True, False, False, False]
    assert mine[view.column_of("bleu")].notna().all()


@pytest.mark.parametrize("name", ["model", "label", "cell", "seeds", "ranks", "interval", "unscored", "mean"])
def test_a_judge_may_bear_the_name_of_a_column(name: str) -> None:
    judge = MEASURES[-1].name
    rows = tuple(
        row.model_copy(
            update={
                "scores": tuple(s.model_copy(update={"measure": name}) if s.measure == judge else s for s in row.scores)
            }
        )
        for row in result().rows
    )
    measures = (*MEASURES[:-1], MEASURES[-1].model_copy(update={"name": name}))
    frame = view.board(result().model_copy(update={"rows": rows, "measures": measures}))
    for shown in range(len(MEASURES)):
        for seeds in (False, True):
            told = view.table(frame, measures, measures[shown], seeds=seeds)
            like = view.table(view.board(result()), MEASURES, MEASURES[shown], seeds=seeds)
            pd.testing.assert_frame_equal(told, like.rename(columns={view.column_of(judge): view.column_of(name)}))


def test_what_cannot_be_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "path_of", lambda name: tmp_path / f"{name}.parquet")
    cache.kept("none", lambda: pd.DataFrame({"json": []}))
    cache.kept("one", lambda: pd.DataFrame({"json": ["{}"]}))
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]


def test_no_two_of_32_loss_curves_look_alike() -> None:
    rows = [{"label": str(i), "variant": str(i), "kind": "training", "step": 1, "loss": 1.0} for i in range(32)]
    place = loss_plot(rows, "step")["layer"][0]["encoding"]
    looks = zip(place["color"]["scale"]["range"], map(str, place["strokeDash"]["scale"]["range"]), strict=True)
    assert len(set(looks)) == 32


def test_values_are_the_store_s_and_name_every_outcome(values: pd.DataFrame) -> None:
    cell = CELLS[6].name
    mine = values[(values["cell"] == cell) & (values["seed"] == 124) & (values["measure"] == "chrf")]
    assert list(mine["value"]) == pytest.approx(list(all_values()["chrf"][cell][1]))
    judged = values[(values["cell"] == cell) & (values["measure"] == "smollm2-judge")]
    assert judged["outcome"].value_counts().to_dict() == {"scored": 33, "unparsed": 3, "refused": 3, "failed": 3}
    unscored = judged[judged["outcome"] != "scored"]
    assert unscored["value"].isna().all() and (unscored["reason"] != "").all()
    assert FAILED.variant not in set(values["variant"])


def with_a_panel() -> Result:
    """The ugly result, and a panel of its two judges as the primary measure."""
    judges = [m for m in MEASURES if m.kind == "judge"]
    of_both = PanelInfo(judges=tuple(m.name for m in judges), combine="mean")
    panel = judges[1].model_copy(update={"name": "both", "label": "panel both", "panel": of_both})
    return result().model_copy(update={"measures": (*MEASURES, panel), "primary": "both"})


def test_a_panel_s_values_are_made_of_its_judges(run: MatrixRun, store: Store) -> None:
    told = replace(run, result=with_a_panel())
    cell = CELLS[3].name
    frame = view.values(run.plan.variants, store, told.result)
    mine = frame[(frame["cell"] == cell) & (frame["measure"] == "both") & (frame["seed"] == 124)]
    of_judges = [all_values()[judge][cell][1] for judge in ("smollm2-judge", "keyword-judge")]
    expected = [(a + b) / 2 for a, b in zip(*of_judges, strict=True)]
    assert list(mine["value"]) == pytest.approx(expected)
    means = cell_means(told, store, "both")
    assert len(means) == len(TEST) and means.loc[TEST[0].id, cell] == pytest.approx(
        frame[(frame["cell"] == cell) & (frame["measure"] == "both") & (frame["example_id"] == TEST[0].id)][
            "value"
        ].mean()
    )
    answers = [response for sample in samples(told, store) for response in sample.responses]
    assert any(response.value is not None for response in answers)
    log = json.loads(next(iter(inspect_log(told, store).values())))
    assert "both" in log["samples"][1]["scores"]


def test_leaked_items_that_are_left_out_count_nowhere(run: MatrixRun, store: Store) -> None:
    leaked = {TEST[2].id, TEST[3].id}
    audit = AuditSummary(found={}, leaked=tuple(leaked))
    without = result().model_copy(update={"audit": audit, "n_test": len(TEST) - 2, "left_out": tuple(leaked)})
    log = json.loads(next(iter(inspect_log(replace(run, result=without), store).values())))
    assert len(log["samples"]) == len(TEST) - 2 and not leaked & {sample["id"] for sample in log["samples"]}


def test_a_pair_in_words_faces_the_way_of_its_gap() -> None:
    pair = next(c for c in result().comparisons if c.measure == "rougeL")

    def said(**told: object) -> str:
        return sentence(pair.model_copy(update={"p_adjusted": 0.74, **told}), MEASURES[0], "A", "B")

    behind = {"delta": -3.0, "interval": Interval(low=-5.0, high=-1.0)}
    assert "B is better than A by 3.0 ROUGE-L points, 95 % interval [1.0, 5.0]" in said(verdict="worse", **behind)
    assert "A and B have the same mean" in said(verdict="not shown", delta=0.0)
    same = said(verdict="equivalent", margin=2.0, p_equivalent=0.003, delta=-0.5, interval=Interval(low=-1, high=0.1))
    assert "interval [−1.0, 0.1], p = 0.003 after correction" in same


def test_how_a_response_ended_may_not_be_known() -> None:
    assert ending_words("unknown", 0) == "tokens not counted, how it ended is not known"
    assert ending_words("eos", 12) == "12 tokens, ended by itself"


def test_items_spread_is_the_range_of_cell_means(run: MatrixRun, store: Store, values: pd.DataFrame) -> None:
    frame = view.items(TEST, spread_of(cell_means(run, store, "rougeL")))
    assert list(frame["example_id"]) == [e.id for e in TEST]
    means = [cell.mean(0) for cell in all_values()["rougeL"].values()]
    expected = [max(m[i] for m in means) - min(m[i] for m in means) for i in range(len(TEST))]
    assert list(frame["spread"]) == pytest.approx(expected)


def test_the_spread_of_chosen_cells_is_theirs_alone(run: MatrixRun, store: Store) -> None:
    means = cell_means(run, store, "rougeL")
    frame = view.items(TEST, spread_of(means))
    two = list(means.columns[:2])
    apart = (means[two[0]] - means[two[1]]).abs()
    assert list(spread_among(frame, means, two)["spread"]) == pytest.approx([apart[e] for e in frame["example_id"]])
    for too_few in ([], two[:1], [two[0], "no such cell"]):
        assert spread_among(frame, means, too_few) is frame


def test_items_of_an_unscored_measure_have_no_spread(run: MatrixRun, store: Store) -> None:
    assert view.items(TEST, spread_of(cell_means(run, store, "none")))["spread"].isna().all()


def test_matching_wants_every_word_in_any_field(run: MatrixRun, store: Store, values: pd.DataFrame) -> None:
    frame = view.items(TEST, spread_of(cell_means(run, store, "rougeL")))
    assert list(view.matching(frame, "AUSTEN prejudice")["instruction"]) == [
        "Name the author of 'Pride and Prejudice'."
    ]
    assert len(view.matching(frame, "长城")) == 1
    assert len(view.matching(frame, "x^2$ (")) == 0
    assert len(view.matching(frame, "  ")) == len(TEST)


def test_responses_cover_finished_variants(run: MatrixRun, store: Store) -> None:
    frame = view.responses(run.plan.variants, store)
    assert len(frame) == (3 + 9 * 3) * len(TEST)
    assert list(frame.columns) == view.RESPONSE_COLUMNS


def test_trust_and_ledger_frames(run: MatrixRun, store: Store) -> None:
    trust = view.trust(result()).set_index("judge")
    assert not trust.loc["smollm2-judge", "trusted"] and trust.loc["keyword-judge", "trusted"]
    assert trust.loc["smollm2-judge", "auc_empty"] == 0.23
    assert trust.loc["smollm2-judge", "empty_unscored"] == 14
    assert len(view.ledger_frame(ledger(run, store))) == 9 * 3
    assert LONG not in set(view.ledger_frame(ledger(run, store))["cell"])


def test_judges_that_read_the_same_replies_share_a_bill(run: MatrixRun, store: Store) -> None:
    plain = view.judge_bill(run, store).set_index("judge")
    first = next(judge for judge in run.plan.judges if judge.name == "keyword-judge")
    plans = tuple(
        each.model_copy(update={"asks": each.asks | {"expected": each.asks[first.name]}}) if each.asks else each
        for each in run.plan.variants
    )
    judges = (*run.plan.judges, first.model_copy(update={"name": "expected"}))
    shared = replace(run, plan=run.plan.model_copy(update={"judges": judges, "variants": plans}))
    found = view.judge_bill(shared, store).set_index("judge")
    assert list(found.index) == ["smollm2-judge", "keyword-judge, expected"]
    assert list(found["calls"]) == list(plain["calls"])


def test_effects_name_the_better_level() -> None:
    frame = view.effects(result(), "rougeL").set_index("label")
    assert frame.loc["method: full − none", "verdict"] == "full better"
    assert not frame.loc["masking: prompt − none", "shown"]


def test_a_level_s_name_is_never_taken_for_a_verdict() -> None:
    effect = next(e for e in result().effects if e.comparison.verdict == "better")
    named = effect.model_copy(update={"a": "google/gemma-2b", "b": "qwen2-0.5"})
    frame = view.effects(result().model_copy(update={"effects": (named,)}), effect.measure)
    assert list(frame["verdict"]) == ["google/gemma-2b better"]


def test_an_unreadable_comparison_is_said_once(tmp_path: Path) -> None:
    store = ugly_store(tmp_path / "runs")
    (store.matrices()[0].folder / "comparison.json").write_text("{")
    script = (
        f"from pathlib import Path\nfrom leaderboard.pages.runs import show\nshow(Path({str(tmp_path / 'runs')!r}))"
    )
    page = AppTest.from_string(script, default_timeout=60).run()
    assert not page.exception
    assert "cannot be read" in page.warning[0].value


def test_a_description_is_neither_ranked_nor_compared(tmp_path: Path) -> None:
    store = ugly_store(tmp_path / "runs")
    length = MEASURES[0].model_copy(update={"descriptive": True, "ranks": False})
    told = result().model_copy(update={"measures": (length, *MEASURES[1:]), "effects": (), "comparisons": ()})
    store.write_result(store.matrices()[0].plan, told)
    for name in ("board", "answer", "compare"):
        where = str(tmp_path / "runs")
        script = f"from pathlib import Path\nfrom leaderboard.pages.{name} import show\nshow(Path({where!r}))"
        page = AppTest.from_string(script, default_timeout=60).run()
        assert not page.exception
        words = " ".join(each.value for each in (*page.info, *page.caption, *page.subheader))
        assert "does not rank" in words, name
        assert not any(wrong in words for wrong in ("Ranked by", "Pareto", "share no item", "No axis")), name


def test_command_binds_to_this_machine_only(tmp_path: Path) -> None:
    line = command(tmp_path, 8600)
    assert line[line.index("--server.address") + 1] == ADDRESS == "127.0.0.1"
    assert line[line.index("--browser.gatherUsageStats") + 1] == "false"
    assert line[-3:] == ["--", "--store", str(tmp_path)]
    assert Path(line[4]).exists()


def test_a_taken_port_is_an_instruction() -> None:
    with socket.socket() as holder:
        holder.bind((ADDRESS, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(HarnessError, match=f"--port {port + 1}"):
            require_free(port)
    require_free(port)


def test_view_and_reports_load_neither_streamlit_nor_torch() -> None:
    code = (
        "import sys, leaderboard.view, leaderboard.launch, reports.publish, reports.terminal; "
        "print([m for m in ('streamlit', 'torch', 'altair') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
