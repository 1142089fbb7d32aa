"""Rows of a data file as Examples: JSON array, JSON lines, CSV. A broken row is named by file and line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import DataError
from harness.records.data import Example

Format = Literal["json", "jsonl", "csv"]
FORMATS: dict[str, Format] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}
FIELDS = ("instruction", "input", "output")


@dataclass(frozen=True, slots=True)
class Source:
    """A data file as found: its bytes' digest is its identity, its path only says where to read."""

    path: Path
    format: Format
    sha256: str


def source(path: Path) -> Source:
    """Raises DataError for a file ending that is not known."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"cannot read {path.suffix or 'a file without an ending'}", where=str(path),
                        hint="give a .json, .jsonl or .csv file")  # fmt: skip
    return Source(path, FORMATS[path.suffix.lower()], hashlib.sha256(path.read_bytes()).hexdigest())


def examples(source: Source) -> list[Example]:
    """All rows, in file order. Raises DataError that names every broken row's line (the first ten)."""
    text = decoded(source.path)
    rows = {"json": json_rows, "jsonl": jsonl_rows, "csv": csv_rows}[source.format](text, source.path)
    found: list[Example] = []
    problems: list[str] = []
    ids: Counter[str] = Counter()
    for where, row in rows:
        problem = what_is_wrong(row)
        if problem:
            problems.append(f"{source.path}:{where}: {problem}")
        else:
            found.append(example(row, ids))
    if problems:
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise DataError(
            "\n".join(problems[:10]) + more,
            hint="each row needs text under `instruction` and `output`, and may have `input`",
        )
    if not found:
        raise DataError("no rows", where=str(source.path), hint="give a file with at least one row in each split part")
    return found


def decoded(path: Path) -> str:
    """UTF-8 text, with or without a byte order mark."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = path.read_bytes()[: e.start].count(b"\n") + 1
        raise DataError("not UTF-8 text", where=f"{path}:{line}", hint="save the file as UTF-8") from e


def example(row: dict[str, Any], ids: Counter[str]) -> Example:
    """An Example whose id is its content's hash; a repeated entry is told apart by its count."""
    instruction, given, output = (row.get(field) or "" for field in FIELDS)
    content = json.dumps([instruction, given, output], ensure_ascii=False).encode()
    short = hashlib.sha256(content).hexdigest()[:12]
    ids[short] += 1
    return Example(
        id=short if ids[short] == 1 else f"{short}-{ids[short]}",
        instruction=instruction,
        input=given,
        output=output,
        meta={k: v for k, v in row.items() if k not in FIELDS and isinstance(v, str)},
    )


def what_is_wrong(row: Any) -> str | None:
    """The first problem of a row, or None."""
    if not isinstance(row, dict):
        return f"a row is an object with keys, not {type(row).__name__}"
    for field in ("instruction", "output"):
        if field not in row or row[field] is None:
            return f"no key `{field}`; the row has: {', '.join(map(str, row)) or 'none'}"
        if not isinstance(row[field], str):
            return f"`{field}` is {type(row[field]).__name__}, not text"
        if not row[field].strip():
            return f"`{field}` is empty"
    if not isinstance(row.get("input") or "", str):
        return f"`input` is {type(row['input']).__name__}, not text"
    return bad_characters(" ".join(row.get(field) or "" for field in FIELDS))


def bad_characters(text: str) -> str | None:
    """NUL bytes and lone surrogates break tokenizers and files."""
    if "\0" in text:
        return "a NUL character in the text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate (half a character) in the text"
    return None


def json_rows(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """(where, row) for a JSON array of objects."""
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as e:
        raise DataError(f"not JSON: {e.msg}", where=f"{path}:{e.lineno}", hint="mend the file at this line") from e
    if not isinstance(parsed, list):
        raise DataError("the file holds no list of rows", where=str(path), hint="a JSON array of objects is expected")
    return ((f"row {number}", row) for number, row in enumerate(parsed))


def jsonl_rows(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """(line number, row) for JSON lines; blank lines are skipped."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield str(number), json.loads(line)
            except json.JSONDecodeError as e:
                raise DataError(f"not JSON: {e.msg}", where=f"{path}:{number}", hint="mend this line") from e


def csv_rows(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """(line number, row) for CSV with a header line."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                raise DataError("more cells than the header has", where=f"{path}:{reader.line_num}",
                                hint="quote cells that contain commas")  # fmt: skip
            yield str(reader.line_num), row
    except csv.Error as e:
        raise DataError(f"not CSV: {e}", where=f"{path}:{reader.line_num}", hint="mend the file at this line") from e
