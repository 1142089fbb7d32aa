"""One of several processes that train a variant together: `torchrun … -m trainers.worker JOB`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from filelock import FileLock
from torch import distributed

from harness.errors import HarnessError
from harness.records.job import JobOutcome, StepDone, TrainJob
from harness.records.rows import LossRow
from harness.records.seal import TrainFacts
from trainers.distributed import rank, wait_for_all
from trainers.sft import train_variant

PATIENCE = timedelta(hours=2)
"""How long processes wait for one another: one alone loads and saves a large model while the others stand by."""


def main(path: Path) -> int:
    """Train what the job file says. Every process computes its share; rank 0 alone writes.

    And not before that of an earlier start has ended, whose harness was killed and is gone already.
    """
    first = os.environ["RANK"] == "0"
    with FileLock(path.with_name("lock"), timeout=PATIENCE.total_seconds()) if first else nullcontext():
        return _share(path)


def _share(path: Path) -> int:
    job = TrainJob.model_validate_json(path.read_bytes())
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        facts = _train(job)
    except HarnessError as e:
        _write(job.outcome, JobOutcome(error=type(e).__name__, what=_text(e), hint=e.hint))
        return 1  # and torchrun ends the others, who may wait for this process for ever
    if rank() == 0:
        _write(job.outcome, JobOutcome(facts=facts))
    wait_for_all()  # nobody hangs up on a process that is still in the last exchange
    distributed.destroy_process_group()
    return 0


def _train(job: TrainJob) -> TrainFacts:
    job.progress.touch()
    with job.progress.open("a", encoding="utf-8") as progress:

        def on_step(row: LossRow, total: int) -> None:
            if rank() == 0:
                progress.write(StepDone(row=row, total=total).model_dump_json() + "\n")
                progress.flush()

        return train_variant(
            job.input,
            job.base,
            job.tokens,
            job.style,
            job.weights,
            job.checkpoints,
            on_step,
            trust_remote_code=job.trust_remote_code,
            sharded=job.sharded,
        )


def _text(error: HarnessError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what


def _write(path: Path, outcome: JobOutcome) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(outcome.model_dump_json(), encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
