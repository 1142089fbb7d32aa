"""A small matrix on a tiny random model, and the command line as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline import warm
from tests.tiny import save_tiny_folder

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "harness" / "data" / "starter-en.jsonl"

MATRIX = """\
name: tiny
data: data.jsonl
split: {train: 24, test: 52, validation: 8}
axes:
  model: [model]
  prompt_style: [alpaca, phi]
  masking: [prompt]
  method: [none, full, lora]
  seed: [1, 2]
train: {epochs: 1, lr: 1.0e-3, lora: {rank: 2, alpha: 4, dropout: 0.1}}
generate: {max_new_tokens: 8, batch_size: 16}
metrics: [bleu, chrf, rougeL]
judges: [{backend: scripted, items: 20}]
compare: {permutations: 1000}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a matrix, its data and its model."""

    folder: Path

    @property
    def matrix(self) -> Path:
        return self.folder / "matrix.yaml"

    def edit(self, old: str, new: str) -> None:
        text = self.matrix.read_text()
        assert old in text
        self.matrix.write_text(text.replace(old, new))

    def harness(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run to its end."""
        return subprocess.run(
            [*warm.command(), *arguments],
            cwd=self.folder,
            env=environment(**env),
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A process of its own, for tests that end it or let it run beside others."""
        # a test runner started in the background of a shell ignores Ctrl-C, and its children inherit that
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def comparison(self, store: str = "runs") -> bytes:
        [path] = (self.folder / store).glob("matrices/*/comparison.json")
        return path.read_bytes()


def environment(**extra: str) -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "120"} | extra


def make_place(folder: Path, rows: int = 90) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_folder(folder / "model", "llama")
    entries = [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines()[:rows]]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    (folder / "matrix.yaml").write_text(MATRIX)
    return Place(folder)
