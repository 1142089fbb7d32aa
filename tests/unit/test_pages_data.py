"""What the pages of the leaderboard show, without Streamlit: pairs, word diffs, costs, progress, next steps."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from rich.console import Console

from harness.progress import Lines
from harness.prompts import STYLES, inference_prompt, render
from harness.prompts.chat_template import control_tokens
from harness.records.style import TextStyle
from harness.store import MatrixRun, Store
from harness.work_note import Noting
from leaderboard import costs, outcome, pairs, spread, view
from leaderboard.asked import prompt_of
from leaderboard.next_steps import next_steps
from leaderboard.progress import against, progress, run_rows
from leaderboard.template_reader import TemplateReader
from leaderboard.word_diff import LONGEST, marked
from reports.ledger import ledger
from tests.small_tokenizers import tokenizer_of
from tests.ugly import BIDI, CELLS, MEASURES, SCRIPT, TEST, all_values, result
from tests.ugly_store import ugly_store

A, B = CELLS[3].name, CELLS[6].name
PAIR = next(c for c in result().comparisons if (c.measure, c.a, c.b) == ("rougeL", A, B))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ugly_store(tmp_path_factory.mktemp("ugly") / "runs")


@pytest.fixture(scope="module")
def run(store: Store) -> MatrixRun:
    return store.matrices()[0]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sft-harness"


@pytest.fixture(scope="module")
def differences(run: MatrixRun, store: Store) -> pd.DataFrame:
    plans = [plan for plan in run.plan.variants if plan.variant.cell.name in (A, B)]
    items = view.items(TEST, {})
    return pairs.differences(view.values(plans, store), items, "rougeL", A, B)


# ---------------------------------------------------------------- pairs


def test_differences_average_seeds_within_an_item(differences: pd.DataFrame) -> None:
    values = all_values()["rougeL"]
    expected = values[A].mean(0) - values[B].mean(0)
    assert list(differences["example_id"]) == [e.id for e in TEST]
    assert list(differences["delta"]) == pytest.approx(list(expected))
    comparison = PAIR
    assert differences["delta"].mean() == pytest.approx(comparison.delta)


def test_a_run_is_read_without_its_pairs_which_are_found_one_by_one(
    run: MatrixRun, store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = outcome.outcome(store, run.folder)
    assert light is not None and light.plan == run.plan
    assert light.result == result().model_copy(update={"comparisons": ()})
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(outcome, "read_result", lambda folder: pytest.fail("comparison.json is read once"))
    assert outcome.outcome(store, run.folder) == light
    assert outcome.pair_of(run.folder, "rougeL", A, B) == PAIR
    turned = outcome.pair_of(run.folder, "rougeL", B, A)
    assert turned is not None and (turned.a, turned.delta) == (B, -PAIR.delta)
    assert outcome.pair_of(run.folder, "no such measure", A, B) is None
    monkeypatch.undo()
    for kept in cache.iterdir():
        kept.write_bytes(b"torn")
    assert outcome.pair_of(run.folder, "rougeL", A, B) == PAIR


def test_another_comparison_is_not_answered_from_the_cache(tmp_path: Path) -> None:
    store = ugly_store(tmp_path / "runs")
    (folder,) = store.matrix_folders()
    assert outcome.outcome(store, folder) is not None
    (folder / "comparison.json").write_text("torn")
    torn = outcome.outcome(store, folder)
    assert torn is not None and torn.result is None
    (folder / "comparison.json").unlink()
    planned = outcome.outcome(store, folder)
    assert planned is not None and planned.result is None


def test_filters_of_items(differences: pd.DataFrame) -> None:
    def left(winner: str = "all", length: str = "all", *, higher: bool = True, **slices: list[str]) -> pd.DataFrame:
        return pairs.kept(differences, winner=winner, length=length, slices=slices, higher_is_better=higher)

    assert len(left()) == len(TEST)
    assert (left("A better")["delta"] > 0).all() and len(left("A better")) + len(left("B better")) == len(TEST)
    assert list(left("A better", higher=False)["delta"]) == list(left("B better")["delta"])
    short, middle, long = (left(length=name)["reference"].str.len() for name in pairs.LENGTHS[1:])
    assert len(short) + len(middle) + len(long) == len(TEST)
    assert short.max() <= middle.min() and middle.max() <= long.min()
    assert len(left(family=["language"])) == 7
    assert len(left(family=["nothing of that name"])) == 0


def test_fields_that_tell_every_item_apart_are_no_slices(differences: pd.DataFrame) -> None:
    assert pairs.slice_fields(differences) == {"family": ["<b>facts</b>", "language"]}


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"verdict": "better"}, "x is better than y by"),
        ({"verdict": "worse"}, "y is better than x by"),
        ({"verdict": "equivalent", "margin": 2.0}, "x and y are equivalent within ±2 points"),
        ({"verdict": "identical"}, "x and y score the same on every one of 14 items."),
        ({"verdict": "too few items"}, "too few for a verdict"),
        ({"verdict": "not shown"}, "No difference is shown"),
    ],
)
def test_the_sentence_of_a_pair(update: dict[str, object], said: str) -> None:
    found = PAIR
    delta = -abs(found.delta) if update["verdict"] == "worse" else abs(found.delta)
    assert said in pairs.sentence(found.model_copy(update={**update, "delta": delta}), MEASURES[0], "x", "y")


def test_where_lower_is_better_the_smaller_one_leads() -> None:
    found = PAIR
    lower = MEASURES[0].model_copy(update={"higher_is_better": False})
    better = found.model_copy(update={"verdict": "better", "delta": -3.0})
    assert pairs.sentence(better, lower, "x", "y").startswith("x is better than y by 3.0")


# ---------------------------------------------------------------- word diff


def test_a_response_stands_beside_its_own_score(run: MatrixRun, store: Store) -> None:
    plans = [plan for plan in run.plan.variants if plan.variant.cell.name == A]
    texts, values = view.responses(plans, store), view.values(plans, store)
    found = pairs.answers(texts, values, "rougeL")
    assert len(found) == len(plans) * len(TEST)
    for row in found.sample(5, random_state=1).to_dict("records"):
        mine = values[(values["seed"] == row["seed"]) & (values["example_id"] == row["example_id"])]
        assert list(mine.loc[mine["measure"] == "rougeL", "value"]) == [row["value"]]


def test_too_few_items_come_with_their_reason() -> None:
    few = PAIR.model_copy(update={"verdict": "too few items", "interval": None, "note": "the scale has no end"})
    assert pairs.sentence(few, MEASURES[0], "x", "y").endswith("items: the scale has no end.")


def test_only_words_of_one_side_are_marked() -> None:
    a, b = marked("The car is fast.", "The car is very fast!")
    assert str(a) == '<div class="diff" dir="auto">The car is fast<mark class="a">.</mark></div>'
    assert '<mark class="b">very </mark>' in b and '<mark class="b">!</mark>' in b


def test_a_diff_of_chinese_marks_characters() -> None:
    assert '<mark class="b">北</mark>' in marked("南京", "北京")[1]


def test_a_diff_runs_nothing() -> None:
    a, b = marked(SCRIPT, BIDI + "<img src=x>")
    assert "<script" not in a and "<img" not in b
    assert "\u202e" not in b and "\x1b" not in b
    long = SCRIPT + "ab " * LONGEST
    assert "<script" not in marked(long, "")[0] and "<mark" not in marked(long, "")[0]


# ---------------------------------------------------------------- costs


def test_the_pareto_front_is_what_nothing_beats_on_both() -> None:
    scores = pd.DataFrame({"cell": list("abcd"), "label": list("ABCD"), "mean": [10.0, 30.0, 20.0, 30.0]})
    bill = pd.DataFrame({"training, seconds": [1.0, 5.0, 3.0, 9.0]}, index=list("abcd"))
    found = costs.points(scores, bill, "training, seconds", higher_is_better=True)
    assert dict(zip(found["cell"], found["front"], strict=True)) == {"a": True, "c": True, "b": True, "d": False}
    tied = pd.concat([scores, pd.DataFrame({"cell": ["e"], "label": ["E"], "mean": [30.0]})], ignore_index=True)
    same = costs.points(tied, pd.concat([bill, bill.loc[["b"]].set_axis(["e"])]), "training, seconds",
                        higher_is_better=True)  # fmt: skip
    assert set(same.loc[same["front"], "cell"]) == set("acbe"), "nothing betters either of two equals"
    lower = costs.points(scores, bill, "training, seconds", higher_is_better=False)
    assert list(lower.loc[lower["front"], "cell"]) == ["a"]


def test_more_tokens_a_second_are_cheaper() -> None:
    name = "training, loss-bearing tokens a second"
    scores = pd.DataFrame({"cell": list("ab"), "label": list("AB"), "mean": [10.0, 20.0]})
    found = costs.points(scores, pd.DataFrame({name: [9.0, 1.0]}, index=list("ab")), name, higher_is_better=True)
    assert list(found["cell"]) == ["a", "b"] and found["front"].all()


def test_bills_come_from_the_seals(run: MatrixRun, store: Store) -> None:
    bills = costs.bills(run, store)
    assert bills.loc[CELLS[7].name, "training, seconds"] == pytest.approx(212.4)
    assert bills.loc[CELLS[0].name, "training, seconds"] == 0
    assert bills.loc[CELLS[7].name, "judging, US dollars"] == pytest.approx(0.0004)
    assert bills["energy, kJ"].isna().all()


def test_the_folds_of_a_seed_are_billed_together(run: MatrixRun, store: Store) -> None:
    plans = [plan for plan in run.plan.variants if plan.variant.cell == CELLS[7]]
    assert len(plans) == 3
    folds = tuple(
        plan.model_copy(update={"variant": plan.variant.model_copy(update={"seed": 123, "fold": fold})})
        for fold, plan in enumerate(plans, start=1)
    )
    crossed = replace(run, plan=run.plan.model_copy(update={"variants": folds}))
    bill = costs.bills(crossed, store).loc[CELLS[7].name]
    seeds = costs.bills(run, store).loc[CELLS[7].name]
    for name in ("training, seconds", "judging, US dollars"):
        assert bill[name] == pytest.approx(3 * seeds[name]), name
    for name in ("peak memory, GiB", "training, loss-bearing tokens a second"):
        assert bill[name] == pytest.approx(seeds[name]), name


# ---------------------------------------------------------------- spread, kept


def test_cell_means_are_kept_and_read_again(run: MatrixRun, store: Store, cache: Path) -> None:
    means = spread.cell_means(run, store, "smollm2-judge")
    cell = CELLS[6].name
    values = all_values()["smollm2-judge"][cell].mean(0)
    assert means[cell].isna().sum() == 3, "unscored by all seeds"
    assert means.loc[TEST[1].id, cell] == pytest.approx(values[1])
    (kept,) = cache.iterdir()
    pd.testing.assert_frame_equal(spread.cell_means(run, store, "smollm2-judge"), means)
    kept.write_bytes(b"torn")
    pd.testing.assert_frame_equal(spread.cell_means(run, store, "smollm2-judge"), means)


def test_a_cache_that_cannot_be_written_costs_only_time(
    run: MatrixRun, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(spread.cell_means(run, store, "rougeL")) == len(TEST)


# ---------------------------------------------------------------- training, prompts, runs, what next


def test_curves_cumulate_tokens_and_smooth(run: MatrixRun, store: Store) -> None:
    rows = [row for row in ledger(run, store, answers=False) if row.variant.cell.name == A]
    frame = view.curves(rows, {A: "a cell"})
    assert set(frame["variant"]) == {f"{A}#{seed}" for seed in (123, 124, 125)}
    one = frame[frame["variant"] == f"{A}#123"]
    assert one["loss_tokens"].iloc[-1] == 150 * 60
    raw = pd.Series([r.loss for r in rows[0].curve])
    assert one["loss"].diff().std() < raw.diff().std()
    assert view.curves([], {}).empty


def test_the_prompt_is_the_style_s(run: MatrixRun, store: Store) -> None:
    plan = next(plan for plan in run.plan.variants if plan.variant.prompt_style == "phi")
    style = STYLES["phi"]
    assert isinstance(style, TextStyle)
    expected = "".join(s.text for s in inference_prompt(render(style, TEST[0])))
    assert prompt_of(run, store, plan, TEST[0]) == expected
    assert expected.endswith(style.assistant)


HARD = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% endif %}\n"
    "{%- for m in messages %}\n  {%- if m['role'] == 'system' %}{% continue %}{% endif %}\n"
    "{{ '<|' + m['role'] + '|>' }}{{ {'said': m['content']} | tojson }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ strftime_now('%Y') }}{% endif %}"
)


@pytest.mark.parametrize("template", [None, HARD], ids=["chatml", "hard"])
def test_a_chat_template_is_rendered_as_transformers_does(template: str | None, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("byte-level")
    tokenizer.save_pretrained(tmp_path)
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text(template)
    given = template or tokenizer.chat_template
    reader = TemplateReader.of(tmp_path)
    assert reader is not None and control_tokens(reader) == control_tokens(tokenizer)
    said = [("system", "Be <b>brief</b>."), ("user", SCRIPT + BIDI), ("assistant", "长城")]
    for count in (2, 3):
        messages = [{"role": role, "content": text} for role, text in said[:count]]
        options: dict[str, Any] = {"chat_template": given, "tokenize": False, "add_generation_prompt": count == 2}
        assert reader.apply_chat_template(messages, **options) == tokenizer.apply_chat_template(messages, **options)


def test_without_a_template_nothing_is_rendered(tmp_path: Path) -> None:
    assert TemplateReader.of(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text("torn")
    assert TemplateReader.of(tmp_path) is None


def test_progress_counts_what_is_sealed(run: MatrixRun, store: Store) -> None:
    found = progress(run, store)
    assert found.sealed == found.planned == len(run.plan.stages)
    assert found.under_way == ()
    row = run_rows(store, [(run.folder, run)]).iloc[0]
    assert (row["state"], row["failed"]) == ("finished", 1)


def test_progress_tells_who_is_at_work_and_what_could_not_be_made(tmp_path: Path) -> None:
    store = ugly_store(tmp_path / "runs")
    run = store.matrices()[0]
    keys = [plan.train for plan in run.plan.variants if plan.train is not None][:3]
    for key in keys:
        (store.folder(key) / "seal.json").unlink()
    store.log(run.plan.matrix, "a", keys[0], "failed", "loss nan")
    store.log(run.plan.matrix, "b", keys[1], "failed", "loss inf")
    store.log(run.plan.matrix, "b", keys[1], "made")  # later
    store.log(run.plan.matrix, "c", keys[2], "unfinished", "no room")
    note = {"pid": os.getpid(), "host": "h", "since": "2026-01-01T00:00:00+00:00"}
    (store.folder(keys[0]) / "owner.json").write_text(json.dumps(note))
    pages, note_of = Console(file=io.StringIO()), run.folder / "at_work.json"
    with FileLock(store.folder(keys[0]) / "lock"), Lines(pages, {"train": 2}, {"train": 0}) as lines:
        watcher = Noting(lines, run.folder)
        watcher.begin("train", "a#1", 400)
        watcher._written = 0.0
        watcher.advance("train", 120)
        working, doing = progress(run, store).under_way
        assert doing == "train a#1: 120 of 400 examples"
        (store.folder(keys[0]) / "owner.json").write_text(json.dumps(note | {"pid": os.getpid() + 1}))
        assert len(progress(run, store).under_way) == 1, "another process, at what both runs need"
        watcher.end("train", "a#1", "")
    assert not note_of.exists()
    assert working.startswith(f"train {keys[0].digest[:12]}: being made by process {os.getpid()} on h")
    found = progress(run, store)
    assert found.under_way == (), "it was killed"
    assert set(found.troubles) == {"train a failed: loss nan", "train c unfinished: no room"}
    assert found.failed == 1


def test_a_run_against_itself_differs_nowhere() -> None:
    frame = against(result(), result())
    assert len(frame) == len(CELLS) * len(MEASURES) and (frame["delta"].dropna() == 0).all()


def test_next_steps_name_what_is_open() -> None:
    said = " ".join(next_steps(result()))
    for word in (
        "1 variant failed",
        "smollm2-judge",
        "2 test items also stand",
        "masking prompt against none",
        "14 more",
    ):
        assert word in said, word
    assert "This design finds differences of" in said
    first, *others = result().effects
    blind = first.model_copy(update={"comparison": first.comparison.model_copy(
        update={"mde": None, "verdict": "not shown", "measure": result().primary})})  # fmt: skip
    told = " ".join(next_steps(result().model_copy(update={"effects": (blind, *others)})))
    assert "Not all could have been seen here" in told and "This design finds" not in told
    settled = result().model_copy(update={"failed": (), "audit": None, "effects": (), "measures": MEASURES[:1]})
    assert next_steps(settled) == ()


def test_bullets_escape_all_but_their_code() -> None:
    assert view.bullets([f"`harness` {SCRIPT}"], code=True) == (
        "<ul><li><code>harness</code> &lt;script&gt;alert(1)&lt;/script&gt;</li></ul>"
    )


def test_csv_holds_no_formula() -> None:
    frame = pd.DataFrame({"text": ["=1+1", "a, b", None], "figure": [-1.5, 2.0, None]})
    assert view.csv(frame).splitlines() == ["text,figure", "'=1+1,-1.5", '"a, b",2.0', ","]
