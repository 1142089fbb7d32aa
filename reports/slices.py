"""A measure by slices of the test set, as a section of a report."""

from __future__ import annotations

from harness.records.result import CellScore
from harness.records.variant import Cell
from harness.slices import Slice, SliceTable
from reports.sections import Section
from reports.wording import NONE, figure, labels, measure_label, places, span


def slice_section(table: SliceTable, cells: tuple[Cell, ...]) -> Section:
    """A row a slice, a column a cell: mean and 95 % interval; items scored (the fewest and the most of a cell)."""
    names = labels(cells)
    decimals = places(table.measure, *(s.interval for each in table.slices for s in each.scores))
    return Section(
        f"{measure_label(table.measure)} by {table.field}",
        (table.field, "items", *(names.get(cell, cell) for cell in table.cells)),
        tuple((each.value, _items(each), *(_score(s, decimals) for s in each.scores)) for each in table.slices),
        (
            "Mean over items and seeds [95 % interval]. Slices are looked at beside the question of the matrix: "
            "differences between them are not tested.",
        ),
    )


def _items(each: Slice) -> str:
    fewest, most = (end(score.n_items for score in each.scores) for end in (min, max))
    return str(most) if fewest == most else f"{fewest}–{most}"


def _score(score: CellScore, decimals: int) -> str:
    if score.mean is None:
        return f"{NONE} ({score.unscored} unscored)" if score.unscored else NONE
    text = f"{figure(score.mean, decimals)} {span(score.interval, decimals)}".strip()
    return text + (f" ({score.unscored} unscored)" if score.unscored else "")
