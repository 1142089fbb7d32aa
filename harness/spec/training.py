"""`train:` of a matrix."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from harness.presets import PRESETS
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

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("preset") not in PRESETS:
            return raw
        preset = PRESETS[raw["preset"]]
        merged = preset | raw
        if isinstance(raw.get("lora"), dict):
            merged["lora"] = preset.get("lora", {}) | raw["lora"]
        return merged

    @property
    def settings(self) -> TrainSettings:
        """What decides a training: the values, without the name that they came under."""
        return TrainSettings(**{name: getattr(self, name) for name in TrainSettings.model_fields})
