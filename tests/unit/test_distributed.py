"""Two processes on the CPU (gloo) train as one does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file

from harness.errors import HarnessError, TrainingFailed
from harness.prompts import STYLES
from harness.records.inputs import TrainInput
from harness.records.job import Launch, TrainJob
from harness.records.rows import LossRow
from tests.unit.test_sft import fit_in, settings, split_examples, weights, write_tokens
from trainers import worker
from trainers.checkpoints import load_variant
from trainers.launch import train_together
from trainers.sft import train_variant

ONE_IDLE = {"batch_size": 1, "max_steps": 4, "keep": "best", "evaluate_every": 2}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "full": ({"epochs": 2, "micro_batch_size": 2}, False),
    "idle": (ONE_IDLE, False),
    "sharded": (
        ONE_IDLE | {"batch_size": 5, "micro_batch_size": 1, "gradient_checkpointing": True, "clip_norm": 0.5},
        True,
    ),
}
RANK = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.tiny import tiny_model
from tests.unit.test_checkpoints import Killed, killer, with_an_unused
from tests.unit.test_distributed import CASES
from tests.unit.test_sft import settings, training_rows
from trainers.checkpoints import Checkpoints
from trainers.methods import trained_parameters
from trainers.sft import fit
from trainers.sharding import shard, whole
rank, world, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{root / 'rendezvous'}", rank=rank, world_size=world)

def train(folder, changes, sharded, on_step):
    model, chosen = tiny_model(), settings(**changes)
    if sharded:
        shard(model)
    checkpoints = Checkpoints(folder, "f", 0.0)
    report = fit(model, training_rows(n_validation=5), chosen, chosen.lr, 1, checkpoints=checkpoints, on_step=on_step)
    return trained_parameters(model), report

for case, (changes, sharded) in CASES.items():
    folder = root / case
    try:
        train(folder, changes, sharded, killer(3))
    except Killed:
        pass
    learned, report = train(folder, changes, sharded, lambda row, total: None)
    tensors = {name: whole(tensor).detach().contiguous() for name, tensor in learned.items()}
    save_file(tensors, folder / f"rank{rank}.st")
    held = sum((p.to_local() if sharded else p).numel() for p in learned.values())
    said = {"losses": [row.model_dump() for row in report.losses], "held": held}
    (folder / f"rank{rank}.json").write_text(json.dumps(said))
model, chosen = with_an_unused(), settings(max_steps=2, weight_decay=0.5)
fit(model, training_rows(), chosen, chosen.lr, 1)
(root / f"unused{rank}.json").write_text(json.dumps(model.unused.tolist()))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes make of each case, killed once on the way: losses, weights, and how many each holds."""
    root = tmp_path_factory.mktemp("together")
    for case in CASES:
        (root / case).mkdir()
    running = [subprocess.Popen([sys.executable, "-c", RANK, str(rank), "2", str(root)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    return root


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_losses_and_weights_of_one(together: Path, tmp_path: Path, case: str) -> None:
    changes, sharded = CASES[case]
    model, alone = fit_in(tmp_path / "alone", settings(**changes))
    said, by_second = (json.loads((together / case / f"rank{rank}.json").read_text()) for rank in (0, 1))
    first = said["losses"]
    assert first == by_second["losses"]
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    assert said["held"] == (n_weights / 2 if sharded else n_weights)
    assert [row["loss"] for row in first] == pytest.approx([row.loss for row in alone.losses], rel=1e-5)
    validated = [row.validation_loss for row in alone.losses if row.validation_loss is not None]
    assert [row["validation_loss"] for row in first if row["validation_loss"]] == pytest.approx(validated, rel=1e-5)
    for rank in (0, 1):
        for name, expected in load_file(together / case / f"rank{rank}.st").items():
            torch.testing.assert_close(weights(model)[name], expected, rtol=1e-4, atol=1e-5, msg=name)


def test_what_no_process_uses_does_not_decay(together: Path) -> None:
    for rank in (0, 1):
        assert json.loads((together / f"unused{rank}.json").read_text()) == [[1.0, 1.0], [1.0, 1.0]]


# ---------------------------------------------------------------- `train: {devices: 2}`


def job_in(folder: Path, base: Path, **changes: Any) -> TrainJob:
    folder.mkdir()
    tokens = write_tokens(folder, base, split_examples(20) + split_examples(4, "validation"))
    return TrainJob(
        input=TrainInput(
            base="b", data="d", style_sha256="s", masking="prompt", method="full", settings=settings(**changes), seed=3
        ),
        base=base,
        tokens=tokens,
        style=STYLES["phi"],
        weights=folder / "weights",
        checkpoints=folder / "checkpoints",
        progress=folder / "steps.jsonl",
        outcome=folder / "outcome.json",
    )


TORCHRUN = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node"


@pytest.mark.slow
@pytest.mark.parametrize("launch", [Launch(devices=2), Launch(launcher=f"{TORCHRUN} 2", sharding="fsdp")])
def test_launched_processes_train_what_one_trains(tiny_folder: Path, tmp_path: Path, launch: Launch) -> None:
    job = job_in(tmp_path / "two", tiny_folder, epochs=2, keep="best")
    sharded = launch.sharding == "fsdp"
    given = job.input.model_copy(update={"method": "lora" if sharded else "full"})
    job = job.model_copy(update={"sharded": sharded, "input": given})
    steps: list[tuple[LossRow, int]] = []
    facts = train_together(job, launch, tmp_path / "together", lambda row, total: steps.append((row, total)))
    alone: list[tuple[LossRow, int]] = []
    expected = train_variant(
        job.input,
        tiny_folder,
        job.tokens,
        STYLES["phi"],
        tmp_path / "alone",
        tmp_path / "checkpoints",
        lambda row, total: alone.append((row, total)),
    )
    assert [total for _, total in steps] == [total for _, total in alone] == [6] * 6
    assert [row.loss for row, _ in steps] == pytest.approx([row.loss for row, _ in alone], rel=1e-5)
    assert (facts.loss_tokens, facts.steps, facts.examples) == (expected.loss_tokens, 6, 20)
    ours, theirs = load_variant(job.weights, tiny_folder).model, load_variant(tmp_path / "alone", tiny_folder).model
    for name, tensor in weights(theirs).items():
        torch.testing.assert_close(weights(ours)[name], tensor, rtol=1e-2, atol=1e-3, msg=name)
    assert {path.name for path in job.weights.iterdir()} == {path.name for path in (tmp_path / "alone").iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_launched_processes_end_with_a_killed_harness(tmp_path: Path) -> None:
    """Else they would go on writing into a folder whose lock is free again."""
    code = (
        "import os, time\nfrom trainers.launch import _running\n"
        "with _running(['sleep', '100'], dict(os.environ), open(os.devnull, 'wb')) as process:\n"
        "    print(process.pid, flush=True)\n    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        child = Path("/proc") / harness.stdout.readline().strip()
        assert child.exists()
        harness.kill()
    state = child / "stat"
    for _ in range(100):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it lives on")


def test_a_process_waits_for_those_of_a_killed_harness(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path / "one", tiny_folder)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(worker, "PATIENCE", timedelta())
    with FileLock(tmp_path / "lock"), pytest.raises(Timeout):
        worker.main(tmp_path / "job.json")
    assert not job.progress.exists()


def test_an_error_in_launched_processes_is_the_user_s_to_read(tiny_folder: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "two", tiny_folder, lr=1e30, clip_norm=None)
    with pytest.raises(TrainingFailed, match="not finite|NaN|nan") as caught:
        train_together(job, Launch(devices=2), tmp_path / "together", lambda row, total: None)
    assert "hint" in str(caught.value)
    with pytest.raises(HarnessError, match="train.launcher: no-such-program does not start"):
        train_together(job, Launch(launcher="no-such-program -n 2"), tmp_path / "together", lambda row, total: None)
    broken = job.model_copy(update={"progress": tmp_path / "nowhere" / "steps.jsonl"})
    with pytest.raises(TrainingFailed, match="the training processes ended with status 1") as caught:
        train_together(broken, Launch(launcher=f"{TORCHRUN} 1"), tmp_path / "together", lambda row, total: None)
    assert "nowhere" in str(caught.value)
