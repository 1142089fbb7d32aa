"""The only module that knows paths: content-addressed objects, sealed last, locked while they are made.

runs/store.json                   the version of this layout
runs/objects/<stage>/<digest>/    spec.json · rows.jsonl or weights/ · seal.json; scratch/ while it is made
runs/matrices/<name>-<digest>/    matrix.yaml · plan.json · comparison.json · report.html · report.md
runs/index.jsonl                  append-only log of what was made when
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from harness.errors import StoreError
from harness.records.base import Record, canonical_json, digest
from harness.records.inputs import StageKey, StageName
from harness.records.plan import Plan, PlannedStage
from harness.records.result import Result
from harness.records.seal import Facts, Seal, SealedFile

STORE_VERSION = 1
UNSEALED_NAMES = frozenset({"seal.json", "lock", "owner.json", "scratch"})
VERSIONS_OF = (
    "sft-harness",
    "torch",
    "transformers",
    "peft",
    "sacrebleu",
    "rouge-score",
    "rensa",
    "py3langid",
    "xllamacpp",
)


@dataclass(frozen=True, slots=True)
class MatrixRun:
    """One matrix in the store: where its documents lie, and what is known of its outcome."""

    name: str
    digest: str
    folder: Path
    plan: Plan
    result: Result | None


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One line of `harness store ls`. `state`: sealed, in progress (a process holds its lock) or unfinished."""

    key: StageKey
    state: str
    bytes: int
    rows: int | None


PEOPLE = "human"
"""The backend of objects that hold people's ratings: nothing can make them again."""


