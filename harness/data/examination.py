"""What `harness data audit` looks at: a matrix's data with its models and styles, or a data set on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from harness.data.dataset import Dataset, dataset, scan, whole
from harness.data.source import sources
from harness.errors import DataError
from harness.prompts import PromptStyle, load_style
from harness.records.settings import AuditSettings, FieldMap, SplitSettings
from harness.spec.data import DataSpec
from harness.spec.reading import load_spec
from harness.variants import variants


@dataclass(frozen=True, slots=True)
class Examination:
    """`uncut`: the set is too small for the default split, and stands in train as a whole."""

    data: Dataset
    settings: AuditSettings
    models: tuple[str, ...] = ()
    styles: tuple[PromptStyle, ...] = ()
    max_length: int | None = None
    trust_remote_code: bool = False
    uncut: bool = False


def examination(
    file: Path, fields: Sequence[str], model: str | None, style: str, max_length: int | None
) -> Examination:
    """Of a matrix file (.yaml, .yml), or of anything that `data.path` may say. Broken rows are left out and counted.

    Raises DataError, SpecError.
    """
    if file.suffix.lower() in (".yaml", ".yml"):
        return of_matrix(file)
    found = sources(DataSpec(path=str(file)), Path())
    known = field_map(fields)
    try:
        data, uncut = scan(found, known, SplitSettings(), drop_bad=True), False
    except DataError as e:  # of so few rows that a part is empty; any other comes again
        data, uncut = whole(found, known), True
        if data.bad_rows and not data.codes:
            raise DataError(e.what, hint="name the fields: --fields instruction=NAME output=NAME") from e
        if not data.codes:
            raise
    chosen = Examination(data, AuditSettings(), max_length=max_length, uncut=uncut)
    return replace(chosen, models=(model,), styles=(load_style(style),)) if model else chosen


def of_matrix(matrix: Path) -> Examination:
    """The data, models and styles of a matrix."""
    spec = load_spec(matrix)
    chosen = [each for each in variants(spec) if each.origin == "local"]
    models = [(matrix.parent / name, name) for name in dict.fromkeys(each.model for each in chosen)]
    lenient = spec.data.model_copy(update={"on_bad_rows": "drop"})
    return Examination(
        data=dataset(lenient, spec.split, matrix.parent, spec.axes.fold),
        settings=spec.audit,
        models=tuple(str(beside.resolve()) if beside.exists() else name for beside, name in models),
        styles=tuple(load_style(name, matrix.parent) for name in dict.fromkeys(each.prompt_style for each in chosen)),
        max_length=spec.train.max_length,
        trust_remote_code=spec.trust_remote_code,
    )


def field_map(pairs: Sequence[str]) -> FieldMap:
    """`instruction=prompt` and the like. Raises DataError."""
    known = ", ".join(FieldMap.model_fields)
    given = dict(pair.partition("=")[::2] for pair in pairs)
    if not all(given.values()) or not given.keys() <= FieldMap.model_fields.keys():
        raise DataError(f"--fields {' '.join(pairs)}: not FIELD=NAME", hint=f"FIELD is one of {known}")
    try:
        return FieldMap(**given)
    except ValidationError as e:
        raise DataError(f"--fields {' '.join(pairs)}: {e.errors()[0]['msg']}", hint=f"FIELD is one of {known}") from e
