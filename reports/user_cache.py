"""The user's cache folder: what is derived and may be deleted at any time. A store is never written to for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """`$XDG_CACHE_HOME/sft-harness`, or `~/.cache/sft-harness`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sft-harness"


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file, whole or not at all; a folder that cannot be written to costs time, nothing else."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
