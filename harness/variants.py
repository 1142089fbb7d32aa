"""The variants of a matrix, and the cells that stand out among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from harness.errors import SpecError
from harness.records.variant import Variant
from harness.spec.axes import AXES, TRAIN_AXES, Assignment
from harness.spec.matrix import MatrixSpec


def variants(spec: MatrixSpec) -> list[Variant]:
    """The product of the axes, with include and exclude; untuned combinations that coincide are one variant.

    Under cross-validation each trained one stands there once a fold.

    Raises SpecError where nothing is left, or where something is to be left out that is not there.
    """
    for rule in idle_rules(spec):
        told = ", ".join(f"{axis}: {value}" for axis, value in rule.model_dump(exclude_unset=True).items())
        raise SpecError(
            [f"matrix {spec.name!r}: `exclude` {{{told}}} matches no variant"], hint="mend the rule, or remove it"
        )
    found = dict.fromkeys(
        variant(values)
        for combination in combinations(spec)
        if not any(matches(combination, rule) for rule in spec.exclude)
        for values in folded(spec, combination)
    )
    found |= dict.fromkeys(extra.variant for extra in spec.include if extra.variant is not None)
    if not found:
        raise SpecError([f"matrix {spec.name!r}: `exclude` leaves no variant"], hint="loosen or remove an exclude rule")
    return list(found)


def combinations(spec: MatrixSpec) -> list[dict[str, Any]]:
    """Those of the axes, and those that are included; nothing is excluded yet."""
    included = (product(spec, extra) for extra in spec.include if extra.variant is None)
    return [*product(spec, None), *itertools.chain(*included)]


def idle_rules(spec: MatrixSpec) -> list[Assignment]:
    """Rules of `exclude` that leave nothing out."""
    found = combinations(spec)
    return [rule for rule in spec.exclude if not any(matches(combination, rule) for combination in found)]


def product(spec: MatrixSpec, fixed: Assignment | None) -> Iterator[dict[str, Any]]:
    """Every combination of axis values, with the fixed ones fixed."""
    choices = []
    for axis in AXES:
        given = None if fixed is None else getattr(fixed, axis)
        choices.append((getattr(spec.axes, axis) or (unvaried(spec, axis),)) if given is None else (given,))
    return (dict(zip(AXES, values, strict=True)) for values in itertools.product(*choices))


def unvaried(spec: MatrixSpec, axis: str) -> Any:
    """The value of a training setting that is no axis: None, unless some `include` gives another one."""
    if not any(getattr(extra, axis) is not None for extra in spec.include):
        return None
    return spec.train.lora.rank if axis == "rank" else getattr(spec.train, axis)


def folded(spec: MatrixSpec, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The combination once a fold; once without cross-validation, and for an untuned model, which answers all."""
    folds = spec.axes.fold or tuple(range(1, (spec.split.folds or 0) + 1))
    if values["method"] == "none" or not folds:
        return [values]
    return [values | {"fold": fold} for fold in folds]


def matches(combination: dict[str, Any], rule: Assignment) -> bool:
    """Whether every value that the rule names is the combination's."""
    return all(getattr(rule, axis) in (None, value) for axis, value in combination.items())


def variant(values: dict[str, Any]) -> Variant:
    """A variant; training choices of an untuned model mean nothing and are dropped, as is a weight of no tokens."""
    values = unmasked(values)
    if values["method"] == "none":
        values = values | {"masking": None, "seed": None} | dict.fromkeys(TRAIN_AXES)
    if values["method"] == "full":
        values = values | {"rank": None}
    if values["masking"] in (None, "none"):
        values = values | {"prompt_loss_weight": 0.0}
    if values["masking"] == "none" and values["train_on"] is not None:
        values = values | {"train_on": "all_assistant_turns"}
    return Variant(**values)


def unmasked(values: dict[str, Any]) -> dict[str, Any]:
    """These values of axes; where the masked tokens have the weight of the others, with what that is: masking none."""
    if values.get("prompt_loss_weight") != 1:
        return values
    return values | {"masking": "none", "prompt_loss_weight": 0.0}


def baseline_cell(spec: MatrixSpec) -> str | None:
    """Name of the cell that `compare.baseline` means. Raises SpecError if not exactly one matches."""
    wanted = spec.compare.baseline
    if wanted is None:
        return None
    cells = dict.fromkeys(each.cell for each in variants(spec))
    given = {axis: value for axis, value in wanted.model_dump().items() if value is not None and axis != "seed"}
    given = unmasked(given)
    found = [cell.name for cell in cells if all(getattr(cell, axis) == value for axis, value in given.items())]
    if len(found) != 1:
        raise SpecError(
            [f"compare.baseline: {len(found)} cells match {given}"],
            hint="name enough axes to mean exactly one of: " + ", ".join(cell.name for cell in cells),
        )
    return found[0]


def opponent(spec: MatrixSpec) -> Variant:
    """Whom pairwise judges compare every variant with: the baseline, else the first untuned variant, else the first.

    Of a cross-validated one it is the first fold; `rivals` has the others.
    """
    name = baseline_cell(spec)
    every = variants(spec)
    first = next((each for each in every if each.method == "none"), every[0])
    wanted = first.cell.name if name is None else name
    return next(each for each in every if each.cell.name == wanted)


def rivals(spec: MatrixSpec) -> dict[int | None, Variant]:
    """The opponent's variants by fold; by None the one whom variants without a fold are compared with."""
    chosen = opponent(spec)
    return {None: chosen} | {
        each.fold: each for each in variants(spec) if (each.cell, each.seed) == (chosen.cell, chosen.seed)
    }
