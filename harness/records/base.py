"""The base of every type that reaches disk, and the digest that names what a record resolves to."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of all records: immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(Record):
    """Base of what a user writes: every number is finite (JSON has no other, and no setting means one)."""

    model_config = ConfigDict(allow_inf_nan=False)


def canonical_json(record: Record) -> str:
    """The one JSON text of a record: sorted keys, no spaces, UTF-8; two equal records have equal texts."""
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(record: Record) -> str:
    """sha256 (64 hex digits) of the record's canonical JSON: the identity of whatever the record resolves to."""
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()
