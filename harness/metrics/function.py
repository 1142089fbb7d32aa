"""A user's function as a metric: `score(response, references) -> float`, or None for an item that it cannot score."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TypeGuard

from harness.errors import HarnessError
from harness.metrics.base import Item, ItemScore, MeanMetric, NoScore, Options, Outcome

Score = Callable[..., float | None]


class FunctionMetric(MeanMetric):
    """The mean of what a function gives; the options of the matrix are its keyword arguments."""

    unit = "points"

    def __init__(self, function: Score, place: str, source: str, options: Options) -> None:
        """`place`: `module:attribute`; `source`: hash of the file that the function stands in.

        Raises HarnessError for an option that the function does not take.
        """
        self.name = place
        self.label = place.split(":")[1]
        self._function, self._source, self._options = function, source, dict(options)
        self._check_options()

    def signature(self) -> str:
        """Where it stands, the hash of its file, and the options."""
        given = "".join(f"|{name}:{value}" for name, value in sorted(self._options.items()))
        return f"{self.name}|source:{self._source}{given}"

    def rows(self, items: Sequence[Item]) -> list[Outcome]:
        """What the function says to each. Raises HarnessError for anything but a finite number or None."""
        return [self._one(item) for item in items]

    def _check_options(self) -> None:
        try:
            takes = inspect.signature(self._function)
        except (TypeError, ValueError):  # one written in C need not tell
            return
        try:
            takes.bind("", (), **self._options)
        except TypeError as e:
            hint = f"it is called with response, references and the options of the matrix, and takes {takes}"
            raise HarnessError(f"metric {self.name}: {e}", hint=hint) from e

    def _one(self, item: Item) -> Outcome:
        found = self._function(item.response, item.references, **self._options)
        if found is None:
            return NoScore("the function gives None")
        if not finite(found):
            raise HarnessError(
                f"metric {self.name} gives {found!r} for a response", hint="give a finite number, or None for no score"
            )
        return ItemScore(float(found))


def finite(value: object) -> TypeGuard[Real]:
    """Whether it is a number that may be a score."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
