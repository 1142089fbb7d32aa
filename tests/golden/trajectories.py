"""Loss trajectories of two tiny models, in trajectories.json; `python -m tests.golden.trajectories` renews them."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import harness.data
from harness.prompts import STYLES
from harness.records.data import Example, SplitExample
from harness.records.settings import TrainSettings
from tests.tiny import tiny_model, tiny_tokenizer
from trainers.masking import MaskPolicy
from trainers.methods import adapt
from trainers.models import LoadedModel
from trainers.rows import encode_examples
from trainers.sft import fit

KEPT = Path(__file__).with_name("trajectories.json")
CASES: dict[str, dict[str, Any]] = {
    "llama full, prompt masking": {"arch": "llama", "method": "full", "masking": "prompt", "lr": 3e-3},
    "qwen3 lora, no masking": {"arch": "qwen3", "method": "lora", "masking": "none", "lr": 1e-2},
}


def trajectory(case: dict[str, Any]) -> list[float]:
    """Losses (nats a token) of 12 steps of batch 4 on the first entries of starter-en, fp32."""
    lines = (Path(harness.data.__file__).parent / "starter-en.jsonl").read_text(encoding="utf-8").splitlines()[:16]
    rows = [{key: json.loads(line).get(key, "") for key in ("instruction", "input", "output")} for line in lines]
    parts = [SplitExample(split="train", index=i, example=Example(id=str(i), **row)) for i, row in enumerate(rows)]
    settings = TrainSettings(epochs=3, batch_size=4, lr=case["lr"], precision="fp32", warmup_ratio=0.1)
    tokens = encode_examples(
        LoadedModel(None, tiny_tokenizer(), 2048), parts, STYLES["alpaca"], MaskPolicy(case["masking"]), None
    )
    model = adapt(tiny_model(case["arch"], context=2048), case["method"], settings.lora, seed=1)
    return [row.loss for row in fit(model, tokens, settings, settings.lr, seed=1).losses]


def renew() -> None:
    """Write what today's code and packages give."""
    made_with = {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}
    kept = {"versions": made_with, "losses": {name: trajectory(case) for name, case in CASES.items()}}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    renew()
