"""Known data sets by name: shipped with the program, or fetched by URL and checked by sha256."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from harness.errors import DataError

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Shipped:
    """A data set inside this package."""

    file: str
    about: str


@dataclass(frozen=True, slots=True)
class Remote:
    """A data set of somebody else's, known by its bytes."""

    url: str
    sha256: str
    about: str


CATALOG: dict[str, Shipped | Remote] = {
    "starter-en": Shipped("starter-en.jsonl", "English instructions written for this project, Apache-2.0"),
    "starter-zh": Shipped("starter-zh.jsonl", "Chinese instructions written for this project, Apache-2.0"),
    "llms-from-scratch": Remote(
        url="https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch07/01_main-chapter-code/instruction-data.json",
        sha256="7e09a9af353722ca15c18bc580f093f9c39d3178335a75177319cb1e1d163944",
        about="1,100 entries of Build a Large Language Model (From Scratch), chapter 7; Apache-2.0, Sebastian Raschka",
    ),
}


def find(data: str, beside: Path) -> Path:
    """The file or folder that a matrix's `data:` means: a known name, or a path relative to the matrix file (`beside`).

    Raises DataError for an unknown name, a missing file, or a remote set that cannot be had.
    """
    known = CATALOG.get(data)
    match known:
        case Shipped(file=file):
            return HERE / file
        case Remote():
            return fetch(data, known)
        case None:
            return find_path(data, beside)


def find_path(data: str, beside: Path) -> Path:
    """A file or folder as written, relative to the matrix file."""
    path = (beside / Path(data).expanduser()).resolve()
    if path.exists():
        return path
    near = get_close_matches(data, CATALOG, n=1)
    raise DataError(
        f"no data set or file {data!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"known data sets: {', '.join(CATALOG)}; a path is taken relative to the matrix file (looked for {path})",
    )


def fetch(name: str, remote: Remote) -> Path:
    """The local copy: in HARNESS_DATA_DIR first, then in the cache, else downloaded once."""
    file_name = remote.url.rsplit("/", 1)[-1]
    given = os.environ.get("HARNESS_DATA_DIR")
    if given and (Path(given) / file_name).is_file():
        return checked(Path(given) / file_name, name, remote)
    cached = cache_folder() / f"{name}-{remote.sha256[:12]}-{file_name}"
    if not cached.is_file():
        absent = f"; HARNESS_DATA_DIR is {given}; no {file_name} there" if given else ""
        download(name, remote, cached, absent)
    return checked(cached, name, remote)


def cache_folder() -> Path:
    """Where downloads are kept: `$XDG_CACHE_HOME/sft-harness`, by default `~/.cache/sft-harness`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sft-harness"


def checked(path: Path, name: str, remote: Remote) -> Path:
    """The path, if its bytes are the data set's."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != remote.sha256:
        raise DataError(
            f"{name}: this file has sha256 {found[:12]}…, the data set has {remote.sha256[:12]}…",
            where=str(path),
            hint=f"delete it and run again, or fetch {remote.url} anew",
        )
    return path


def download(name: str, remote: Remote, to: Path, absent: str) -> None:
    """Fetch over HTTPS and move into place once it is whole. `absent`: where else it is not, for the message."""
    try:
        with urllib.request.urlopen(remote.url, timeout=60) as response:  # noqa: S310 - https, from the catalog
            content = response.read()
    except (urllib.error.URLError, TimeoutError) as e:
        raise DataError(
            f"{name}: cannot be downloaded ({e}){absent}",
            hint=f"fetch {remote.url} elsewhere and set HARNESS_DATA_DIR to the folder that it lies in",
        ) from e
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=to.parent, delete=False) as part:
        part.write(content)
    Path(part.name).replace(to)
