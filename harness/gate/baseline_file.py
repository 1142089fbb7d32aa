"""The committed file: written so that a diff of it can be read, and kept with the reasons for every change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.gate.drift import drift, recipe_changes
from harness.records.baseline import Baseline, HistoryEntry, Snapshot
from harness.store import translated_disk_errors, write_atomically

ELSEWHERE = "name another file with --file"


def load(path: Path) -> Baseline:
    """Read a baseline. Raises HarnessError for a file that is none."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError as e:
        raise HarnessError(
            "no such file", where=str(path), hint="`harness baseline save RUN --as NAME` makes baselines/NAME.json"
        ) from e
    except (OSError, ValidationError) as e:
        first = e.errors()[0] if isinstance(e, ValidationError) else None
        told = f" ({'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']})" if first else f" ({e})"
        raise HarnessError(
            f"not a baseline that this version can read{told}",
            where=str(path),
            hint="take it from version control again, or save it anew",
        ) from e


def save(path: Path, name: str, snapshot: Snapshot, now: str) -> Baseline:
    """Write a first baseline. Raises HarnessError where one is there, or where a variant failed."""
    with translated_disk_errors(path, ELSEWHERE):
        if path.exists():
            raise HarnessError(
                "there is a baseline already",
                where=str(path),
                hint=f"`harness baseline update RUN --as {name} --reason '…'` replaces it and keeps its history",
            )
    entry = HistoryEntry(saved=now, reason="first saved", matrix_digest=snapshot.matrix_digest)
    return _write(path, Baseline(name=name, history=(entry,), snapshot=snapshot))


def update(path: Path, snapshot: Snapshot, reason: str, now: str) -> Baseline:
    """Replace the snapshot; the reason, and what differs from the one before, are kept in the history.

    Raises HarnessError for an empty reason, or where there is no baseline yet.
    """
    if not reason.strip():
        raise HarnessError("no reason", where="--reason", hint="say why what counted so far no longer counts")
    old = load(path)
    changes = (*(change.text for change in drift(old.snapshot, snapshot)), *recipe_changes(old.snapshot, snapshot))
    entry = HistoryEntry(saved=now, reason=reason.strip(), matrix_digest=snapshot.matrix_digest, changes=changes)
    return _write(path, Baseline(name=old.name, history=(*old.history, entry), snapshot=snapshot))


def _write(path: Path, baseline: Baseline) -> Baseline:
    if baseline.snapshot.failed:
        failed = baseline.snapshot.failed[0]
        raise HarnessError(
            f"variant {failed.variant} failed in {failed.stage}: {failed.reason}",
            hint="a baseline needs every variant; mend or exclude it and run again",
        )
    with translated_disk_errors(path, ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"version": baseline.version, **baseline.model_dump(mode="json", exclude_defaults=True)}
        write_atomically(path, "".join(_pieces(content, 0)) + "\n")
    return baseline


def _pieces(value: Any, depth: int) -> Iterator[str]:
    """JSON with a line for each thing that a reader tells apart: the values of one variant are one line."""
    open_, close = "{}" if isinstance(value, dict) else "[]"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(each, dict) or (isinstance(each, list) and isinstance(value, dict)) for each in inner):
        yield json.dumps(value, ensure_ascii=False)
        return
    pairs = value.items() if isinstance(value, dict) else ((None, each) for each in value)
    yield open_
    for number, (key, each) in enumerate(pairs):
        yield ("," if number else "") + "\n" + " " * (depth + 1)
        yield "" if key is None else json.dumps(key, ensure_ascii=False) + ": "
        yield from _pieces(each, depth + 1)
    yield "\n" + " " * depth + close
