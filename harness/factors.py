"""Which cells of a matrix can be set against each other to see the effect of one axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from harness.records.variant import Cell
from harness.stats.additive import level_contrast
from harness.stats.panel import FloatArray

Axis = Literal[
    "model",
    "prompt_style",
    "masking",
    "prompt_loss_weight",
    "eos_in_loss",
    "train_on",
    "truncate",
    "lr",
    "rank",
    "method",
]
AXES: tuple[Axis, ...] = get_args(Axis)
TRAINING: frozenset[Axis] = frozenset(AXES) - {"model", "prompt_style", "method"}
"""Axes that mean nothing for an untuned model."""


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


def free_axes(axis: str, a: str, b: str) -> frozenset[str]:
    """Axes on which cells at level `a` and at level `b` may differ: this one, and those without meaning at either."""
    if axis != "method":
        return frozenset({axis})
    if "none" in (a, b):
        return TRAINING | {axis}
    return frozenset({axis, "rank"} if "full" in (a, b) else {axis})


def _pairs(cells: Sequence[Cell], axis: Axis, a: str, b: str) -> tuple[tuple[int, int], ...]:
    free = free_axes(axis, a, b)
    partners: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for j, cell in enumerate(cells):
        if cell.level(axis) == b:
            partners[cell.rest(free)].append(j)
    pairs = [(i, j) for i, cell in enumerate(cells) if cell.level(axis) == a for j in partners[cell.rest(free)]]
    trained = [(i, j) for i, j in pairs if "none" not in (cells[i].method, cells[j].method)]
    return tuple(trained if trained and axis != "method" else pairs)


def adjusted_weights(cells: Sequence[Cell], matched: Matched) -> FloatArray | None:
    """(C,): weights of `a` minus `b` over the trained cells, other axes held still by an additive model.

    For levels that never meet in otherwise equal cells. None where the matrix cannot tell them from another axis.
    """
    trained = [index for index, cell in enumerate(cells) if cell.method != "none"]
    # masking none stands at weight 0, as in `Cell.rest`: a level of its own could not be told from the masking
    levels = [[cells[index].level(axis) or "0" for axis in AXES] for index in trained]
    found = level_contrast(levels, AXES.index(matched.axis), matched.a, matched.b)
    if found is None:
        return None
    weights = np.zeros(len(cells))
    weights[trained] = found
    return weights


@dataclass(frozen=True, slots=True)
class Square:
    """Level `a` against `b` of one axis, at level `c` and at level `d` of another: pairs of cells, by index."""

    axis: Axis
    a: str
    b: str
    other: Axis
    c: str
    d: str
    at_c: tuple[tuple[int, int], ...]
    at_d: tuple[tuple[int, int], ...]


def squares(cells: Sequence[Cell]) -> tuple[Square, ...]:
    """Every pair of levels of every axis at every pair of levels of every later axis.

    Only complete squares count: a pair of cells at `c` has its like at `d`.
    """
    found = []
    for matched in matched_levels(cells):
        for other in AXES[AXES.index(matched.axis) + 1 :]:
            at: dict[str, dict[tuple[object, ...], tuple[int, int]]] = defaultdict(dict)
            for i, j in matched.pairs:
                level = cells[i].level(other)
                if level is not None and level == cells[j].level(other):
                    at[level][cells[i].rest({other}), cells[j].rest({other})] = (i, j)
            for c, d in combinations(at, 2):
                both = [rest for rest in at[c] if rest in at[d]]
                if both:
                    pairs = (tuple(at[level][rest] for rest in both) for level in (c, d))
                    found.append(Square(matched.axis, matched.a, matched.b, other, c, d, *pairs))
    return tuple(found)
