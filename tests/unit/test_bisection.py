"""Bisecting: what differs, hybrids of two matrices, git revisions, and the search on made-up runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.gate.bisection import bisect
from harness.gate.hybrid import Factor, factors, hybrid
from harness.gate.introduced import introduced
from harness.gate.revision import Revision, revision
from harness.records.baseline import Snapshot
from harness.spec.reading import load_spec
from harness.store import Store
from harness.variants import variants
from tests.snapshots import scores, snapshot, variant

GOOD = """\
name: recipe
data: data.jsonl
axes: {model: [model], prompt_style: [style.yaml], seed: [1, 2]}
train: {lr: 1.0e-3}
judges: [{backend: scripted}]
"""
BAD = GOOD.replace("1.0e-3", "1.0e-5, weight_decay: 0.0").replace("scripted", "scripted, rubric: book-100")


def side(folder: Path, matrix: str, data: str = "{}") -> Revision:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "matrix.yaml").write_text(matrix)
    (folder / "data.jsonl").write_text(data)
    (folder / "style.yaml").write_text("user: '{instruction}'\nassistant: ' '\n")
    return Revision(folder.name, load_spec(folder / "matrix.yaml"), folder)


def test_factors_are_what_the_recipe_changed_not_how_it_is_measured(tmp_path: Path) -> None:
    found = factors(side(tmp_path / "good", GOOD), side(tmp_path / "bad", BAD, data="{ }"))
    assert str(found[0]) == "content of data.jsonl"
    assert {str(each) for each in found[1:]} == {"train.weight_decay: 0.1 → 0.0", "train.lr: 0.001 → 1e-05"}


def test_a_hybrid_takes_each_factor_from_its_side(tmp_path: Path) -> None:
    good, bad = side(tmp_path / "good", GOOD), side(tmp_path / "bad", BAD, data="{ }")
    found = {each.place: each for each in factors(good, bad)}
    matrix = hybrid(good, bad, [found["train.lr"], found["data.jsonl"]], tmp_path, "a")
    spec = load_spec(matrix)
    assert (spec.train.lr, spec.train.weight_decay) == (1e-5, 0.1)
    assert (matrix.parent / "data.jsonl").read_text() == "{ }"
    assert spec.judges == good.spec.judges
    plain = load_spec(hybrid(good, bad, [], tmp_path, "b"))
    assert plain.model_copy(update={"name": "recipe"}) == good.spec


def test_a_hybrid_may_lack_an_axis_of_its_good_side_and_what_was_left_out_of_it(tmp_path: Path) -> None:
    varied = GOOD.replace("seed: [1, 2]", "seed: [1, 2], lr: [1.0e-3, 1.0e-4]")
    rules = "exclude: [{lr: 1.0e-4, seed: 2}, {seed: 1}]\n"
    good, bad = side(tmp_path / "good", varied + rules), side(tmp_path / "bad", BAD + "exclude: [{seed: 1}]\n")
    made = load_spec(hybrid(good, bad, [each for each in factors(good, bad) if not each.file], tmp_path, "all"))
    assert made.axes.lr is None or not made.axes.lr
    assert len(variants(made)) == len(variants(bad.spec))


def test_a_hybrid_has_the_imported_responses(tmp_path: Path) -> None:
    matrix = GOOD + "include: [{imported: {file: old.json}}]\n"
    good, bad = side(tmp_path / "good", matrix), side(tmp_path / "bad", matrix)
    (tmp_path / "good/old.json").write_text("[]")
    (tmp_path / "bad/old.json").write_text("[ ]")
    [found] = factors(good, bad)
    assert str(found) == "content of old.json"
    for switched, text in (([], "[]"), ([found], "[ ]")):
        made = hybrid(good, bad, switched, tmp_path, str(len(switched)))
        assert (made.parent / "old.json").read_text() == text


def test_revisions_come_out_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *arguments], cwd=tmp_path / "repo", check=True, capture_output=True)

    side(tmp_path / "repo" / "recipes", GOOD)
    git("init", "-q")
    for matrix, data, about in ((GOOD, "{}", "Start"), (GOOD, "{ }", "New data"), (BAD, "{ }", "New settings")):
        side(tmp_path / "repo" / "recipes", matrix, data)
        git("add", "-A")
        git("commit", "-q", "-m", about)
    (tmp_path / "repo" / "recipes" / "model").mkdir()  # not under version control
    monkeypatch.chdir(tmp_path / "repo" / "recipes")
    store = Store(tmp_path / "runs")
    good, bad = (
        revision(f"{commit}:matrix.yaml", store, Path(), tmp_path / "scratch") for commit in ("HEAD~2", "HEAD")
    )
    assert good.spec.train.lr == 1e-3 and bad.spec.train.lr == 1e-5
    assert {each.place for each in factors(good, bad)} == {"data.jsonl", "train.lr", "train.weight_decay"}
    since = {each.place: introduced(each, "HEAD~2:matrix.yaml", "HEAD:matrix.yaml") for each in factors(good, bad)}
    assert {place: str(commit).partition(" ")[2] for place, commit in since.items()} == {
        "data.jsonl": "New data",
        "train.lr": "New settings",
        "train.weight_decay": "New settings",
    }
    assert introduced(factors(good, bad)[0], "run-a", "run-b") is None
    mixed = hybrid(good, bad, [], tmp_path / "scratch", "mixed")
    assert (mixed.parent / "model").resolve() == tmp_path / "repo" / "recipes" / "model"
    with pytest.raises(HarnessError, match="git archive"):
        revision("nowhere:matrix.yaml", store, Path(), tmp_path / "scratch")
    with pytest.raises(HarnessError, match="no matrix"):
        revision("unknown-run", store, Path(), tmp_path / "scratch")


NAMES = "abcdefg"
SEVEN = [Factor(name, 0, 1) for name in NAMES]


def made_of(falls: dict[str, float], made: list[str], together: str = "") -> object:
    """Runs whose score falls by what is switched; `together`: these count only if all of them are."""

    def make(switched: Sequence[Factor]) -> Snapshot:
        places = "".join(factor.place for factor in switched)
        made.append(places)
        whole = set(together) <= set(places)
        fall = sum(falls.get(p, 0.0) for p in places if p not in together or whole)
        return snapshot([variant(s, {"rougeL": scores(s, fall=fall)}, digest=f"{places}-{s}") for s in (1, 2, 3)])

    return make


@pytest.mark.parametrize("culprit", NAMES)
def test_the_one_that_brings_the_fall_is_found_in_a_few_runs(culprit: str) -> None:
    made: list[str] = []
    found = bisect(SEVEN, made_of({culprit: 10.0, "b" if culprit != "b" else "c": 1.0}, made))  # type: ignore[arg-type]
    assert found.culprit.place == culprit and found.sufficient
    assert found.alone.share == pytest.approx(0.9, abs=0.03)
    assert len(made) <= 2 + 3 + 1  # both ends, log2 of seven, and the culprit alone


def test_factors_that_only_fall_together_are_told() -> None:
    found = bisect(SEVEN, made_of({"b": 5.0, "e": 5.0}, [], together="be"))  # type: ignore[arg-type]
    assert found.culprit.place == "e" and not found.sufficient


def test_nothing_to_explain_is_an_error() -> None:
    with pytest.raises(HarnessError, match="nothing differs"):
        bisect([], made_of({}, []))  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match="nothing fell"):
        bisect(SEVEN, made_of({"a": -5.0}, []))  # type: ignore[arg-type]


def test_a_factor_that_breaks_training_off_is_the_culprit() -> None:
    whole = made_of({}, [])

    def make(switched: Sequence[Factor]) -> Snapshot | None:
        return None if "d" in {each.place for each in switched} else whole(switched)  # type: ignore[operator]

    found = bisect(SEVEN, make)
    assert found.culprit.place == "d" and not found.alone.checks


def test_training_that_breaks_off_is_the_worst_where_less_is_better_too() -> None:
    good = snapshot([variant(s, {"rougeL": scores(s)}) for s in (1, 2, 3)])
    [measure] = good.measures
    edits = measure.info.model_copy(update={"higher_is_better": False, "unit": "edits"})
    good = good.model_copy(update={"measures": (measure.model_copy(update={"info": edits}),)})
    found = bisect(SEVEN, lambda switched: None if "d" in {each.place for each in switched} else good)
    assert found.culprit.place == "d" and found.whole.delta == float("inf")


def test_cells_that_only_one_side_has_are_named() -> None:
    def make(switched: Sequence[Factor]) -> Snapshot:
        made = []
        for style in ("alpaca", "chatml" if switched else "phi"):
            for seed in (1, 2):
                each = variant(seed, {"rougeL": scores(seed)}, digest=f"{style}-{seed}")
                cell = each.variant.model_copy(update={"prompt_style": style})
                made.append(each.model_copy(update={"variant": cell}))
        return snapshot(made)

    with pytest.raises(HarnessError, match="no counterpart in the bad one: m/phi/full/mask-prompt"):
        bisect(SEVEN, make)
