"""`train:` of a matrix."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.presets import PRESETS
from harness.records.job import Launch
from harness.records.settings import (
    TrainSettings,
)
from harness.spec.names import known


class TrainSpec(TrainSettings):
    """Training settings of all variants; a preset's values stand where the matrix names none of its own."""

    preset: (
        Annotated[str, BeforeValidator(lambda v: known(v, PRESETS, "preset") if isinstance(v, str) else v)] | None
    ) = Field(None, description="Start from the settings of " + ", ".join(PRESETS) + ".")

    devices: int = Field(
        1, ge=1, description="GPUs of this machine that train a variant together (processes, where there is no GPU)."
    )
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="none: every device holds all weights; fsdp: each a part of weights, gradients and optimizer state"
        " (PyTorch's FSDP2), for models that are too large for one.",
    )
    launcher: str | None = Field(
        None,
        min_length=1,
        description="What starts the training processes instead of torchrun on this machine, for several machines with"
        " one file system: e.g. `srun torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint"
        " host:29500`. The worker's module and job file are appended.",
    )

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("preset") not in list(PRESETS):  # a list cannot be hashed
            return raw
        preset = PRESETS[raw["preset"]]
        merged = preset | raw
        if isinstance(raw.get("lora"), dict):
            merged["lora"] = preset.get("lora", {}) | raw["lora"]
        return merged

    @model_validator(mode="after")
    def _several(self) -> TrainSpec:
        if self.sharding == "fsdp" and self.launch.alone:
            raise PydanticCustomError("sharding", "sharding: fsdp is for several devices; add `devices: 2` or more")
        if self.sharding == "fsdp" and (self.optimizer == "adamw-8bit" or self.precision == "bf16-pure"):
            raise PydanticCustomError(
                "sharding",
                "the optimizers of adamw-8bit and bf16-pure cannot be sharded; leave them or `sharding` out",
            )
        return self

    @property
    def launch(self) -> Launch:
        """How the training processes are started."""
        return Launch(devices=self.devices, sharding=self.sharding, launcher=self.launcher)

    @property
    def settings(self) -> TrainSettings:
        """What decides a training: the values, without the name that they came under."""
        return TrainSettings(**{name: getattr(self, name) for name in TrainSettings.model_fields})
