"""Rows of Parquet files, Arrow folders and Hub data sets, batch by batch. pyarrow and datasets are imported inside."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data.formats import Broken, RawRow
from harness.errors import DataError, MissingExtra

BATCH = 1000
"""Rows held at a time."""
COMMIT = re.compile(r"[0-9a-f]{40}")


def parquet_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a Parquet file. Raises DataError for a file that is none, and for one that names a column twice."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"names the column {', '.join(map(repr, repeated))} twice", where=str(path),
                                hint="give each column a name of its own")  # fmt: skip
            yield from numbered(file.iter_batches(batch_size=BATCH))
    except (pa.ArrowException, OSError) as e:
        raise DataError(f"not a Parquet file that can be read: {first_line(e)}", where=str(path),
                        hint="write it anew, or give another format") from e  # fmt: skip


def numbered(batches: Any) -> Iterator[RawRow]:
    """Rows of all record batches or tables, each with its number."""
    number = 0
    for batch in batches:
        for row in rows_of(batch):
            yield f"row {number}", row
            number += 1


def rows_of(batch: Any) -> list[Any]:
    """The rows of a record batch or table; Broken in the place of one that is not UTF-8."""
    try:
        found: list[Any] = batch.to_pylist()
    except UnicodeDecodeError:
        if len(batch) == 1:
            return [Broken("not UTF-8 text")]
        return [row for place in range(len(batch)) for row in rows_of(batch.slice(place, 1))]
    return found


# ---------------------------------------------------------------- Arrow folders


def arrow_parts(folder: Path) -> tuple[str, ...]:
    """Names of the parts of a folder that `datasets.save_to_disk` wrote; empty for a folder of one unnamed set.

    Raises DataError where the list of them is broken.
    """
    listing = folder / "dataset_dict.json"
    if not listing.is_file():
        return ()
    try:
        return tuple(map(str, json.loads(listing.read_text(encoding="utf-8"))["splits"]))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise unreadable_set(e, listing) from e


def is_arrow_folder(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote it."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def arrow_identity(folder: Path, part: str | None) -> str:
    """sha256 over the order and bytes of the Arrow files; what else lies there names only when and how they came.

    Raises DataError where a file is missing.
    """
    own = folder / part if part else folder
    digest = hashlib.sha256()
    try:
        state = json.loads((own / "state.json").read_text(encoding="utf-8"))
        for file in state["_data_files"]:
            with (own / file["filename"]).open("rb") as f:
                digest.update(hashlib.file_digest(f, "sha256").digest())
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise unreadable_set(e, own) from e
    return digest.hexdigest()


def arrow_rows(folder: Path, part: str | None) -> Iterator[RawRow]:
    """Rows of an Arrow folder; the files are mapped, not read into memory."""
    own = folder / part if part else folder
    try:
        loaded = library().load_from_disk(str(own))
    except (OSError, ValueError, KeyError) as e:
        raise unreadable_set(e, own) from e
    yield from dataset_rows(loaded)


def unreadable_set(error: Exception, where: Path) -> DataError:
    """The error for what `datasets.save_to_disk` would not have written."""
    return DataError(f"not a data set that can be read: {first_line(error)}", where=str(where),
                     hint="write it anew with `save_to_disk`")  # fmt: skip


def dataset_rows(loaded: Any) -> Iterator[RawRow]:
    """Rows of a `datasets.Dataset`."""
    return numbered(loaded.with_format("arrow").iter(batch_size=BATCH))


def library() -> Any:
    """The package `datasets`, quiet. Raises MissingExtra."""
    try:
        import datasets
    except ImportError as e:
        raise MissingExtra("an Arrow folder or a Hub data set", "datasets") from e
    datasets.disable_progress_bars()
    return datasets


# ---------------------------------------------------------------- Hub data sets


def hub_snapshot(name: str, revision: str) -> Path:
    """Local copy of a Hub data set at a commit, downloaded once. Raises DataError when it cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision))
    except Exception as e:  # the Hub's client raises errors of its own, of the HTTP library and of the system
        raise DataError(
            f"Hub data set {name!r} at {revision[:12]} cannot be downloaded: {first_line(e)}",
            hint="check name and revision; for a private one log in with `hf auth login`; without network, download it "
            "elsewhere and give its file",
            unreachable=type(e).__name__ not in ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError"),
        ) from e


def hub_splits(name: str, revision: str, subset: str | None) -> dict[str, Any]:
    """Part name -> `datasets.Dataset`, read from the local copy."""
    copy = hub_snapshot(name, revision)
    package = library()
    try:
        return dict(package.load_dataset(str(copy), subset))
    except (OSError, ValueError, RuntimeError, TypeError, package.exceptions.DatasetsError) as e:
        raise DataError(f"Hub data set {name!r} cannot be read: {first_line(e)}",
                        hint="a set of several subsets needs `subset:`; one that needs code of its own cannot be used",
                        ) from e  # fmt: skip


def hub_rows(name: str, revision: str, subset: str | None, part: str) -> Iterator[RawRow]:
    """Rows of one part of a Hub data set."""
    yield from dataset_rows(hub_splits(name, revision, subset)[part])


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type's name."""
    return next(iter(str(error).splitlines()), type(error).__name__)