class Store:
    """A folder of sealed objects. Reading never writes; the folder is made by the first writer."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist. Raises StoreError where it is a file, or a newer version of this program wrote it."""
        self.root = root
        if root.exists() and not root.is_dir():
            raise StoreError("a file stands where the store should be", where=str(root), hint="give another --store")
        marker = root / "store.json"
        if marker.exists():
            self._check_version(marker)

    def _check_version(self, marker: Path) -> None:
        try:
            found = int(json.loads(marker.read_text())["version"])
        except (ValueError, KeyError, TypeError) as e:
            raise StoreError("not a store of this program", where=str(marker), hint="give another --store") from e
        if found > STORE_VERSION:
            raise StoreError(
                f"this store has layout version {found}, written by a newer sft-harness; this one reads up to "
                f"{STORE_VERSION}",
                where=str(self.root),
                hint="pip install --upgrade sft-harness, or give another --store",
            )

    def create(self) -> None:
        """Make the folder if it is not there."""
        with translated_disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / "store.json").exists():
                write_atomically(self.root / "store.json", json.dumps({"version": STORE_VERSION}) + "\n")

    # ------------------------------------------------------------ objects

    def folder(self, key: StageKey) -> Path:
        """Where the object lies or will lie."""
        return self.root / "objects" / key.stage / key.digest

    def weights(self, key: StageKey) -> Path:
        """Folder of a base or train object's weights, in Hugging Face layout."""
        return self.folder(key) / "weights"

    def sealed(self, key: StageKey) -> Seal | None:
        """The object's seal; None while it is not done. Raises StoreError for a seal that cannot be read."""
        path = self.folder(key) / "seal.json"
        if not path.exists():
            return None
        try:
            return Seal.model_validate_json(path.read_bytes())
        except ValidationError as e:
            raise StoreError(
                "damaged seal", where=str(path), hint="delete the object's folder; it will be made again"
            ) from e

    def is_sealed(self, key: StageKey) -> bool:
        """Whether the object is done, without reading its seal."""
        return (self.folder(key) / "seal.json").exists()

    def read(self, key: StageKey, row_type: Any) -> list[Any]:
        """All rows of a sealed object, in file order. `row_type`: a Record or an Annotated union of records."""
        return list(self.stream(key, row_type))

    def stream(self, key: StageKey, row_type: Any) -> Iterator[Any]:
        """The same, one row at a time."""
        if self.sealed(key) is None:
            raise StoreError(f"{key.stage} object {key.digest[:12]} is not finished", hint="harness run continues it")
        return stream_rows(self.folder(key) / "rows.jsonl", row_type)

    @contextlib.contextmanager
    def making(self, planned: PlannedStage, *, announce: Any = None) -> Iterator[ObjectWriter]:
        """Hold the object's lock and yield its writer; another process's lock is waited for.

        `announce(text)` is called once when the wait begins. After a wait the object may be sealed: see `writer.seal`.
        """
        self.create()
        folder = self.folder(planned.key)
        with translated_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if announce is not None:
                announce(f"{planned.key.stage} {planned.key.digest[:12]} is {lock_owner(folder)}; waiting for it")
            lock.acquire()
        try:
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": utc_now()}
            with translated_disk_errors(folder):
                (folder / "owner.json").write_text(json.dumps(owner))
            yield ObjectWriter(folder, planned, self.sealed(planned.key))
        finally:
            (folder / "owner.json").unlink(missing_ok=True)
            lock.release()

    @property
    def tracking(self) -> Path:
        """Where trackers keep what they keep on this machine."""
        return self.root / "tracking"

    # ------------------------------------------------------------ matrices

    def matrix_folder(self, plan: Plan) -> Path:
        """Where the documents of a matrix lie."""
        return self.root / "matrices" / f"{plan.matrix}-{plan.matrix_digest[:12]}"

    def write_matrix(self, plan: Plan, matrix_yaml: str) -> Path:
        """Keep the matrix as written and as planned; gives its folder."""
        self.create()
        folder = self.matrix_folder(plan)
        with translated_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "matrix.yaml", matrix_yaml)
            write_atomically(folder / "plan.json", plan.model_dump_json(indent=1))
        return folder

    def write_result(self, plan: Plan, result: Result) -> None:
        """Write comparison.json."""
        folder = self.matrix_folder(plan)
        with translated_disk_errors(folder):
            write_atomically(folder / "comparison.json", result.model_dump_json(indent=1))

    def result(self, plan: Plan) -> Result | None:
        """The finished comparison of a matrix; None if there is none, or one that this version cannot read."""
        return read_result(self.matrix_folder(plan))

    def matrices(self) -> list[MatrixRun]:
        """All matrices of the store, newest first. One whose plan cannot be read is left out."""
        return [run for folder in self.matrix_folders() if (run := self.matrix(folder)) is not None]

    def matrix_folders(self) -> list[Path]:
        """Folders of the planned matrices, newest first."""
        plans = sorted(self.root.glob("matrices/*/plan.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        return [path.parent for path in plans]

    def matrix(self, folder: Path) -> MatrixRun | None:
        """The matrix in one of these folders; None where its plan cannot be read."""
        try:
            plan = Plan.model_validate_json((folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return MatrixRun(plan.matrix, plan.matrix_digest, folder, plan, read_result(folder))

    def history(self, last: int) -> list[dict[str, str]]:
        """The last lines of index.jsonl, newest first: time, matrix, variant, stage, digest, status."""
        path = self.root / "index.jsonl"
        if not path.exists():
            return []
        entries = []
        for line in path.read_text(encoding="utf-8").splitlines()[-last:]:
            with contextlib.suppress(ValueError):  # a line that a killed process tore
                entries.append(json.loads(line))
        return entries[::-1]

    def log(self, matrix: str, variant: str, key: StageKey, status: str) -> None:
        """Append one line to index.jsonl."""
        entry = {"time": utc_now(), "matrix": matrix, "variant": variant, **key.model_dump(), "status": status}
        with translated_disk_errors(self.root), (self.root / "index.jsonl").open("a") as f:
            f.write(json.dumps(entry) + "\n")

    # ------------------------------------------------------------ housekeeping

    def ls(self) -> list[ObjectSummary]:
        """Every object, by stage and digest."""
        summaries = []
        for folder in sorted(self.root.glob("objects/*/*/")):
            stage: Any = folder.parent.name
            key = StageKey(stage=stage, digest=folder.name)
            seal = self.sealed(key)
            state = "sealed" if seal else ("in progress" if is_locked(folder) else "unfinished")
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            summaries.append(ObjectSummary(key, state, size, seal.rows if seal else None))
        return summaries

    def verify(self) -> Iterator[tuple[StageKey, list[str]]]:
        """Each sealed object with what is wrong with it (nothing, if sound): spec against name, files against seal."""
        for summary in self.ls():
            if summary.state == "sealed":
                yield summary.key, self._damage(summary.key)

    def _damage(self, key: StageKey) -> list[str]:
        folder, seal = self.folder(key), self.sealed(key)
        assert seal is not None  # noqa: S101 - the caller looked
        problems = []
        spec = folder / "spec.json"
        if hashlib.sha256(spec.read_bytes() if spec.exists() else b"").hexdigest() != key.digest:
            problems.append("spec.json does not have the digest that the folder is named by")
        for file in seal.files:
            path = folder / file.path
            if not path.exists():
                problems.append(f"{file.path} is missing")
            elif file_sha256(path) != file.sha256:
                problems.append(f"{file.path} is not what was sealed")
        return problems

    def garbage(self) -> list[ObjectSummary]:
        """Objects that no matrix of the store refers to, and that no process is making; never people's ratings."""
        used = {stage.key for run in self.matrices() for stage in run.plan.stages}
        free = (s for s in self.ls() if s.key not in used and s.state != "in progress")
        return [s for s in free if not (s.key.stage == "ask" and self._by_people(s.key))]

    def _by_people(self, key: StageKey) -> bool:
        spec = self.folder(key) / "spec.json"
        return spec.exists() and json.loads(spec.read_bytes()).get("backend") == PEOPLE

    def remove(self, key: StageKey) -> None:
        """Delete one object."""
        shutil.rmtree(self.folder(key))


class ObjectWriter:
    """The one holder of an unsealed object: append rows or fill folders, then seal."""

    def __init__(self, folder: Path, planned: PlannedStage, seal: Seal | None) -> None:
        """`seal`: already there, if another process finished the object while we waited for its lock."""
        self.folder = folder
        self.planned = planned
        self.seal = seal
        self._started = utc_now()
        if seal is None:
            with translated_disk_errors(folder):
                write_atomically(folder / "spec.json", canonical_json(planned.input))

    @property
    def weights(self) -> Path:
        """Folder for weights, emptied: a half-written one from a killed process is worth nothing."""
        return self._fresh("weights")

    @property
    def scratch(self) -> Path:
        """Folder for checkpoints of work in progress; survives a kill, goes with the seal."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        with translated_disk_errors(path):
            path.mkdir()
        return path

    def kept_rows(self, row_type: Any) -> list[Any]:
        """Whole rows left by an earlier, interrupted process; a torn last line is cut off the file."""
        path = self.folder / "rows.jsonl"
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as f:
                f.truncate(len(whole))
        return read_rows(path, row_type)

    def append(self, rows: Iterable[Record]) -> None:
        """Add rows and hand them to the operating system at once: a killed process loses none of them."""
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        with translated_disk_errors(self.folder), (self.folder / "rows.jsonl").open("a", encoding="utf-8") as f:
            f.write(text)

    def replace_rows(self, rows: Iterable[Record]) -> None:
        """Start the row file anew with these rows, each written as it comes."""
        with translated_disk_errors(self.folder):
            write_atomically(self.folder / "rows.jsonl", (row.model_dump_json() + "\n" for row in rows))

    def finish(self, *, device: str = "cpu", facts: Facts | None = None) -> Seal:
        """Seal the object: list every file with its sha256, then write seal.json in one step, last."""
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        rows = self.folder / "rows.jsonl"
        ended = utc_now()
        with translated_disk_errors(self.folder):
            self.seal = Seal(
                store_version=STORE_VERSION,
                key=self.planned.key,
                rows=_count_lines(rows) if rows.exists() else None,
                files=tuple(sealed_files(self.folder)),
                versions=dict(installed_versions()),
                device=device,
                started=self._started,
                ended=ended,
                seconds=(datetime.fromisoformat(ended) - datetime.fromisoformat(self._started)).total_seconds(),
                facts=facts,
            )
            write_atomically(self.folder / "seal.json", self.seal.model_dump_json(indent=1))
        return self.seal


# ---------------------------------------------------------------- files


def _count_lines(path: Path) -> int:
    with path.open("rb") as f:
        return sum(1 for _ in f)


def planned(stage_input: Any) -> PlannedStage:
    """A stage input with its address."""
    stage: StageName = stage_input.stage
    return PlannedStage(key=StageKey(stage=stage, digest=digest(stage_input)), input=stage_input)


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


def read_result(folder: Path) -> Result | None:
    """comparison.json of a matrix folder, or None."""
    try:
        return Result.model_validate_json((folder / "comparison.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_atomically(path: Path, text: str | Iterable[str]) -> None:
    """All of the text (or of its pieces) or none of it: a reader never sees half a file, whatever is killed when."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as f:
            f.writelines([text] if isinstance(text, str) else text)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
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


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the object's lock."""
    lock = FileLock(folder / "lock")
    if not (folder / "lock").exists():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def lock_owner(folder: Path) -> str:
    """`being made by process 123 on host, for 40 s`, as far as the owner's note tells."""
    try:
        note = json.loads((folder / "owner.json").read_text())
        age = datetime.now(UTC) - datetime.fromisoformat(note["since"])
        return f"being made by process {note['pid']} on {note['host']}, for {age.total_seconds():.0f} s"
    except (OSError, ValueError, KeyError):
        return "being made by another process"


DISK_HINTS = {
    errno.ENOSPC: ("the disk is full", "free some space (`harness store gc` removes unused objects) and run again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run again; finished work is kept"),
    errno.EROFS: ("the file system is read-only", "give another --store"),
    errno.EACCES: ("no permission to write here", "give another --store"),
    errno.ENOTDIR: ("not a folder", "give another --store"),
    errno.EEXIST: ("a file stands where a folder is needed", "give another --store"),
}


@contextlib.contextmanager
def translated_disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals into StoreErrors that say what to do."""
    try:
        yield
    except OSError as e:
        if e.errno not in DISK_HINTS:
            raise
        what, hint = DISK_HINTS[e.errno]
        raise StoreError(what, where=str(e.filename or where), hint=hint) from e


def utc_now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def installed_versions() -> tuple[tuple[str, str], ...]:
    """(distribution, version) of Python and of what decides results; packages that are not installed are left out."""
    found = [("python", platform.python_version())]
    for name in VERSIONS_OF:
        with contextlib.suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return tuple(found)
