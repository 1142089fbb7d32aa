"""`harness publish`, over the ugly store; what other tools read is read by them where they are."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from harness.cli import main
from harness.finished import find_run
from harness.records.inputs import ContestInput, ServedInput
from harness.records.people import Estimate, PeopleReport, RaterAgreement
from harness.store import MatrixRun, Store, planned
from reports import tables
from reports.bundle import bundle
from reports.evaluation_card import cards, file_names, slug
from reports.interchange import alpaca_eval, inspect_log, lm_eval
from reports.model_card import model_card
from reports.published import published
from tests.ugly import CELLS, ITEMS, MEASURES, SCRIPT, TEST, all_values, result
from tests.ugly_store import replies, ugly_store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ugly") / "runs"
    ugly_store(folder)
    return folder


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return Store(root)


@pytest.fixture(scope="module")
def run(store: Store) -> MatrixRun:
    return store.matrices()[0]


def test_tables_hold_the_figures_of_the_result() -> None:
    written = tables.files(result())
    rows = list(csv.DictReader(written["leaderboard.csv"].splitlines()))
    assert len(rows) == len(CELLS) * len(MEASURES)
    best = result().rows[0]
    assert rows[0]["cell"] == best.cell.name and float(rows[0]["mean"]) == best.scores[0].mean
    pairs = json.loads(written["pairs.json"])
    assert [pair["p_adjusted"] for pair in pairs] == [c.p_adjusted for c in result().comparisons]


def test_a_spreadsheet_runs_no_formula() -> None:
    assert tables.as_csv([{"cell": "=HYPERLINK(1)", "mean": -1.5}]).splitlines()[1] == "'=HYPERLINK(1),-1.5"


def test_latex_is_a_booktabs_table_that_only_sets_what_it_is_given() -> None:
    text = tables.latex_leaderboard(result("50% _of_ $x^2$ \\input{/etc/passwd} #1"))
    assert r"50\% \_of\_ \$x\textasciicircum{}2\$ \textbackslash{}input\{/etc/passwd\} \#1" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(CELLS)
    columns = len(re.search(r"begin\{tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
    assert {line.count(" & ") for line in body} == {columns - 1}


def test_the_hub_reads_the_cards(run: MatrixRun, store: Store) -> None:
    written = cards(run, store)
    assert len(written) == 9 * 3
    name = "smollm2-135m--phi--full--mask-prompt--seed-123"
    card = ModelCard(written[f"{name}.md"])
    found = {r.metric_name: r.metric_value for r in card.data.eval_results}
    scores = {s.measure: s for s in result().rows[0].scores}
    assert found["ROUGE-L"] == pytest.approx(scores["rougeL"].mean, abs=1e-4)
    assert "smollm2-judge" not in found, "an untrusted judge's"
    assert card.data.model_name == name


def test_no_variant_s_file_takes_another_s_place(run: MatrixRun, store: Store) -> None:
    assert file_names(["a/b"]) == {"a/b": "a--b"}
    names = ["gpt 4/imported", "gpt-4/imported", "GPT-4/imported", "a/b"]
    found = file_names(names)
    assert len({file.casefold() for file in found.values()}) == len(names) and found["a/b"] == "a--b"
    first, second, *others = run.plan.variants
    renamed = [
        plan.model_copy(update={"variant": plan.variant.model_copy(update={"model": model, "imported": True})})
        for plan, model in ((first, "gpt 4"), (second, "gpt-4"))
    ]
    alike = replace(run, plan=run.plan.model_copy(update={"variants": (*renamed, *others)}))
    for written in (alpaca_eval, inspect_log, lm_eval):
        assert len(written(alike, store)) == len(written(run, store)), written.__name__


def test_a_card_names_a_base_on_the_hub_only(run: MatrixRun, store: Store) -> None:
    assert all(ModelCard(text).data.get("base_model") is None for text in cards(run, store).values()), "GGUF files"
    keys = {plan.base for plan in run.plan.variants}
    stages = tuple(
        stage.model_copy(update={"input": stage.input.model_copy(update={"kind": "hub"})})
        if stage.key in keys
        else stage
        for stage in run.plan.stages
    )
    hub = replace(run, plan=run.plan.model_copy(update={"stages": stages}))
    assert all(ModelCard(text).data.get("base_model") for text in cards(hub, store).values())


def crossed(run: MatrixRun) -> MatrixRun:
    """The run, as if its three seeds were three folds of one."""
    folds = {123: 1, 124: 2, 125: 3}
    plans = tuple(
        plan.model_copy(update={"variant": plan.variant.model_copy(update={"seed": 123, "fold": folds[seed]})})
        if (seed := plan.variant.seed) is not None
        else plan
        for plan in run.plan.variants
    )
    return replace(run, plan=run.plan.model_copy(update={"variants": plans}))


def test_a_fold_s_card_claims_no_result_on_what_it_was_trained_on(run: MatrixRun, store: Store) -> None:
    folded = crossed(run)
    plan = next(p for p in folded.plan.variants if p.variant.cell == CELLS[7] and p.variant.fold == 2)
    assert plan.train is not None
    written = cards(folded, store)[f"{slug(plan.variant.name)}.md"], model_card(folded, plan, store.sealed(plan.train))
    for text in written:
        assert not ModelCard(text).data.eval_results, "figures of three checkpoints are not this one's"
        assert "pooled over the checkpoints of 3 folds" in text and "this one those of fold 2 alone" in text
    assert "pooled" not in model_card(run, run.plan.variants[1], None)


def test_cards_hold_what_ranks(run: MatrixRun, store: Store) -> None:
    assert run.result is not None
    marks = {"chrf": {"ranks": False, "descriptive": True}, "smollm2-judge": {"ranks": True}}
    measures = tuple(m.model_copy(update=marks.get(m.name, {})) for m in run.result.measures)
    marked = replace(run, result=run.result.model_copy(update={"measures": measures}))
    text = cards(marked, store)["smollm2-135m--phi--full--mask-prompt--seed-123.md"]
    labels = [m.label for m in measures if m.name != "chrf"]
    assert sorted(r.metric_name for r in ModelCard(text).data.eval_results) == sorted(labels)
    assert "(untrusted)" in text


def test_an_adapter_and_what_it_was_merged_into_name_the_library_that_loads_them(run: MatrixRun) -> None:
    plan = next(p for p in run.plan.variants if p.variant.method == "lora")
    assert "library_name: peft\n" in model_card(run, plan, None)
    assert "library_name: transformers\n" in model_card(run, plan, None, merged=True)


def test_an_exported_readme_only_shows_foreign_text(run: MatrixRun) -> None:
    assert run.result is not None
    hostile = "a|<img src=x onerror=alert(1)>\nx"
    measures = [m.model_copy(update={"label": hostile, "untrusted_reason": hostile}) for m in run.result.measures]
    ugly = replace(run, result=run.result.model_copy(update={"measures": tuple(measures), "data_name": hostile}))
    plan = next(p for p in run.plan.variants if p.variant.cell == CELLS[7])
    body = model_card(ugly, plan, None).split("\n---\n", 1)[1]
    assert "<img" not in body.replace("\\<img", "")
    table = [line for line in body.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(MEASURES)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}


def test_alpaca_eval_outputs(run: MatrixRun, store: Store) -> None:
    written = alpaca_eval(run, store)
    assert len(written) == 1 + 3 + 9 * 3
    rows = json.loads(written["smollm2-135m--alpaca--full--mask-prompt--seed-123.json"])
    assert [set(row) for row in rows] == [{"dataset", "instruction", "output", "generator"}] * len(TEST)
    assert SCRIPT in rows[1]["output"]
    reference = json.loads(written["reference.json"])
    assert [row["output"] for row in reference] == [output for _, _, output in ITEMS]
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in reference], "they are joined by it"


def test_lm_eval_results(run: MatrixRun, store: Store) -> None:
    found = json.loads(lm_eval(run, store)["results_smollm2-135m--phi--full--mask-prompt--seed-124.json"])
    values = all_values()["rougeL"][CELLS[7].name][1]
    figures = found["results"]["starter-en"]
    assert figures["rougeL,none"] == pytest.approx(values.mean())
    assert figures["rougeL_stderr,none"] == pytest.approx(values.std(ddof=1) / len(values) ** 0.5)
    assert figures["bleu_stderr,none"] == "N/A", "a corpus figure has no spread of items"
    assert found["n-samples"]["starter-en"]["effective"] == len(TEST)
    assert found["configs"]["starter-en"]["metadata"]["items"]["smollm2-judge"] == len(TEST) - 3
    assert "smollm2-judge,untrusted" in figures and "smollm2-judge,none" not in figures


def test_lm_eval_counts_what_was_scored_and_gives_a_description_no_direction(run: MatrixRun, store: Store) -> None:
    assert run.result is not None
    measures = tuple(m.model_copy(update={"descriptive": m.name == "chrf"}) for m in run.result.measures)
    few = run.result.model_copy(update={"measures": measures, "left_out": tuple(e.id for e in TEST[:4])})
    found = json.loads(next(iter(lm_eval(replace(run, result=few), store).values())))
    assert found["n-samples"]["starter-en"] == {"original": len(TEST), "effective": len(TEST) - 4}
    assert set(found["higher_is_better"]["starter-en"]) == {m.name for m in measures} - {"chrf"}


def test_inspect_logs_leave_unscored_items_unscored(run: MatrixRun, store: Store) -> None:
    log = json.loads(inspect_log(run, store)["smollm2-135m--phi--full--mask-prompt--seed-123.json"])
    assert log["version"] == 2 and log["status"] == "success"
    judged = [i for i, sample in enumerate(log["samples"]) if "smollm2-judge" not in sample["scores"]]
    assert judged == [0, 4, 9]
    (score,) = (s for s in log["results"]["scores"] if s["name"] == "smollm2-judge")
    assert score["metadata"]["unscored"] == 3 and score["metadata"]["trusted"] is False


READ = """
import json, sys
from pathlib import Path
import yaml
from alpaca_eval.main import evaluate
from inspect_ai.log import read_eval_log
from lm_eval.utils import make_table

