"""What differs between two matrices, factor by factor, and matrices that take each factor from the one or the other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.gate.drift import NOT_THE_RECIPE, leaves_apart, spoken
from harness.gate.revision import Revision
from harness.spec.matrix import MatrixSpec
from harness.store import file_sha256
from harness.variants import idle_rules

DEPTH = "1/2/3/4"
"""A hybrid's folder lies so deep that names which climb out of it stay below the scratch folder."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that differs: a setting by its dotted place, or a file by its name."""

    place: str
    old: Any
    new: Any
    file: bool = False

    def __str__(self) -> str:
        return f"content of {self.place}" if self.file else f"{self.place}: {spoken(self.old)} → {spoken(self.new)}"


def factors(good: Revision, bad: Revision) -> list[Factor]:
    """In the order in which they come to bear: files, then settings of data, axes, training and generation."""
    names = dict.fromkeys((*named_files(good.spec), *named_files(bad.spec)))
    found = [
        Factor(name, a, b, file=True)
        for name in names
        if (a := content(good.folder / name)) != (b := content(bad.folder / name)) and a and b
    ]
    keys = {key for key in type(good.spec).model_fields if key not in NOT_THE_RECIPE}
    old, new = (each.spec.model_dump(mode="json", include=keys) for each in (good, bad))
    return found + [Factor(place, a, b) for place, a, b in leaves_apart(old, new)]


def named_files(spec: MatrixSpec) -> Iterator[str]:
    """Every name in a matrix that may be a file or folder beside it."""
    yield from filter(None, (spec.data.path, *(spec.data.parts.given().values() if spec.data.parts else ())))
    yield from (*spec.axes.model, *spec.axes.prompt_style)
    for each in spec.include:
        yield from filter(None, (each.model, each.prompt_style, each.imported and each.imported.file))
    for judge in spec.judges:
        yield from (judge.rubric, judge.model)


def content(path: Path) -> str:
    """sha256 of a file, or of the files of a folder; empty where there is nothing."""
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        return ""
    parts = (f"{each.relative_to(path)} {file_sha256(each)}\n" for each in sorted(path.rglob("*")) if each.is_file())
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def hybrid(good: Revision, bad: Revision, switched: Collection[Factor], scratch: Path, name: str) -> Path:
    """Write the good matrix with some factors as the bad one has them; gives the matrix file.

    Measures and judges are the good one's throughout: both sides are measured alike.
    """
    folder = scratch / "hybrids" / name / DEPTH
    folder.mkdir(parents=True)
    from_bad = {factor.place for factor in switched if factor.file}
    for file in dict.fromkeys((*named_files(good.spec), *named_files(bad.spec))):
        first, other = (bad.folder, good.folder) if file in from_bad else (good.folder, bad.folder)
        sources = (first, other, good.here, bad.here)
        source = next((source / file for source in sources if (source / file).exists()), None)
        target = Path(os.path.normpath(folder / file))
        if source is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())
    raw = good.spec.model_dump(mode="json", exclude_unset=True)
    for factor in switched:
        if not factor.file:
            _set(raw, factor.place.split("."), factor.new)
    matrix = folder / "matrix.yaml"
    raw["name"] = f"bisect-{name}"
    with suppress(ValidationError):  # its reader says what is wrong
        spec = MatrixSpec.model_validate(raw)
        if idle := idle_rules(spec):  # of the good side, about values of its own
            raw["exclude"] = [each for each, rule in zip(raw["exclude"], spec.exclude, strict=True) if rule not in idle]
    matrix.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return matrix


def _set(raw: dict[str, Any], place: list[str], value: Any) -> None:
    for key in place[:-1]:
        raw = raw.setdefault(key, {})
    if place[0] == "axes" and not value:  # this side does not vary it
        raw.pop(place[-1], None)
    else:
        raw[place[-1]] = value
