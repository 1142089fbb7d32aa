"""The only module that knows paths: content-addressed objects, sealed last, locked while they are made.

runs/store.json                   the version of this layout
runs/objects/<stage>/<digest>/    spec.json · rows.jsonl or weights/ · seal.json; scratch/ while it is made
runs/matrices/<name>-<digest>/    matrix.yaml · plan.json · comparison.json · report.html · report.md
runs/index.jsonl                  append-only log of what was made when
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout
from pydantic import ValidationError

from harness.errors import StoreError
from harness.records.base import digest
from harness.records.inputs import StageKey, StageName
from harness.records.plan import Plan, PlannedStage
from harness.records.result import Result
from harness.records.seal import Seal
from harness.store.files import (
    STORE_VERSION,
    file_sha256,
    stream_rows,
    translated_disk_errors,
    write_atomically,
)
from harness.store.locks import is_locked, lock_owner
from harness.store.versions import utc_now
from harness.store.writer import ObjectWriter


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
    """One line of `harness store ls`. `state`: sealed, in progress (a process holds its lock), unfinished or
    damaged (its seal cannot be read).
    """

    key: StageKey
    state: str
    bytes: int
    rows: int | None


ROWS = "rows.jsonl"
PEOPLE = "human"
"""The backend of objects that hold people's ratings: nothing can make them again."""