folder = Path(sys.argv[1])
logs = {path.name: read_eval_log(str(path)) for path in (folder / "inspect").glob("*.json")}
judge = {
    "prompt_template": f"{folder.name}/prompt.txt",
    "fn_completions": "test_completions",
    "completions_kwargs": {"value": "(a)"},
    "completion_parser_kwargs": {"outputs_to_match": {1: "[(]a", 2: "[(]b"}},
    "batch_size": 1,
}
(folder / "prompt.txt").write_text("{instruction} (a) {output_1} (b) {output_2}")
(folder / "configs.yaml").write_text(yaml.safe_dump({"test": judge}))
board, notes = evaluate(
    folder / "alpaca-eval" / f"{sys.argv[2]}.json", folder / "alpaca-eval" / "reference.json",
    annotators_config=str(folder / "configs.yaml"), output_path=None, is_return_instead_of_print=True,
    precomputed_leaderboard=None, is_cache_leaderboard=False, fn_metric="get_winrate", sort_by="win_rate",
    caching_path=None,
)
told = {
    "inspect": {
        name: [log.status, len(log.samples), {score.name: score.metrics["mean"].value for score in log.results.scores}]
        for name, log in logs.items()
    },
    "lm-eval": {path.name: make_table(json.loads(path.read_text())) for path in (folder / "lm-eval").glob("*.json")},
    "alpaca-eval": [board.index.tolist(), [note["output_2"] for note in notes]],
}
print(json.dumps(told))
"""


@pytest.mark.slow
def test_the_tools_themselves_read_what_is_written_for_them(root: Path, tmp_path: Path) -> None:
    readers = Path(sys.prefix) / "readers"
    assert readers.is_dir(), "`make .venv/installed-dev` puts them there"
    for name in ("alpaca-eval", "lm-eval", "inspect"):
        command = ["publish", "starter-ablation", "--store", str(root), "--as", name, "--to", str(tmp_path / name)]
        assert main(command) == 0
    who = "smollm2-135m--phi--full--mask-prompt--seed-123"
    path = {"PYTHONPATH": str(readers)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", READ, str(tmp_path), who], env=os.environ | path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    values = all_values()
    cell = next(row for row in result().rows if row.cell.name == "smollm2-135m/phi/full/mask-prompt")
    status, samples, scores = told["inspect"][f"{who}.json"]
    assert (status, samples) == ("success", len(TEST))
    assert len(told["inspect"]) == len(told["lm-eval"]) == 3 + 9 * 3
    rouge = values["rougeL"][cell.cell.name][0].mean()
    assert scores["rougeL"] == pytest.approx(rouge)
    table = told["lm-eval"][f"results_{who}.json"]
    assert f"|rougeL|↑|{rouge:.4f}|" in table.replace(" ", ""), table
    names, judged = told["alpaca-eval"]
    assert "smollm2-135m/phi/full/mask-prompt#123" in names
    assert len(judged) == len(TEST)


def test_publish_leaves_weights_paths_and_other_matrices_behind(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", str(tmp_path / "out")]) == 0
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"app.py", "requirements.txt", "Dockerfile", "README.md", ".streamlit/config.toml"} <= files
    assert {"site/index.html", "site/leaderboard.tex", "leaderboard/app.py", "store/store.json"} <= files
    names = {path.rsplit("/", 1)[-1] for path in files}
    assert not names & {"matrix.yaml", "index.jsonl", "model.safetensors", "starter-en.jsonl", "lock"}
    assert "torch" not in (tmp_path / "out" / "requirements.txt").read_text()
    copy = Store(tmp_path / "out" / "store")
    assert copy.matrices()[0].result == Store(root).matrices()[0].result
    assert all(not problems for _, problems in copy.verify() if not problems or "spec" not in problems[0])
    assert main(["store", "verify", "--store", str(copy.root)]) == 2
    told = capsys.readouterr()
    assert "holds a published copy of starter-ablation" in told.err and "rm -r" not in told.out
    (copy.matrices()[0].folder / "matrix.yaml").write_text("name: whole\n")
    assert main(["store", "verify", "--store", str(copy.root)]) == 2
    assert "published copy" not in capsys.readouterr().err, "one recipe that is there makes it a store"


def test_publish_without_texts_holds_no_text(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "out put"
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", str(where), "--without-texts"]) == 0
    assert f"streamlit run '{where / 'app.py'}'\n" in capsys.readouterr().out
    told = [path.read_text(errors="replace") for part in ("store", "site") for path in (where / part).rglob("*.*")]
    for text in (ITEMS[5][0], ITEMS[3][2], SCRIPT, "Good enough.", "a.jsonl"):
        assert not any(text in each for each in told), text
    assert any('"value"' in each for each in told), "figures by item stay"


def test_a_contest_s_replies_are_texts(run: MatrixRun, store: Store, tmp_path: Path) -> None:
    asked = ContestInput(contestants=(("a",), ("b",)), data="d", backend="x", model_identity="m", prompt_sha256="p",
                         parser_sha256="q", design="all", games=1)  # fmt: skip
    stage = planned(asked)
    with store.making(stage) as writer:
        writer.append(replies("contest"))
        writer.finish()
    more = run.plan.model_copy(update={"stages": (*run.plan.stages, stage)})
    bundle(store, replace(run, plan=more), tmp_path / "out", texts=False)
    copy = Store(tmp_path / "out" / "store").folder(stage.key)
    assert (copy / "seal.json").exists() and not (copy / "rows.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--as", "alpaca-eval", "--without-texts"], "made of texts"),
        (["--as", "inspect", "--without-texts"], "made of texts"),
        (["--as", "tables", "--to", "hf:a/b"], "a Space is an app"),
    ],
)
def test_what_no_format_can_do_is_refused(
    root: Path, tmp_path: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", "out", *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "rubrics", [("strict/r.yaml", "r.yaml"), ("r.yaml", "strict/r.yaml"), ("/a/r.yaml", "/b/r.yaml")]
)
def test_two_files_of_one_name_stay_two(run: MatrixRun, rubrics: tuple[str, str]) -> None:
    assert run.result is not None
    judges = tuple(j.model_copy(update={"rubric": r}) for j, r in zip(run.plan.judges, rubrics, strict=True))
    first, second = run.result.measures[:2]
    signed = tuple(m.model_copy(update={"signature": r}) for m, r in zip((first, second), rubrics, strict=True))
    told = replace(
        run,
        plan=run.plan.model_copy(update={"judges": judges}),
        result=run.result.model_copy(update={"measures": (*signed, *run.result.measures[2:])}),
    )
    away = published(told, texts=True)
    assert away.result is not None
    names = [judge.rubric for judge in away.plan.judges]
    assert sorted(names) == ["r.yaml", "r.yaml-2"] and names == [m.signature for m in away.result.measures[:2]]
    assert "r.yaml" not in rubrics or names[rubrics.index("r.yaml")] == "r.yaml", "what was bare stays itself"


@pytest.mark.parametrize("texts", [True, False])
def test_what_is_published_names_no_folder_and_without_texts_no_person(
    run: MatrixRun, store: Store, tmp_path: Path, texts: bool
) -> None:
    assert run.result is not None
    rubric, model = "/home/someone/secret/mine.yaml", "/home/someone/secret/judge.gguf"
    judges = (run.plan.judges[0].model_copy(update={"rubric": rubric, "model": model}), *run.plan.judges[1:])
    served = ServedInput(data="d", backend="openai", model_identity="served:m@http://10.0.0.7:8000/v1",
                         options={"base_url": "http://10.0.0.7:8000/v1", "temperature": 0.5}, system="Be secretive.",
                         max_new_tokens=9, temperature=0.0, samples=1, seed=1)  # fmt: skip
    signed = run.result.measures[0].model_copy(update={"signature": f"llamacpp|{model}|{rubric}|prompt:1"})
    known = Estimate(value=0.5, low=0.4, high=0.6)
    met = RaterAgreement(a="Ada Byron", b="smollm2-judge", judge=True, n=5, items=5, levels=5, kappa=known,
                         weighted=known, spearman=known, alpha=0.5)  # fmt: skip
    people = PeopleReport(agreement=(met,), corrected=())
    told = replace(
        run,
        plan=run.plan.model_copy(update={"judges": judges, "stages": (*run.plan.stages, planned(served))}),
        result=run.result.model_copy(update={"measures": (signed, *run.result.measures[1:]), "people": people}),
    )
    bundle(store, told, tmp_path / "out", texts=texts)
    folder = tmp_path / "out"
    written = "".join(p.read_text() for part in ("store", "site") for p in (folder / part).rglob("*.*") if p.is_file())
    assert "secret/" not in written and "mine.yaml" in written and "judge.gguf" in written
    for private in ("Ada Byron", "Be secretive.", "10.0.0.7"):
        assert (private in written) == texts
    assert Store(folder / "store").matrices()[0].result is not None


def test_publish_overwrites_nothing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", str(tmp_path)]) == 2
    assert "holds something already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_whose_results_are_gone_is_neither_published_nor_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ugly_store(tmp_path / "runs")
    [run] = store.matrices()
    publish = ("publish", run.name, "--as", "tables", "--store", str(store.root), "--to", str(tmp_path / "out"))
    trained = next(each.train for each in run.plan.variants if each.train)
    store.remove(trained)
    assert find_run(store, run.name) == run, "curves are not compared"
    assert main([*publish]) == 2
    assert "are missing from the store: train (1 object)\n  hint: `harness run`" in capsys.readouterr().err
    shutil.rmtree(store.root / "objects")
    for command in (publish, ("compare", run.name, "--store", str(store.root))):
        assert main([*command]) == 2
        assert f"results of matrix '{run.name}' are missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["app", "tables"])
def test_a_place_that_cannot_be_published_to_is_told(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    where = tmp_path / "mine.txt" / "x"
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", str(where), "--as", form]) == 2
    assert f"error: {where}: not a folder\n  hint: name another folder with --to" in capsys.readouterr().err


def test_a_space_needs_a_token(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert main(["publish", "starter-ablation", "--store", str(root), "--to", "hf:a/b"]) == 2
    assert "HF_TOKEN" in capsys.readouterr().err
