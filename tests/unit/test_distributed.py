"""Two processes on the CPU (gloo) train as one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.test_sft import fit_in, settings, weights

RANK = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.unit.test_sft import fit_in, settings, weights
rank, world, store, folder, changes = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
model, report = fit_in(folder, settings(**json.loads(changes)))
save_file({k: v.contiguous() for k, v in weights(model).items() if k != "lm_head.weight"}, folder / f"rank{rank}.st")
print(json.dumps([row.model_dump() for row in report.losses]))
torch.distributed.destroy_process_group()
"""


def together(folder: Path, world: int, changes: dict[str, Any]) -> list[list[dict[str, Any]]]:
    folder.mkdir()
    commands = [
        [
            sys.executable,
            "-c",
            RANK,
            str(rank),
            str(world),
            str(folder / "rendezvous"),
            str(folder),
            json.dumps(changes),
        ]
        for rank in range(world)
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * world
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2, "micro_batch_size": 2},
        {"batch_size": 1, "max_steps": 4, "keep": "best", "evaluate_every": 2},  # one process has nothing to do
    ],
)
def test_two_processes_give_the_losses_and_weights_of_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    model, alone = fit_in(tmp_path / "alone", settings(**changes))
    first, second = together(tmp_path / "two", 2, changes)
    assert first == second
    assert [row["loss"] for row in first] == pytest.approx([row.loss for row in alone.losses], rel=1e-5)
    validated = [row.validation_loss for row in alone.losses if row.validation_loss is not None]
    assert [row["validation_loss"] for row in first if row["validation_loss"]] == pytest.approx(validated, rel=1e-5)
    for rank in (0, 1):
        for name, expected in load_file(tmp_path / "two" / f"rank{rank}.st").items():
            torch.testing.assert_close(weights(model)[name], expected, rtol=1e-4, atol=1e-5, msg=name)
