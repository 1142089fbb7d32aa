"""Training in several processes, one a device, started by torchrun and watched from here."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch

from harness import errors
from harness.errors import HarnessError, TrainingFailed
from harness.records.job import JobOutcome, Launch, StepDone, TrainJob
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from trainers.memory import release

POLL_SECONDS = 0.1
PR_SET_PDEATHSIG = 1
END_SECONDS = 20
"""How long processes may take to end before they are killed."""
ERROR_LINE = re.compile(r"^(?:\[rank\d+\]: )?((?:[\w.]+)?(?:Error|Exception|Exit)\b.*)", re.MULTILINE)


def train_together(job: TrainJob, launch: Launch, folder: Path, on_step: Callable[[LossRow, int], None]) -> TrainFacts:
    """Train the job's variant on GPUs of this machine, in processes on the CPU, or wherever the launcher starts them.

    `folder`: for the job file and the processes' log. Weights are those of one process up to rounding: sums are taken
    in another order. Raises what `train_variant` raises, and HarnessError where there are not so many GPUs or the
    processes die.
    """
    devices, there = launch.devices, torch.cuda.device_count()
    if launch.launcher is None and there and devices > there:
        raise HarnessError(f"train.devices: {devices} wanted, {there} there", hint=f"say devices: {there}")
    release()
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "job.json", folder / "log.txt"
    file.write_text(job.model_dump_json(), encoding="utf-8")
    for path in (job.progress, job.outcome):
        path.unlink(missing_ok=True)
    with log.open("wb") as sink, _running(_command(file, launch), _environment(launch), sink) as process:
        for done in _steps(job.progress, process):
            on_step(done.row, done.total)
    if not job.outcome.is_file():
        raise TrainingFailed(
            f"the training processes ended with status {process.returncode}: {_reason(log)}",
            hint=f"their whole log: {log}",
        )
    outcome = JobOutcome.model_validate_json(job.outcome.read_bytes())
    if outcome.facts is None:
        plain = outcome.error in ("MissingExtra", "SpecError")  # these two are made from other things than a text
        raise (HarnessError if plain else getattr(errors, outcome.error))(outcome.what, hint=outcome.hint)
    return outcome.facts


def _reason(log: Path) -> str:
    """The first error that the processes printed: later ones, torchrun's among them, follow from it."""
    found = ERROR_LINE.search(log.read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else "no reason given"


def _command(job: Path, launch: Launch) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(launch.devices)]
    launcher = torchrun if launch.launcher is None else shlex.split(launch.launcher)
    return [*launcher, "-m", "trainers.worker", str(job)]


def _environment(launch: Launch) -> dict[str, str]:
    if launch.launcher is not None:
        return dict(os.environ)  # it knows how many processes share a machine
    cores = os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // launch.devices))} | os.environ


def _ends_with_us() -> Callable[[], object] | None:
    """On Linux: lets a child process get SIGTERM when this one is gone, however it was killed."""
    if sys.platform != "linux":
        return None
    return partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM.value)


@contextmanager
def _running(command: list[str], environment: dict[str, str], sink: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """The processes; none of them outlives the context (torchrun passes its end on to those it started)."""
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            preexec_fn=_ends_with_us(),  # noqa: PLW1509 - one system call, of a library that is loaded already
        )
    except OSError as error:
        raise HarnessError(f"train.launcher: {command[0]} does not start: {error.strerror}") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _steps(path: Path, process: subprocess.Popen[bytes]) -> Iterator[StepDone]:
    """Steps as they are written, until the processes have ended."""
    position = 0
    while True:
        ended = process.poll() is not None
        if path.is_file():
            with path.open("rb") as lines:
                lines.seek(position)
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    position += len(line)
                    yield StepDone.model_validate_json(line)
        if ended:
            return
        time.sleep(POLL_SECONDS)
