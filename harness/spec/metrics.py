"""`metrics:` of a matrix."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.records.base import Settings
from harness.spec.names import MetricName, Option


class MetricSpec(Settings):
    """A reference metric. `metrics: [bleu]` is short for `metrics: [{metric: bleu}]`."""

    metric: MetricName = Field(description="Its name, or module:attribute of a class or function of your own.")
    name: str | None = Field(
        None,
        pattern=r"^[\w][\w.+-]{0,63}$",
        description="What its column is called, in up to 64 letters, digits, _ . + -; default: as the metric.",
    )
    options: dict[str, Option] = Field(
        default_factory=dict, description="Its settings, e.g. tokenizer: flores200 (docs/metrics.md)."
    )

    @property
    def column(self) -> str:
        """Name of its column."""
        return self.name or self.metric


def short_metric(value: Any) -> Any:
    return {"metric": value} if isinstance(value, str) else value
