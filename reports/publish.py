"""Write a run's reports into its matrix folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.store import MatrixRun, Store, translated_disk_errors, write_atomically
from reports.ledger import ledger
from reports.markdown import report_markdown
from reports.masks import cell_masks
from reports.page import report_html
from reports.samples import samples
from reports.sections import Section, section_markdown


@dataclass(frozen=True, slots=True)
class Published:
    """Where the reports lie."""

    html: Path
    markdown: Path


def publish(store: Store, run: MatrixRun, sections: Sequence[Section] = ()) -> Published:
    """Write report.html and report.md, each all or nothing; `sections` stand behind the judges.

    Raises:
        HarnessError: the run has no comparison yet.
        StoreError: the disk refuses.

    """
    if run.result is None:
        raise HarnessError(
            "nothing to publish: the matrix has no comparison yet",
            where=str(run.folder),
            hint="harness run finishes it",
        )
    bill = ledger(run, store)
    published = Published(run.folder / "report.html", run.folder / "report.md")
    with translated_disk_errors(run.folder):
        write_atomically(
            published.html, report_html(run.result, bill, samples(run, store), cell_masks(run, store), sections)
        )
        write_atomically(published.markdown, report_markdown(run.result, bill, [*map(section_markdown, sections)]))
    return published
