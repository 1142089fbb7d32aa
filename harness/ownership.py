"""Do our top-level packages really come from this distribution? The names `judges`, `reports`, … exist on PyPI too."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("harness", "trainers", "judges", "reports", "leaderboard")
MARK = '__distribution__ = "sft-harness"'


@dataclass(frozen=True, slots=True)
class Foreign:
    """A package of one of our names that is not ours, or is missing. `path` is where Python would import it from."""

    package: str
    path: Path | None


def foreign_packages() -> list[Foreign]:
    """Which of our names Python would import from elsewhere. Reads files as text and imports nothing: quick."""
    found = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        path = Path(spec.origin) if spec and spec.origin else None
        if path is None or MARK not in path.read_text(encoding="utf-8", errors="replace"):
            found.append(Foreign(package, path))
    return found


def explain(foreign: Foreign) -> str:
    """What to tell the user: the distribution that owns the package, as far as installed metadata tells."""
    if foreign.path is None:
        return f"the package `{foreign.package}` is missing; reinstall: pip install --force-reinstall sft-harness"
    owners = sorted(owners_of(foreign.package) - {"sft-harness"})
    owner = f"distribution {' and '.join(owners)}" if owners else "something else"
    remedy = f"pip uninstall {' '.join(owners)}" if owners else f"remove {foreign.path.parent}"
    return (
        f"`import {foreign.package}` takes {foreign.path.parent}, which belongs to {owner}, not to sft-harness; "
        f"{remedy}, then pip install --force-reinstall --no-deps sft-harness, or use a fresh environment"
    )


def owners_of(package: str) -> set[str]:
    """Names of the installed distributions that provide a top-level package (slow: reads all metadata)."""
    from importlib.metadata import packages_distributions

    return set(packages_distributions().get(package, ()))
