"""The one holder of an unsealed object."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.records.base import Record, canonical_json
from harness.records.plan import PlannedStage
from harness.records.seal import Facts, Seal
from harness.store.files import STORE_VERSION, read_rows, sealed_files, translated_disk_errors, write_atomically
from harness.store.versions import installed_versions, used_device, utc_now


class ObjectWriter:
    """The one holder of an unsealed object: append rows or fill folders, then seal."""

    def __init__(self, folder: Path, planned: PlannedStage, seal: Seal | None) -> None:
        """`seal`: already there, if another process finished the object while we waited for its lock."""
        self.folder = folder
        self.planned = planned
        self.seal = seal
        self._started = utc_now()
        if seal is None:
            with translated_disk_errors(folder):
                write_atomically(folder / "spec.json", canonical_json(planned.input))

    @property
    def weights(self) -> Path:
        """Folder for weights, emptied: a half-written one from a killed process is worth nothing."""
        return self._fresh("weights")

    @property
    def tokens(self) -> Path:
        """Folder for a tokenised split, emptied as that for weights is."""
        return self._fresh("tokens")

    @property
    def scratch(self) -> Path:
        """Folder for checkpoints of work in progress; survives a kill, goes with the seal."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        with translated_disk_errors(path):
            path.mkdir()
        return path

    def kept_rows(self, row_type: Any) -> list[Any]:
        """Whole rows left by an earlier, interrupted process; a torn last line is cut off the file."""
        path = self.folder / "rows.jsonl"
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as f:
                f.truncate(len(whole))
        return read_rows(path, row_type)

    def append(self, rows: Iterable[Record]) -> None:
        """Add rows and hand them to the operating system at once: a killed process loses none of them."""
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        with translated_disk_errors(self.folder), (self.folder / "rows.jsonl").open("a", encoding="utf-8") as f:
            f.write(text)

    def replace_rows(self, rows: Iterable[Record]) -> None:
        """Start the row file anew with these rows, each written as it comes."""
        with translated_disk_errors(self.folder):
            write_atomically(self.folder / "rows.jsonl", (row.model_dump_json() + "\n" for row in rows))

    def finish(self, *, facts: Facts | None = None) -> Seal:
        """Seal the object: list every file with its sha256, then write seal.json in one step.

        Only then are checkpoints worth nothing: whatever fails before it, a training goes on from them.
        """
        rows = self.folder / "rows.jsonl"
        ended = utc_now()
        with translated_disk_errors(self.folder):
            self.seal = Seal(
                store_version=STORE_VERSION,
                key=self.planned.key,
                rows=_count_lines(rows) if rows.exists() else None,
                files=tuple(sealed_files(self.folder)),
                versions=dict(installed_versions()),
                device=used_device(),
                started=self._started,
                ended=ended,
                seconds=(datetime.fromisoformat(ended) - datetime.fromisoformat(self._started)).total_seconds(),
                facts=facts,
            )
            write_atomically(self.folder / "seal.json", self.seal.model_dump_json(indent=1))
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        return self.seal


def _count_lines(path: Path) -> int:
    with path.open("rb") as f:
        return sum(1 for _ in f)
