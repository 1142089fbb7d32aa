"""The commit that a factor came with."""

from __future__ import annotations

import hashlib
from functools import reduce
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.gate.hybrid import Factor
from harness.gate.revision import git
from harness.spec.reading import parse_spec


def introduced(factor: Factor, good: str, bad: str) -> str | None:
    """`1a2b3c4 Lower the learning rate`: since when, up to the bad side, the factor has been as it is there.

    None where the sides are no revisions of one matrix file, or the factor is a folder.
    """
    (old, _, path), (new, _, same) = good.partition(":"), bad.partition(":")
    if not path or path != same:
        return None
    found = None
    for commit in git("rev-list", f"{old}..{new}").decode().split():  # newest first
        if _at(commit, path, factor) != factor.new:
            break
        found = commit
    return git("log", "-1", "--format=%h %s", found).decode().strip() if found else None


def _at(commit: str, path: str, factor: Factor) -> Any:
    """The factor's value at a commit: a setting, or the sha256 of a file; None where there is none."""
    try:
        if factor.file:
            return hashlib.sha256(git("show", f"{commit}:./{Path(path).parent / factor.place}")).hexdigest()
        text = git("show", f"{commit}:./{path}").decode(errors="replace")
        settings: Any = parse_spec(text, path).model_dump(mode="json")
        return reduce(lambda inner, key: inner[key], factor.place.split("."), settings)
    except (HarnessError, KeyError, TypeError):
        return None
