"""Health of the responses, cell by cell, as a section of a report."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.health import Health
from harness.records.variant import Cell
from reports.sections import Section
from reports.wording import NONE, figure, labels

NOTE = (
    "Shares of the responses in %. Ended: by themselves; stop: of these, at a text that the style ends at; cut: at the "
    "limit of new tokens (these three of the responses whose end is known); {thoughts}echo: repeats the instruction or "
    "a header of the prompt, which is cut off; loop: ends in the same text three times or more; copied: word for word "
    "an output of the training part that is not this item's reference. Length: characters of the references = 1."
)
THOUGHTS = "thoughts: stood before the answer and were taken off; "


def health_section(cells: Sequence[tuple[Cell, Health]]) -> Section:
    """A row a cell; thoughts where there are any."""
    names, thinking = labels(cell for cell, _ in cells), any(found.thoughts for _, found in cells)
    kinds = (*(["thoughts"] if thinking else []), "empty", "echo", "loop", "copied")
    return Section(
        "Health of the responses",
        ("cell", "n", "ended", "stop", "cut", *kinds, "length"),
        tuple(
            (
                names[cell.name],
                str(found.responses),
                *(_percent(found.share_of_ends(n)) for n in (found.ended, found.stopped, found.cut)),
                *(_percent(found.share(getattr(found, kind))) for kind in kinds),
                figure(found.length_ratio, 2),
            )
            for cell, found in cells
        ),
        (NOTE.format(thoughts=THOUGHTS if thinking else ""),),
    )


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f}"
