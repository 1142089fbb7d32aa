"""Who holds an object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the object's lock, as far as one may look."""
    lock = FileLock(folder / "lock")
    if not (folder / "lock").exists():
        return False
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):  # taken, or a store that may only be read
        return True
    lock.release()
    return False


def lock_owner(folder: Path) -> str:
    """`being made by process 123 on host, for 40 s`, as far as the owner's note tells."""
    try:
        note = json.loads((folder / "owner.json").read_text())
        age = datetime.now(UTC) - datetime.fromisoformat(note["since"])
        return f"being made by process {note['pid']} on {note['host']}, for {age.total_seconds():.0f} s"
    except (OSError, ValueError, KeyError):
        return "being made by another process"
