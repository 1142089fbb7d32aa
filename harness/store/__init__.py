"""Sealed objects, by content: the only room that knows paths."""

from harness.store.files import file_sha256, read_rows, translated_disk_errors, write_atomically
from harness.store.locks import is_locked, lock_owner
from harness.store.objects import PEOPLE, MatrixRun, ObjectSummary, Store, planned, read_result
from harness.store.versions import utc_now
from harness.store.writer import ObjectWriter

__all__ = [
    "PEOPLE", "MatrixRun", "ObjectSummary", "ObjectWriter", "Store", "file_sha256", "is_locked", "lock_owner",
    "planned", "read_result", "read_rows", "translated_disk_errors", "utc_now", "write_atomically",
]  # fmt: skip
