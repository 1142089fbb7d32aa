"""Which token comes next: the likeliest, or one drawn; a row's draws depend on its own seed and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from harness.records.settings import GenerateSettings


@dataclass(slots=True)
class Row:
    """One response that is being made. `limit`: most tokens that it may have."""

    number: int
    prompt: tuple[int, ...]
    limit: int
    dice: torch.Generator
    ids: list[int] = field(default_factory=list)
    seconds: float = 0.0


def dice_of(settings: GenerateSettings, example_id: str, sample: int) -> torch.Generator:
    """Randomness of one response: the same in whatever batch and order it is made."""
    text = f"{settings.seed}:{sample}:{example_id}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    return torch.Generator().manual_seed(seed)


class Chooser:
    """Repetition penalty, temperature, top-k, top-p: in transformers' order and arithmetic."""

    def __init__(self, settings: GenerateSettings) -> None:
        self._drawn = settings.temperature > 0
        self._processors = LogitsProcessorList()
        if settings.repetition_penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
        if self._drawn:
            self._processors.append(TemperatureLogitsWarper(settings.temperature))
            if settings.top_k is not None:
                self._processors.append(TopKLogitsWarper(settings.top_k))
            if settings.top_p < 1.0:
                self._processors.append(TopPLogitsWarper(settings.top_p))

    def choose(self, logits: Tensor, rows: list[Row]) -> list[int]:
        """A token for each row of `logits` (R, V)."""
        if not self._drawn and not self._processors:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        return [self._one(logits[place : place + 1], row) for place, row in enumerate(rows)]

    def _one(self, logits: Tensor, row: Row) -> int:
        said = torch.tensor([[*row.prompt, *row.ids]], device=logits.device)
        scores: Any = self._processors(said, logits.float())
        if not self._drawn:
            return int(scores.argmax(-1))
        return int(torch.multinomial(scores.softmax(-1).cpu(), 1, generator=row.dice))
