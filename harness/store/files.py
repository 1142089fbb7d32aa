"""Files that are whole or not there, rows that are read a line at a time, and refusals of the disk in words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import StoreError
from harness.records.seal import SealedFile

STORE_VERSION = 1
UNSEALED_NAMES = frozenset({"seal.json", "lock", "owner.json", "scratch"})


def read_rows(path: Path, row_type: Any) -> list[Any]:
    """All rows of `stream_rows`."""
    return list(stream_rows(path, row_type))


def stream_rows(path: Path, row_type: Any) -> Iterator[Any]:
    """Parse a JSONL file of records; none where there is no file. Raises StoreError that names the line."""
    if not path.exists():
        return
    adapter = TypeAdapter(row_type)
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            try:
                yield adapter.validate_json(line)
            except ValidationError as e:
                raise StoreError(
                    "not a row that this version can read",
                    where=f"{path}:{number}",
                    hint="`harness store verify` names damaged objects; delete the object's folder to make it again",
                ) from e


def write_atomically(path: Path, text: str | Iterable[str]) -> None:
    """All of the text (or of its pieces) or none of it: a reader never sees half a file, whatever is killed when."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as f:
            f.writelines([text] if isinstance(text, str) else text)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except OSError as e:
        e.filename = str(path)  # nobody knows the temporary file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sealed_files(folder: Path) -> Iterator[SealedFile]:
    """Every file of an object but the seal itself and what only work in progress needs."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in UNSEALED_NAMES and not relative.parts[0].startswith("."):
            yield SealedFile(path=relative.as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


DISK_FULL = {
    errno.ENOSPC: (
        "the disk is full",
        "free some space (`harness store forget RUN`, then `harness store gc`) and run again",
    ),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run again; finished work is kept"),
}
REFUSALS = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "not a folder",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.ENOENT: "is not there and cannot be made",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextlib.contextmanager
def translated_disk_errors(where: Path, elsewhere: str = "give another --store") -> Iterator[None]:
    """Turn the operating system's refusals into StoreErrors; `elsewhere` is what to do where it refuses a place."""
    try:
        yield
    except OSError as e:
        if e.errno not in DISK_FULL | REFUSALS:
            raise
        what, hint = DISK_FULL.get(e.errno) or (REFUSALS[e.errno], elsewhere)
        raise StoreError(what, where=str(e.filename or where), hint=hint) from e
