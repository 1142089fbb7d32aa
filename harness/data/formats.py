"""Rows of JSON, JSON lines, CSV and TSV files as they stand there, one at a time: a file of any size fits in memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.errors import DataError

CHUNK = 1 << 20
"""Characters read at once from a JSON array."""
EXCERPT = 40
"""Characters of a cell that a message shows."""
BLANK = re.compile(r"[ \t\r\n]*")
QUOTED = re.compile(r'"[^"]*("|$)')
AFTER_VALUE = frozenset(", \t\r\n]")


@dataclass(frozen=True, slots=True)
class Broken:
    """What stands in the place of a row that cannot be read."""

    reason: str


RawRow = tuple[str, Any]
"""(place in the file: `12`, a line, or `row 12`; the row as parsed, or Broken)."""


def jsonl_rows(path: Path) -> Iterator[RawRow]:
    """One row a line; blank lines are skipped."""
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - the same line, without its byte order mark
            if line.strip():
                row = parsed(line)
                yield str(number), array_told(row) if number == 1 and line.lstrip().startswith(b"[") else row


def array_told(row: Any) -> Any:
    """The first row of a file that begins as a JSON array does; Broken, with what to do, where it looks like one."""
    if isinstance(row, Broken):
        return Broken(f"{row.reason}; where the file is one JSON array, call it .json")
    if row and all(isinstance(each, dict) for each in row):
        return Broken("a JSON array, not one row a line; call the file .json")
    return row


def parsed(line: bytes) -> Any:
    """The JSON value of a line, or Broken. What the quick parser refuses is read, or told, by Python's."""
    try:
        return from_json(line)
    except ValueError:
        return slowly_parsed(line)


def slowly_parsed(line: bytes) -> Any:
    """The same, of a line that may hold what JSON does not: half a character, nesting without end."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError:
        return Broken("not UTF-8 text")
    except json.JSONDecodeError as e:
        return Broken(f"not JSON: {e.msg}")
    except (ValueError, RecursionError) as e:
        return Broken(f"not JSON that can be read: {e}")


def json_rows(path: Path) -> Iterator[RawRow]:
    """The elements of a JSON array, decoded one by one as the file is read.

    Raises DataError for a syntax error: what comes after it cannot be told.
    """
    with path.open(encoding="utf-8-sig", newline="") as f:
        buffer = JsonBuffer(path, f)
        try:
            buffer.expect("[", "the file holds no list of rows",
                          "a JSON array is expected; one object a line is .jsonl: call the file that")  # fmt: skip
            number = 0
            while buffer.peek() != "]":
                if number:
                    buffer.expect(",", "not JSON: expecting ',' delimiter", "mend the file at this line")
                line, value = buffer.value()
                yield f"{line} (row {number})", value
                number += 1
            buffer.close()
        except UnicodeDecodeError as e:
            raise not_utf8(path) from e


class JsonBuffer:
    """A window of a JSON text that grows until the next value is whole."""

    def __init__(self, path: Path, file: Any) -> None:
        """`file`: opened as text; `path` names it in errors."""
        self._path, self._file = path, file
        self._text, self._at, self._line = "", 0, 1
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            blank = BLANK.match(self._text, self._at)
            if blank is not None:
                self._advance(blank.end())
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def expect(self, character: str, what: str, hint: str) -> None:
        """Take this character, or raise DataError."""
        if self.peek() != character:
            raise DataError(what, where=f"{self._path}:{self._line}", hint=hint)
        self._advance(self._at + 1)

    def close(self) -> None:
        """Take the bracket that ends the list; nothing may follow."""
        self._advance(self._at + 1)
        if self.peek():
            raise self._error("something stands after the list", self._at)

    def value(self) -> tuple[int, Any]:
        """(its first line, the next value). Raises DataError where there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError as e:
                raise self._error("nested too deeply", self._at) from e
            except json.JSONDecodeError as e:
                if not self._grow():
                    raise self._error(e.msg, e.pos) from e
                continue
            except ValueError as e:
                raise self._error(str(e), self._at) from e
            if self._text[end : end + 1] in AFTER_VALUE or not self._grow():  # a number at the edge may go on
                line = self._line
                self._advance(end)
                return line, value

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _grow(self) -> bool:
        """Read on, twice as much as is held, so that a huge value is not parsed again and again."""
        if self._ended:
            return False
        held = self._text[self._at :]
        more = self._file.read(max(CHUNK, len(held)))
        self._ended = not more
        self._text, self._at = held + more, 0
        return bool(more)

    def _error(self, message: str, position: int) -> DataError:
        line = self._line + self._text.count("\n", self._at, position)
        return DataError(f"not JSON: {message}", where=f"{self._path}:{line}", hint="mend the file at this line")


def csv_rows(path: Path, delimiter: str | None = None) -> Iterator[RawRow]:
    """Rows under a header line, as dicts; a cell that is missing at a row's end is left out.

    Several columns without a name are none, as long as they are empty: Excel writes such at a line's end. `delimiter`:
    None where the header tells.

    Raises DataError for a header that names a column twice, and where quoting breaks: the rows after it cannot be told.
    """
    csv.field_size_limit(1 << 30)  # its default of 128 KiB is shorter than some answers
    with path.open(encoding="utf-8-sig", newline="") as f:
        began = 1
        try:
            delimiter = delimiter or delimiter_of(f.readline())
            f.seek(0)
            reader = csv.reader(f, delimiter=delimiter, strict=True)
            header = next(reader, [])
            repeated = {name for name in header if name and header.count(name) > 1}
            if repeated:
                raise DataError(f"the header names {', '.join(map(repr, sorted(repeated)))} twice", where=f"{path}:1",
                                hint="give each column a name of its own")  # fmt: skip
            began = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield str(began), row_under(header, cells, unnamed=header.count("") > 1)
                began = reader.line_num + 1
        except csv.Error as e:
            raise DataError(f"not CSV: {e}", where=f"{path}:{began}", hint="mend the file at this line") from e
        except UnicodeDecodeError as e:
            raise not_utf8(path) from e


def row_under(header: list[str], cells: list[str], *, unnamed: bool) -> dict[str, str] | Broken:
    """The row's cells by their columns. `unnamed`: whether several columns have no name."""
    if len(cells) > len(header):
        return Broken("more cells than the header has; quote cells that contain the delimiter")
    row = dict(zip(header, cells, strict=False))
    if unnamed:
        said = [cell for name, cell in zip(header, cells, strict=False) if not name and cell]
        if said:
            return Broken(f"a cell under no column's name: {said[0][:EXCERPT]!r}")
        row.pop("", None)
    return row


def delimiter_of(header: str) -> str:
    """The comma, unless only semicolons or tabs part the header: Excel writes those where a comma is a decimal sign."""
    bare = QUOTED.sub("", header)
    return next((each for each in ",;\t" if each in bare), ",")


def not_utf8(path: Path) -> DataError:
    """The error that names the first line of a file that is not UTF-8."""
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return DataError("not UTF-8 text", where=f"{path}:{number}", hint="save the file as UTF-8")
    return DataError("not UTF-8 text", where=str(path), hint="save the file as UTF-8")
