"""What a reference metric is: a value per item, sufficient statistics, a signature. The list is in registry.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import HarnessError

if TYPE_CHECKING:  # the list of names is part of the spec, and `harness --help` should not wait for numpy
    import numpy as np
    import numpy.typing as npt

FloatArray: TypeAlias = "npt.NDArray[np.floating]"
"""Single or double precision: a corpus figure keeps that of its counts."""
Options = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Item:
    """What is scored: a response, its reference answers (one at least), and their language (ISO 639-1)."""

    response: str
    references: tuple[str, ...]
    language: str = "en"


class ItemScore(NamedTuple):
    """An item's value in points, and its sufficient statistics; none where the corpus figure is the values' mean."""

    value: float
    counts: tuple[float, ...] = ()


class NoScore(NamedTuple):
    """An item that the metric cannot score, and why."""

    reason: str


Outcome = ItemScore | NoScore


@dataclass(frozen=True, slots=True)
class References:
    """What is known of all reference answers of a data set before any is scored.

    `language`: of most (ISO 639-1; `en` stands for any that puts spaces between words); `given`: the matrix said so,
    and it holds for every item; `several`: some items have more than one reference.
    """

    language: str = "en"
    given: bool = False
    several: bool = False

    @property
    def number(self) -> str:
        """As sacrebleu's signatures have it."""
        return "nrefs:var" if self.several else "nrefs:1"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a metric is made from."""

    name: str
    references: References
    options: Options


class Metric(Protocol):
    """A reference metric. Values are points, on 0–100 where the scale has ends.

    Making one is cheap: packages are imported when the first item is scored. One whose extra is missing, or whose
    options make no sense, is refused then and there. More that a metric may have: `descriptive = True`, neither
    more nor less is better, so that it is shown and never ranked; `one_process = True`, it is not shared out among
    processes; `of_weights = True`, it is asked of the variant's weights, and responses of others have no score.
    """

    name: str
    label: str
    """As a reader sees it, e.g. `ROUGE-L`."""
    unit: str
    """The scale, e.g. `0–100`; without two ends, e.g. `0–100+`, nothing is assumed about what is possible."""
    corpus: bool
    """True: the corpus figure is formed from summed statistics (BLEU, chrF), not from the mean of the items' values."""
    higher_is_better: bool

    def signature(self) -> str:
        """Everything that decides a value: settings, tokenizer, and versions of the packages that compute it."""
        ...

    def rows(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Score each item, in order, each by itself. An empty response has the worst value of the scale."""
        ...

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """Corpus figure of summed statistics: (..., k) -> (...). Raises HarnessError where `corpus` is False."""
        ...


class MeanMetric:
    """Base of metrics whose corpus figure is the mean of the items' values: 0 to 100, the more the better."""

    name: str
    label: str
    unit = "0–100"
    corpus = False
    higher_is_better = True

    def corpus_score(self, counts_sum: FloatArray) -> FloatArray:
        """There are no counts: raises HarnessError."""
        raise HarnessError(
            f"metric {self.name!r} has no counts", hint="its corpus figure is the mean of its items' values"
        )


class MetricOptions(BaseModel):
    """Base of a metric's options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


OptionsT = TypeVar("OptionsT", bound=MetricOptions)


def read_options(kind: type[OptionsT], options: Options, metric: str) -> OptionsT:
    """The options as typed values. Raises HarnessError that names each unknown or ill-typed one."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as e:
        problems = [
            f"unknown option {error['loc'][0]!r}"
            if error["type"] == "extra_forbidden"
            else f"option {error['loc'][0]!r}: {error['msg']}, got {error['input']!r}"
            for error in e.errors()
        ]
        known = ", ".join(kind.model_fields) or "none"
        raise HarnessError(f"metric {metric!r}: " + "; ".join(problems), hint=f"options it knows: {known}") from e