class Store:
    """A folder of sealed objects. Reading never writes; the folder is made by the first writer."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist. Raises StoreError where it is a file, or a newer version of this program wrote it."""
        self.root = root
        with translated_disk_errors(root):
            if root.exists() and not root.is_dir():
                raise StoreError(
                    "a file stands where the store should be", where=str(root), hint="give another --store"
                )
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
            if not self.made:
                write_atomically(self.root / "store.json", json.dumps({"version": STORE_VERSION}) + "\n")

    @property
    def made(self) -> bool:
        """Whether a store lies there."""
        return (self.root / "store.json").exists()

    # ------------------------------------------------------------ objects

    def folder(self, key: StageKey) -> Path:
        """Where the object lies or will lie."""
        return self.root / "objects" / key.stage / key.digest

    def weights(self, key: StageKey) -> Path:
        """Folder of a base or train object's weights, in Hugging Face layout."""
        return self.folder(key) / "weights"

    def tokens(self, key: StageKey) -> Path:
        """Folder of a tokenised split's shards (trainers.token_shards)."""
        return self.folder(key) / "tokens"

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
        """The same, one row at a time. Raises StoreError where the file is longer or shorter than what was sealed."""
        seal, path = self.sealed(key), self.folder(key) / ROWS
        if seal is None:
            raise StoreError(f"{key.stage} object {key.digest[:12]} is not finished", hint="harness run continues it")
        if path.exists() and any(each.path == ROWS and each.bytes != path.stat().st_size for each in seal.files):
            raise _not_sealed(path)
        return stream_rows(path, row_type)

    def refuse_damaged(self, keys: Iterable[StageKey]) -> None:
        """Raises StoreError where the rows of a sealed object are not, byte for byte, what was sealed."""
        for key in keys:
            seal, path = self.sealed(key), self.folder(key) / ROWS
            for file in seal.files if seal else ():
                if file.path == ROWS and not (path.exists() and file_sha256(path) == file.sha256):
                    raise _not_sealed(path)

    @contextlib.contextmanager
    def making(self, planned: PlannedStage, *, announce: Any = None, label: str = "") -> Iterator[ObjectWriter]:
        """Hold the object's lock and yield its writer; another process's lock is waited for.

        `announce(text)` is called once when the wait begins, and says for whom: `label`, else the digest.
        After a wait the object may be sealed: see `writer.seal`.
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
                who = label or planned.key.digest[:12]
                announce(f"{planned.key.stage} {who} is {lock_owner(folder)}; waiting for it")
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

    def forget(self, name: str | None) -> None:
        """Remove a matrix, by its folder's name: what only it used is garbage from now on. Raises StoreError."""
        folders = {folder.name: folder for folder in self.matrix_folders()}
        if name not in folders:
            hint = f"there are: {', '.join(folders) or 'none yet'}"
            raise StoreError(f"no run {name!r}" if name else "which run?", where=str(self.root), hint=hint)
        shutil.rmtree(folders[name])

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
        run = self.planned_matrix(folder)
        return None if run is None else replace(run, result=read_result(folder))

    def planned_matrix(self, folder: Path) -> MatrixRun | None:
        """The same without its result, which of a large matrix takes long to read."""
        try:
            plan = Plan.model_validate_json((folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return MatrixRun(plan.matrix, plan.matrix_digest, folder, plan, None)

    def history(self, last: int | None = None) -> list[dict[str, str]]:
        """The last lines of index.jsonl (all, if not said), newest first.

        Each has time, matrix, variant, stage, digest, status, and the reason where it was not made.
        """
        path = self.root / "index.jsonl"
        if not path.exists():
            return []
        entries = []
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines if last is None else lines[-last:]:
            with contextlib.suppress(ValueError):  # a line that a killed process tore
                entries.append(json.loads(line))
        return entries[::-1]

    def troubles(self, keys: Collection[StageKey]) -> list[dict[str, str]]:
        """Lines of index.jsonl that say why these objects were not made when that was tried last."""
        wanted = {(key.stage, key.digest) for key in keys}
        newest: dict[Any, dict[str, str]] = {}
        for entry in self.history() if wanted else ():
            key = entry.get("stage"), entry.get("digest")
            if key in wanted:
                newest.setdefault(key, entry)
        return [entry for entry in newest.values() if entry.get("reason")]

    def log(self, matrix: str, variant: str, key: StageKey, status: str, reason: str = "") -> None:
        """Append one line to index.jsonl. `reason`: why it was not made."""
        entry = {"time": utc_now(), "matrix": matrix, "variant": variant, **key.model_dump(), "status": status}
        entry |= {"reason": reason} if reason else {}
        with translated_disk_errors(self.root), (self.root / "index.jsonl").open("a") as f:
            f.write(json.dumps(entry) + "\n")

    # ------------------------------------------------------------ housekeeping

    def ls(self) -> list[ObjectSummary]:
        """Every object, by stage and digest."""
        summaries = []
        for folder in sorted(self.root.glob("objects/*/*/")):
            stage: Any = folder.parent.name
            if stage not in get_args(StageName):
                continue  # nothing of ours
            key = StageKey(stage=stage, digest=folder.name)
            try:
                seal = self.sealed(key)
                state = "sealed" if seal else ("in progress" if is_locked(folder) else "unfinished")
            except StoreError:
                seal, state = None, "damaged"
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            summaries.append(ObjectSummary(key, state, size, seal.rows if seal else None))
        return summaries

    def verify(self) -> Iterator[tuple[StageKey, list[str]]]:
        """Each sealed object with what is wrong with it (nothing, if sound): spec against name, files against seal."""
        for summary in self.ls():
            if summary.state == "sealed":
                yield summary.key, self._damage(summary.key)
            elif summary.state == "damaged":
                yield summary.key, ["seal.json cannot be read"]

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
        """Objects that no matrix of the store refers to, and that no process is making; never people's ratings.

        Raises StoreError where a matrix's plan cannot be read.
        """
        used = self._used()
        free = (s for s in self.ls() if s.key not in used and s.state != "in progress")
        return [s for s in free if not self.by_people(s.key)]

    def collect(self) -> Iterator[ObjectSummary]:
        """Remove the garbage; plans and locks are looked at again before each object, since a run may have begun."""
        plans, used = self._plan_times(), set[StageKey]()
        for each in self.garbage():
            with contextlib.suppress(Timeout), FileLock(self.folder(each.key) / "lock", timeout=0):
                if (now := self._plan_times()) != plans:
                    plans, used = now, self._used()
                if each.key not in used:
                    self.remove(each.key)
                    yield each

    def _plan_times(self) -> dict[Path, int]:
        return {folder: (folder / "plan.json").stat().st_mtime_ns for folder in self.matrix_folders()}

    def _used(self) -> set[StageKey]:
        """What any matrix refers to. Raises StoreError for a plan that cannot be read: nobody knows what it needs."""
        found: set[StageKey] = set()
        for folder in self.matrix_folders():
            run = self.planned_matrix(folder)
            if run is None:
                raise StoreError(
                    "this plan cannot be read, so what it needs is not known, and nothing is removed",
                    where=str(folder / "plan.json"),
                    hint="another version of sft-harness may have written it: run gc with that one, run the matrix "
                    "again, or delete the folder if the matrix is no longer wanted",
                )
            found |= {stage.key for stage in run.plan.stages}
        return found

    def by_people(self, key: StageKey) -> bool:
        """Whether it holds people's ratings, as far as its spec can be read."""
        spec = self.folder(key) / "spec.json"
        if key.stage != "ask" or not spec.exists():
            return False
        try:
            return bool(json.loads(spec.read_bytes())["backend"] == PEOPLE)
        except (ValueError, KeyError, TypeError):
            return True  # nobody knows: what nothing can make again must not be lost

    def remove(self, key: StageKey) -> None:
        """Delete one object."""
        shutil.rmtree(self.folder(key))


def _not_sealed(path: Path) -> StoreError:
    return StoreError(
        f"{path.name} is not what was sealed",
        where=str(path.parent),
        hint="delete the folder and run the matrix again: it will be made again; `harness store verify` names others",
    )


def planned(stage_input: Any) -> PlannedStage:
    """A stage input with its address."""
    stage: StageName = stage_input.stage
    return PlannedStage(key=StageKey(stage=stage, digest=digest(stage_input)), input=stage_input)


def read_result(folder: Path) -> Result | None:
    """comparison.json of a matrix folder, or None."""
    try:
        return Result.model_validate_json((folder / "comparison.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
