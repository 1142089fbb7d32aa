"""Training settings by name: what books and tutorials use, to start from. A matrix's own keys override them."""

from __future__ import annotations

from typing import Any

BOOK: dict[str, Any] = {  # its loop has neither a schedule nor clipping
    "epochs": 2,
    "batch_size": 8,
    "lr": 5e-5,
    "weight_decay": 0.1,
    "schedule": "constant",
    "clip_norm": None,
}
PRESETS: dict[str, dict[str, Any]] = {
    # Raschka, "Build a Large Language Model (From Scratch)", chapter 7.
    "book-ch07": BOOK,
    # The same book, exercise 7.4: LoRA of rank and alpha 16 on all linear layers.
    "book-lora": BOOK | {"lora": {"rank": 16, "alpha": 16, "targets": "all-linear"}},
    # What tutorials give for a card of 16 GB: adapters on two projections, small batches, transformers' Trainer.
    "lora-16gb": {
        "epochs": 3,
        "batch_size": 2,
        "lr": 2e-5,
        "weight_decay": 0.0,
        "lora": {"rank": 8, "alpha": 32, "dropout": 0.05, "targets": ["q_proj", "v_proj"]},
    },
    # Chinese instruction tuning with the transformers Trainer: 4 examples a pass, 8 passes a step.
    "alpaca-zh": {
        "epochs": 1,
        "batch_size": 32,
        "micro_batch_size": 4,
        "lr": 2e-5,
        "weight_decay": 0.0,
        "warmup_ratio": 0.03,
    },
}
