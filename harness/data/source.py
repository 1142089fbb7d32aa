"""Where a matrix's `data:` leads: files, folders or Hub data sets, each identified by its content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.data import catalog, formats, tables
from harness.data.formats import RawRow
from harness.errors import DataError
from harness.records.data import SplitName
from harness.records.inputs import SourceInput
from harness.spec.data import FORMATS, DataSpec

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A file, folder or Hub data set as found. What it holds is in `input`; the rest says where to read it.

    `path`: file or folder, or the Hub name; `own_part`: the part of a folder or Hub data set of several.
    """

    path: Path
    input: SourceInput
    own_part: str | None = None
    subset: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.path) + (f"[{self.own_part}]" if self.own_part else "")

    def raise_if_changed(self) -> None:
        """Raises DataError where the file or folder no longer holds what it was found with."""
        if self.input.format == "hub":  # a commit stays what it is
            return
        arrow = self.input.format == "arrow"
        now = tables.arrow_identity(self.path, self.own_part) if arrow else file_source(self.path).input.identity
        if now != self.input.identity:
            raise DataError("has changed since this run began", where=self.name, hint="run again")

    def rows(self) -> Iterator[RawRow]:  # noqa: PLR0911 - one a format
        """Its rows as they stand there, in order. Raises DataError for a file that breaks off."""
        match self.input.format:
            case "json":
                return formats.json_rows(self.path)
            case "jsonl":
                return formats.jsonl_rows(self.path)
            case "csv":
                return formats.csv_rows(self.path)
            case "tsv":
                return formats.csv_rows(self.path, "\t")
            case "parquet":
                return tables.parquet_rows(self.path)
            case "arrow":
                return tables.arrow_rows(self.path, self.own_part)
            case "hub":
                assert self.revision is not None and self.own_part is not None  # noqa: S101 - `hub_source` sets both
                return tables.hub_rows(self.path.as_posix(), self.revision, self.subset, self.own_part)


def sources(spec: DataSpec, beside: Path) -> tuple[Source, ...]:
    """One source, or one a part where the matrix names them. `beside`: what relative paths start from.

    Raises DataError for what cannot be found, and for a set of several parts of which none is chosen.
    """
    if spec.parts is None:
        assert spec.path is not None  # noqa: S101 - the spec has one of both
        return (find(spec, spec.path, beside, spec.part, None),)
    given = spec.parts.given()
    if spec.path is None:
        return tuple(find(spec, path, beside, None, part) for part, path in given.items())
    return tuple(find(spec, spec.path, beside, own, part) for part, own in given.items())


def find(spec: DataSpec, path: str, beside: Path, own_part: str | None, part: SplitName | None) -> Source:
    """One source by what the matrix calls it: a known name, a path beside the matrix, or a Hub data set."""
    named_like_a_file = Path(path).suffix.lower() in FORMATS
    if HUB_NAME.fullmatch(path) and not named_like_a_file and not (beside / path).exists():
        return hub_source(path, spec, own_part, part)
    found = catalog.find(path, beside)
    if found.is_dir():
        return arrow_source(found, own_part, part)
    if own_part is not None:
        raise DataError(f"a file has no part {own_part!r}", where=str(found), hint="leave `part` out")
    return file_source(found, part)


def file_source(path: Path, part: SplitName | None = None) -> Source:
    """Raises DataError for a file ending that is not known."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise DataError(f"cannot read {ending or 'a file without an ending'}", where=str(path),
                        hint=f"give a file that ends in {', '.join(FORMATS)}")  # fmt: skip
    try:
        with path.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise DataError(f"cannot be read ({e.strerror})", where=str(path), hint="see to its permissions") from e
    return Source(path, SourceInput(part=part, format=FORMATS[ending], identity=digest))


def arrow_source(folder: Path, own_part: str | None, part: SplitName | None) -> Source:
    """A folder that `datasets.save_to_disk` wrote."""
    if not tables.is_arrow_folder(folder):
        raise DataError("a folder, but none that `datasets.save_to_disk` wrote", where=str(folder),
                        hint="give a file, or a folder with a dataset_dict.json or state.json")  # fmt: skip
    own_part = chosen_part(tables.arrow_parts(folder), own_part, str(folder))
    identity = tables.arrow_identity(folder, own_part)
    return Source(folder, SourceInput(part=part, format="arrow", identity=identity), own_part)


def hub_source(name: str, spec: DataSpec, own_part: str | None, part: SplitName | None) -> Source:
    """A Hub data set at the commit that the matrix pins."""
    if spec.revision is None or not tables.COMMIT.fullmatch(spec.revision):
        raise DataError(
            f"Hub data set {name!r} has to be pinned to a commit, so that it stays the same",
            hint=f"add `revision:` with the 40 digits shown at https://huggingface.co/datasets/{name}/commits; "
            "or, if a file was meant: there is none of this name beside the matrix",
        )
    known = tuple(tables.hub_splits(name, spec.revision, spec.subset))
    own = chosen_part(known, own_part, name)
    identity = f"{name}@{spec.revision}/{spec.subset or ''}/{own}"
    place = SourceInput(part=part, format="hub", identity=identity)
    return Source(Path(name), place, own, spec.subset, spec.revision)


def chosen_part(known: tuple[str, ...], asked: str | None, where: str) -> str | None:
    """The part to read: the one asked for, or the only one; None for a set without named parts."""
    if asked is None and len(known) <= 1:
        return known[0] if known else None
    if asked in known:
        return asked
    parts = ", ".join(known) or "none"
    raise DataError(
        f"no part {asked!r}; there are: {parts}" if asked else f"several parts: {parts}",
        where=where,
        hint=f"data.part: {known[0] if known else '…'} reads one and cuts it as `split` says; data.parts "
        "{train: …, test: …} takes them as they are",
    )
