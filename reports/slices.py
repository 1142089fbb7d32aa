"""A measure by slices of the test set, as a section of a report."""

from __future__ import annotations

from harness.records.result import CellScore
from harness.records.variant import Cell
from harness.slices import SliceTable
from reports.sections import Section
from reports.wording import NONE, figure, labels, places, span


def slice_section(table: SliceTable, cells: tuple[Cell, ...]) -> Section:
    """A row a slice, a column a cell: mean and 95 % interval; items, and responses that could not be scored."""
    names = labels(cells)
    decimals = places(table.measure, *(s.interval for each in table.slices for s in each.scores))
    return Section(
        f"{table.measure.label} by {table.field}",
        (table.field, "items", *(names.get(cell, cell) for cell in table.cells)),
        tuple((each.value, str(each.items), *(_score(s, decimals) for s in each.scores)) for each in table.slices),
        (
            "Mean over items and seeds [95 % interval]. Slices are looked at beside the question of the matrix: "
            "differences between them are not tested.",
        ),
    )


def _score(score: CellScore, decimals: int) -> str:
    if score.mean is None:
        return f"{NONE} ({score.unscored} unscored)" if score.unscored else NONE
    text = f"{figure(score.mean, decimals)} {span(score.interval, decimals)}".strip()
    return text + (f" ({score.unscored} unscored)" if score.unscored else "")
