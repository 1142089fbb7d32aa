"""What made an object, and when."""

from __future__ import annotations

import contextlib
import platform
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

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


def utc_now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def used_device() -> str:
    """The GPU's name, where this process has computed on one; else `cpu`. Asking does not set a GPU up."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_initialized() else "cpu"


@cache
def installed_versions() -> tuple[tuple[str, str], ...]:
    """(distribution, version) of Python and of what decides results; packages that are not installed are left out."""
    found = [("python", platform.python_version())]
    for name in VERSIONS_OF:
        with contextlib.suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return tuple(found)
