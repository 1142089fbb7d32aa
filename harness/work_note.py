"""A watcher that leaves a note of the work under way, which the leaderboard's page of runs shows."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from harness.progress import UNITS, Watcher
from harness.records.work import NAME, WorkNote

EVERY = 2.0
"""Seconds between two notes of one piece of work."""


@dataclass(slots=True)
class Noting:
    """Tells another watcher all that it is told, and keeps a note of it in `folder` while work is under way.

    A note that cannot be written is done without.
    """

    told: Watcher
    folder: Path
    _note: WorkNote | None = None
    _written: float = 0.0

    def begin(self, bar: str, label: str, units: int) -> None:
        """See Watcher."""
        self._keep(WorkNote(pid=os.getpid(), bar=bar, label=label, units=units, unit=UNITS.get(bar, "")), at_once=True)
        self.told.begin(bar, label, units)

    def advance(self, bar: str, units: int) -> None:
        """See Watcher."""
        if self._note is not None:
            self._keep(self._note.model_copy(update={"done": self._note.done + units}))
        self.told.advance(bar, units)

    def remark(self, bar: str, text: str) -> None:
        """See Watcher."""
        if self._note is not None:
            self._keep(self._note.model_copy(update={"remark": text}))
        self.told.remark(bar, text)

    def end(self, bar: str, label: str, note: str) -> None:
        """See Watcher."""
        self._note = None
        with contextlib.suppress(OSError):
            (self.folder / NAME).unlink(missing_ok=True)
        self.told.end(bar, label, note)

    def say(self, text: str) -> None:
        """See Watcher."""
        self.told.say(text)

    def _keep(self, note: WorkNote, *, at_once: bool = False) -> None:
        self._note, now = note, time.monotonic()
        if at_once or now - self._written >= EVERY:
            self._written = now
            with contextlib.suppress(OSError):
                (self.folder / NAME).write_text(note.model_dump_json(), encoding="utf-8")
