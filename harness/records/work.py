"""What a run is at, as it notes it beside its plan for whoever looks from outside."""

from __future__ import annotations

from pathlib import Path

from harness.records.base import Record

NAME = "at_work.json"


class WorkNote(Record):
    """One piece of work of a process: so many of its units are done; `remark` says how it goes."""

    pid: int
    bar: str
    label: str
    done: int = 0
    units: int
    unit: str = ""
    remark: str = ""

    def words(self) -> str:
        """`train tiny/phi/full#1: 120 of 400 examples · loss ▂ 1.0`."""
        counted = f"{min(self.done, self.units):,} of {self.units:,} {self.unit}".rstrip()
        return " · ".join(part for part in (f"{self.bar} {self.label}: {counted}", self.remark) if part)


def work_note(folder: Path) -> WorkNote | None:
    """What was noted last in a matrix's folder; a killed run's note stays."""
    try:
        return WorkNote.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return None
