"""Does a response depend on what it shares its batch with? In floating point it may, where two tokens nearly tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.generators.local import Prompt, generate
from harness.prompts import PromptStyle
from harness.records.settings import GenerateSettings
from trainers.models import LoadedModel


@dataclass(frozen=True, slots=True)
class Invariance:
    """`breaches`: ids of the prompts whose response alone is another than in company, of `prompts` in all."""

    prompts: int
    breaches: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Share of responses that differ, in [0, 1]."""
        return len(self.breaches) / self.prompts


def check_batches(
    model: LoadedModel, prompts: Sequence[Prompt], settings: GenerateSettings, style: PromptStyle
) -> Invariance:
    """Answer the prompts one by one and again in batches of `settings.batch_size`; raises as `generate` does."""
    alone, together = (
        {
            (row.example_id, row.sample): row.text
            for rows in generate(model, prompts, settings.model_copy(update={"batch_size": size}), style)
            for row in rows
        }
        for size in (1, settings.batch_size)
    )
    breaches = dict.fromkeys(example for (example, sample), text in alone.items() if together[example, sample] != text)
    return Invariance(len(prompts), tuple(breaches))
