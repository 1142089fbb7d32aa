"""A cross-validated matrix, whole: each item answered by the training that did not see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.data import SplitExample
from harness.records.inputs import GenerateInput, TrainInput
from harness.records.result import Result
from harness.records.rows import Generation
from harness.records.seal import DataFacts, TrainFacts
from harness.store import Store
from tests.pipeline.matrix import make_place

pytestmark = pytest.mark.slow


def test_every_item_is_answered_by_the_training_that_did_not_see_it(tmp_path: Path) -> None:
    place = make_place(tmp_path / "p", rows=33)
    place.edit("split: {train: 24, test: 52, validation: 8}", "split: {folds: 3, shuffle: 1, validation: 3}")
    place.edit("prompt_style: [alpaca, phi]", "eos_in_loss: [true, false]")
    place.edit("method: [none, full, lora]", "method: [none, full]")
    place.edit("seed: [1, 2]", "seed: [1]")
    done = place.harness("run", "matrix.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    result = Result.model_validate_json(place.comparison())
    assert result.n_test == 30 and [row.seeds for row in result.rows].count((1,)) == 2
    assert {score.n_items for row in result.rows for score in row.scores if score.measure == "rougeL"} == {30}
    assert any("pooled over 3 folds" in text for text in result.warnings)
    assert {"eos_in_loss", "method"} == {effect.axis for effect in result.effects}

    store = Store(place.folder / "runs")
    [run] = store.matrices()
    inputs = {stage.key: stage.input for stage in run.plan.stages}
    facts = store.sealed(run.plan.data)
    assert facts is not None and isinstance(facts.facts, DataFacts) and facts.facts.folds == {1: 10, 2: 10, 3: 10}
    fold_of = {row.example.id: row.fold for row in store.stream(run.plan.data, SplitExample)}
    for each in run.plan.variants:
        answered = {row.example_id for row in store.stream(each.generate, Generation)}
        assert answered == {item for item, fold in fold_of.items() if fold and each.variant.fold in (None, fold)}
        if each.train is not None:
            given, asked, seal = inputs[each.train], inputs[each.generate], store.sealed(each.train)
            assert isinstance(given, TrainInput) and isinstance(asked, GenerateInput) and seal is not None
            assert given.fold == asked.fold == each.variant.fold
            assert given.settings.eos_in_loss == each.variant.eos_in_loss
            assert isinstance(seal.facts, TrainFacts) and seal.facts.examples == 20
    page = next(place.folder.glob("runs/matrices/*/report.html")).read_text(encoding="utf-8")
    assert "pooled over 3 folds" in page and "fold 3" in page
    again = place.harness("run", "matrix.yaml")
    assert "Nothing to do" in again.stdout
    for command in (("preview", "matrix.yaml", "--rows", "1"), ("board", "tiny"), ("data", "audit", "matrix.yaml")):
        shown = place.harness(*command)
        assert shown.returncode == 0 and "Traceback" not in shown.stderr, (command, shown.stdout + shown.stderr)
