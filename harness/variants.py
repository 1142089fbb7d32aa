"""The variants of a matrix, and the cells that stand out among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from harness.errors import SpecError
from harness.records.variant import Variant
from harness.spec.axes import AXES, Assignment
from harness.spec.matrix import MatrixSpec


def variants(spec: MatrixSpec) -> list[Variant]:
    """The product of the axes, with include and exclude; untuned combinations that coincide are one variant.

    Raises SpecError where nothing is left.
    """
    found = dict.fromkeys(
        variant(values)
        for combination in [
            *product(spec, None),
            *itertools.chain(*(product(spec, extra) for extra in spec.include if extra.variant is None)),
        ]
        if not any(matches(combination, rule) for rule in spec.exclude)
        for values in [combination]
    )
    found |= dict.fromkeys(extra.variant for extra in spec.include if extra.variant is not None)
    if not found:
        raise SpecError([f"matrix {spec.name!r}: `exclude` leaves no variant"], hint="loosen or remove an exclude rule")
    return list(found)


def product(spec: MatrixSpec, fixed: Assignment | None) -> Iterator[dict[str, Any]]:
    """Every combination of axis values, with the fixed ones fixed."""
    choices = []
    for axis in AXES:
        given = None if fixed is None else getattr(fixed, axis)
        choices.append(getattr(spec.axes, axis) if given is None else (given,))
    return (dict(zip(AXES, values, strict=True)) for values in itertools.product(*choices))


def matches(combination: dict[str, Any], rule: Assignment) -> bool:
    """Whether every value that the rule names is the combination's."""
    return all(getattr(rule, axis) in (None, value) for axis, value in combination.items())


def variant(values: dict[str, Any]) -> Variant:
    """A variant; training choices of an untuned model mean nothing and are dropped, as is a weight of no tokens."""
    if values["method"] == "none":
        values = values | {"masking": None, "seed": None}
    if values["masking"] in (None, "none"):
        values = values | {"prompt_loss_weight": 0.0}
    return Variant(**values)


def baseline_cell(spec: MatrixSpec) -> str | None:
    """Name of the cell that `compare.baseline` means. Raises SpecError if not exactly one matches."""
    wanted = spec.compare.baseline
    if wanted is None:
        return None
    cells = dict.fromkeys(each.cell for each in variants(spec))
    given = {axis: value for axis, value in wanted.model_dump().items() if value is not None and axis != "seed"}
    found = [cell.name for cell in cells if all(getattr(cell, axis) == value for axis, value in given.items())]
    if len(found) != 1:
        raise SpecError(
            [f"compare.baseline: {len(found)} cells match {given}"],
            hint="name enough axes to mean exactly one of: " + ", ".join(cell.name for cell in cells),
        )
    return found[0]


def opponent(spec: MatrixSpec) -> Variant:
    """Whom pairwise judges compare every variant with: the baseline, else the first untuned variant, else the first."""
    name = baseline_cell(spec)
    every = variants(spec)
    first = next((each for each in every if each.method == "none"), every[0])
    wanted = first.cell.name if name is None else name
    return next(each for each in every if each.cell.name == wanted)
