"""Names and values that a matrix may hold, each checked with the nearest right one in its message."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from harness.metrics.registry import known_metrics
from harness.prompts import STYLES, is_path


def listed(value: Any) -> Any:
    """A list of one for a value that stands alone."""
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def listed_flags(value: Any) -> Any:
    """A list of one for yes or no that stands alone."""
    return [value] if isinstance(value, bool) else value


def _style(name: str) -> str:
    return name if is_path(name) else known(name, [*STYLES, "or the path of a style file (.yaml)"], "prompt style")


def _metric(name: str) -> str:
    return name if ":" in name else known(name, known_metrics(), "metric")


def known(name: str, names: Any, what: str) -> str:
    """The name, if it is one of these. Raises PydanticCustomError that says which come near."""
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    raise PydanticCustomError(
        "unknown_name",
        "unknown {what} '{name}'{near} known: {known}",
        {
            "what": what,
            "name": name,
            "near": f"; did you mean '{near[0]}'?" if near else ";",
            "known": ", ".join(names),
        },
    )


def _option(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError as e:  # one line, not one for each type that it could have
        raise PydanticCustomError("option", "give a text, a finite number, true or false") from e


Style = Annotated[str, BeforeValidator(lambda v: _style(v) if isinstance(v, str) else v)]
MetricName = Annotated[str, BeforeValidator(lambda v: _metric(v) if isinstance(v, str) else v)]
TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fold = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Rank = Annotated[int, Field(ge=1)]
Option = Annotated[str | int | float | bool, WrapValidator(_option)]
"""A setting of a backend's or a metric's own."""
