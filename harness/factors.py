"""Which cells of a matrix can be set against each other to see the effect of one axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from harness.records.variant import Cell

Axis = Literal["model", "prompt_style", "masking", "prompt_loss_weight", "method"]
AXES: tuple[Axis, ...] = get_args(Axis)


@dataclass(frozen=True, slots=True)
class Matched:
    """Level `a` against level `b` of an axis: pairs of cells, by index, that differ in nothing else."""

    axis: Axis
    a: str
    b: str
    pairs: tuple[tuple[int, int], ...]


def matched_levels(cells: Sequence[Cell]) -> tuple[Matched, ...]:
    """Every pair of levels of every axis; `pairs` is empty for levels that never meet in otherwise equal cells.

    An untuned model has no masking: against a trained cell (axis `method`) masking is ignored. On the axes model and
    prompt style untuned cells count only where there is no pair of trained ones: what a prompt style does to an untuned
    model is another question than which style to train with.
    """
    found = []
    for axis in AXES:
        levels = list(dict.fromkeys(level for cell in cells if (level := cell.level(axis)) is not None))
        found += [Matched(axis, a, b, _pairs(cells, axis, a, b)) for a, b in combinations(levels, 2)]
    return tuple(found)


def _pairs(cells: Sequence[Cell], axis: Axis, a: str, b: str) -> tuple[tuple[int, int], ...]:
    training = {"masking", "prompt_loss_weight"} if axis == "method" and "none" in (a, b) else set()
    free = {axis, *training}
    partners: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for j, cell in enumerate(cells):
        if cell.level(axis) == b:
            partners[cell.rest(free)].append(j)
    pairs = [(i, j) for i, cell in enumerate(cells) if cell.level(axis) == a for j in partners[cell.rest(free)]]
    trained = [(i, j) for i, j in pairs if "none" not in (cells[i].method, cells[j].method)]
    return tuple(trained if trained and axis != "method" else pairs)
