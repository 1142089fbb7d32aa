"""Training curves in the tools that people have open: TensorBoard, MLflow, Weights & Biases, trackio.

The store keeps every curve anyway; a tracker is a copy that decides no result. A resumed training is told anew from its
first step.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from harness.errors import MissingExtra
from harness.records.rows import LossRow


class Tracker(Protocol):
    """Whom a training tells its steps."""

    def log(self, row: LossRow, loss_tokens: int) -> None:
        """One optimizer step; `loss_tokens`: those that carried loss up to and with it."""
        ...

    def close(self, *, finished: bool) -> None:
        """The training is over, or ended before it was."""
        ...


def open_tracker(name: str, *, matrix: str, variant: str, settings: dict[str, Any], folder: Path) -> Tracker:
    """A tracker of one training. `folder`: for what is kept on this machine.

    Raises MissingExtra where its package is not installed.
    """
    match name:
        case "tensorboard":
            parts = [part for part in re.split(r"[/\\]", variant.replace("#", "-seed")) if part.strip(".")]
            return TensorBoard(folder.joinpath("tensorboard", matrix, *parts))
        case "mlflow":
            return MLflow(matrix, variant, settings, folder)
        case _:
            return WandbLike(_module(name), matrix, variant, settings)


def values_of(row: LossRow, loss_tokens: int) -> dict[str, float]:
    """What a tracker shows of a step."""
    values = {"loss": row.loss, "lr": row.lr, "grad_norm": row.grad_norm, "loss_tokens": float(loss_tokens)}
    return values if row.validation_loss is None else values | {"validation_loss": row.validation_loss}


class TensorBoard:
    """Event files; `tensorboard --logdir runs/tracking/tensorboard` shows them."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingExtra without the package tensorboard."""
        _module("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted training, which is told anew
        self._writer = SummaryWriter(str(folder))

    def log(self, row: LossRow, loss_tokens: int) -> None:
        """See Tracker."""
        for name, value in values_of(row, loss_tokens).items():
            self._writer.add_scalar(f"train/{name}", value, row.step)

    def close(self, *, finished: bool) -> None:
        """See Tracker."""
        self._writer.close()


class MLflow:
    """A run in the experiment named as the matrix, at MLFLOW_TRACKING_URI or in a database in the store."""

    def __init__(self, matrix: str, variant: str, settings: dict[str, Any], folder: Path) -> None:
        """Raises MissingExtra without the package mlflow (or mlflow-skinny)."""
        _module("mlflow")
        from mlflow import MlflowClient

        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(uri)
        found = self._client.get_experiment_by_name(matrix)
        experiment = found.experiment_id if found else self._client.create_experiment(matrix)
        self._run = self._client.create_run(experiment, run_name=variant).info.run_id
        for name, value in settings.items():
            self._client.log_param(self._run, name, value)

    def log(self, row: LossRow, loss_tokens: int) -> None:
        """See Tracker."""
        for name, value in values_of(row, loss_tokens).items():
            self._client.log_metric(self._run, name, value, step=row.step)

    def close(self, *, finished: bool) -> None:
        """See Tracker."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class WandbLike:
    """Weights & Biases, or trackio, which speaks the same words."""

    def __init__(self, module: ModuleType, matrix: str, variant: str, settings: dict[str, Any]) -> None:
        """`settings` become the run's config."""
        self._run = module.init(project=matrix, name=variant, config=settings)

    def log(self, row: LossRow, loss_tokens: int) -> None:
        """See Tracker."""
        self._run.log(values_of(row, loss_tokens), step=row.step)

    def close(self, *, finished: bool) -> None:
        """See Tracker."""
        self._run.finish()


@dataclass(slots=True)
class Forgiving:
    """A tracker that cannot end a training: its first error is told, and it is left alone from there on."""

    name: str
    tracker: Tracker
    failed: bool = False

    def log(self, row: LossRow, loss_tokens: int) -> None:
        """See Tracker."""
        self._do(lambda: self.tracker.log(row, loss_tokens))

    def close(self, *, finished: bool) -> None:
        """See Tracker."""
        self._do(lambda: self.tracker.close(finished=finished))

    def _do(self, what: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            what()
        except Exception as e:  # noqa: BLE001 - of somebody else's library, its server and the network
            self.failed = True
            print(f"{self.name}: {type(e).__name__}: {e}; the curve is in the store all the same", file=sys.stderr)


def require_tracker(name: str) -> None:
    """Raises MissingExtra where the tracker's package is not installed; imports nothing."""
    if importlib.util.find_spec(name) is None:
        raise MissingExtra(f"track: {name}", name, command=f"pip install {name}")


def _module(name: str) -> ModuleType:
    require_tracker(name)
    return importlib.import_module(name)
