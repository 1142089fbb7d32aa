"""How far a matrix is: which of its stages are sealed, and which are being made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from harness.records.result import Result
from harness.records.work import work_note
from harness.store import MatrixRun, Store, is_locked, lock_owner
from reports.wording import labels


@dataclass(frozen=True, slots=True)
class Progress:
    """`stages`: (stage, sealed, planned) in the order of making; `under_way`: what is being made, and by whom;
    `troubles`: what could not be made, and why; `failed`: how many of these are variants that failed.
    """

    stages: tuple[tuple[str, int, int], ...]
    under_way: tuple[str, ...]
    troubles: tuple[str, ...] = ()
    failed: int = 0

    @property
    def sealed(self) -> int:
        """Sealed objects."""
        return sum(done for _, done, _ in self.stages)

    @property
    def planned(self) -> int:
        """Objects in all."""
        return sum(total for _, _, total in self.stages)


def progress(run: MatrixRun, store: Store) -> Progress:
    """Looked up now. An object's note of its maker outlives a killed process; the lock on the object does not."""
    total: Counter[str] = Counter()
    done: Counter[str] = Counter()
    working, unsealed = [], []
    for stage in run.plan.stages:
        total[stage.key.stage] += 1
        if store.is_sealed(stage.key):
            done[stage.key.stage] += 1
            continue
        unsealed.append(stage.key)
        if (store.folder(stage.key) / "owner.json").exists() and is_locked(store.folder(stage.key)):
            working.append(f"{stage.key.stage} {stage.key.digest[:12]}: {lock_owner(store.folder(stage.key))}")
    note = work_note(run.folder)
    if note is not None and any(f"by process {note.pid} on " in each for each in working):  # else a killed run's
        working.append(note.words())
    stages = tuple((name, done[name], n) for name, n in total.items())
    troubles = store.troubles(unsealed)
    failed = sum(entry["status"] == "failed" for entry in troubles)
    return Progress(stages, tuple(working), tuple(map(_trouble, troubles)), failed)


def _trouble(entry: dict[str, str]) -> str:
    """`train tiny/phi/full#1 failed: …`."""
    return f"{entry['stage']} {entry['variant']} {entry['status']}: {entry['reason']}"


def run_rows(store: Store, runs: list[tuple[Path, MatrixRun]]) -> pd.DataFrame:
    """One row a matrix: matrix, digest, planned (UTC), variants, sealed, stages, state, failed."""
    rows = []
    for folder, run in runs:
        found = progress(run, store)
        planned = datetime.fromtimestamp((folder / "plan.json").stat().st_mtime, UTC)
        state = "finished" if run.result else f"{found.sealed} of {found.planned} stages"
        rows.append(
            {
                "matrix": run.name,
                "digest": run.digest[:12],
                "planned": planned,
                "variants": len(run.plan.variants),
                "sealed": found.sealed,
                "stages": found.planned,
                "state": state,
                "failed": len(run.result.failed) if run.result else found.failed or None,
            }
        )
    columns = ["matrix", "digest", "planned", "variants", "sealed", "stages", "state", "failed"]
    return pd.DataFrame(rows, columns=columns)


def against(here: Result, there: Result) -> pd.DataFrame:
    """Cells and measures that both results have: cell, measure, here, there, delta = here − there."""
    names = labels(row.cell for row in here.rows)
    old = {(row.cell.name, s.measure): s.mean for row in there.rows for s in row.scores}
    shown = {m.name: m.label for m in here.measures}
    rows = [
        {
            "cell": names[row.cell.name],
            "measure": shown[s.measure],
            "here": s.mean,
            "there": old[row.cell.name, s.measure],
        }
        for row in here.rows
        for s in row.scores
        if (row.cell.name, s.measure) in old
    ]
    frame = pd.DataFrame(rows, columns=["cell", "measure", "here", "there"]).astype({"here": float, "there": float})
    return frame.assign(delta=frame["here"] - frame["there"])
