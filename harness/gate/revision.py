"""Where one side of a bisection comes from: a run of the store, a matrix file, or a matrix file at a git revision."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.finished import find_run
from harness.spec.matrix import MatrixSpec
from harness.spec.reading import load_spec, parse_spec
from harness.store import Store


@dataclass(frozen=True, slots=True)
class Revision:
    """A matrix, and the folder that relative names in it start from.

    `here`: where a file is looked for that this folder lacks, since it is not under version control (a model).
    """

    name: str
    spec: MatrixSpec
    folder: Path
    here: Path = Path()


def revision(wanted: str, store: Store, folder: Path, scratch: Path) -> Revision:
    """`RUN`, `path/matrix.yaml`, or `REV:path/matrix.yaml`. `folder`: where a run's names start from.

    A git revision is unpacked below `scratch`. Raises HarnessError for one that is not there.
    """
    head, colon, path = wanted.partition(":")
    if colon and path.endswith((".yaml", ".yml")):
        root = scratch / "revisions" / head.replace("/", "-")
        top = unpacked(head, root)
        return Revision(wanted, load_spec(root / top / path), (root / top / path).parent, Path(path).parent)
    if wanted.endswith((".yaml", ".yml")):
        return Revision(wanted, load_spec(Path(wanted)), Path(wanted).parent)
    run = find_run(store, wanted)
    text = (run.folder / "matrix.yaml").read_text(encoding="utf-8")
    return Revision(wanted, parse_spec(text, str(run.folder / "matrix.yaml")), folder)


def unpacked(commit: str, root: Path) -> Path:
    """Unpack a commit of this folder's repository; gives this folder's place in it. Raises HarnessError."""
    prefix = Path(git("rev-parse", "--show-prefix").decode().strip())
    if commit.startswith("-"):
        raise HarnessError(f"{commit!r} is no git revision")
    top = Path(git("rev-parse", "--show-toplevel").decode().strip())
    archive = git("archive", "--format=tar", commit, folder=top)
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(root, filter="data")
    return prefix


def git(*arguments: str, folder: Path | None = None) -> bytes:
    """What git prints. Raises HarnessError where it fails, or is not installed."""
    git = shutil.which("git")
    if git is None:
        raise HarnessError("git is not installed", hint="bisect two runs of the store, or two matrix files")
    done = subprocess.run([git, *arguments], capture_output=True, check=False, cwd=folder)  # noqa: S603 - no shell
    if done.returncode:
        raise HarnessError(
            f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}",
            hint="revisions are written as REV:path/matrix.yaml, the path as seen from this folder",
        )
    return done.stdout
