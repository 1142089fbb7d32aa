"""Training curves as the trackers' own readers find them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import MissingExtra
from harness.records.rows import LossRow
from trainers import trackers
from trainers.trackers import Forgiving, open_tracker

ROWS = [
    LossRow(step=1, loss=2.5, loss_tokens=10, lr=1e-3, grad_norm=3.0),
    LossRow(step=2, loss=2.0, loss_tokens=20, lr=5e-4, grad_norm=2.0, validation_loss=2.25),
]


def tell(name: str, folder: Path, rows: list[LossRow], finished: bool = True) -> None:
    tracker = open_tracker(name, matrix="m", variant="a/lora#2", settings={"seed": 2}, folder=folder)
    for index, row in enumerate(rows):
        tracker.log(row, sum(each.loss_tokens for each in rows[: index + 1]))
    tracker.close(finished=finished)


def test_tensorboard_reads_the_curves_and_an_interrupted_one_is_told_anew(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell("tensorboard", tmp_path, ROWS[:1])
    tell("tensorboard", tmp_path, ROWS)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "m" / "a" / "lora-seed2"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 2.5), (2, 2.0)]
    assert [(e.step, e.value) for e in events.Scalars("train/loss_tokens")] == [(1, 10), (2, 30)]
    assert [(e.step, e.value) for e in events.Scalars("train/validation_loss")] == [(2, 2.25)]


def test_curves_stay_in_their_folder_and_in_their_matrix(tmp_path: Path) -> None:
    """A variant is called as its model is, which may be a folder anywhere."""
    model, folder = tmp_path / "model", tmp_path / "tracking"
    model.mkdir()
    for matrix in ("m", "n"):
        for variant in (f"{model}/alpaca", "../../model/alpaca"):
            open_tracker("tensorboard", matrix=matrix, variant=variant, settings={}, folder=folder).close(finished=True)
    assert not list(model.iterdir())
    assert {path.relative_to(folder / "tensorboard").parts[0] for path in folder.rglob("events*")} == {"m", "n"}


class Broken:
    def log(self, row: LossRow, loss_tokens: int) -> None:
        raise ConnectionError("no route")

    def close(self, *, finished: bool) -> None:
        raise AssertionError("it is left alone")


def test_a_tracker_that_fails_is_told_once_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Forgiving("wandb", Broken())
    for row in ROWS:
        tracker.log(row, 1)
    tracker.close(finished=True)
    assert capsys.readouterr().err == "wandb: ConnectionError: no route; the curve is in the store all the same\n"


def test_mlflow_reads_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tell("mlflow", tmp_path, ROWS)
    tell("mlflow", tmp_path, ROWS[:1])
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("m")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"a/lora#2"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    whole = next(run for run in runs if "validation_loss" in run.data.metrics)
    assert [(m.step, m.value) for m in client.get_metric_history(whole.info.run_id, "loss")] == [(1, 2.5), (2, 2.0)]
    assert whole.data.params == {"seed": "2"}


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_tracker_says_what_to_type(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(trackers.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=f"pip install {name}"):
        open_tracker(name, matrix="m", variant="v", settings={}, folder=tmp_path)
