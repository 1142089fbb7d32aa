"""What `harness data audit` looks at: a matrix's data with its models and styles, or a data set on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from harness.data.dataset import Dataset, dataset, scan, whole
from harness.data.shapes import NO_KEY
from harness.data.source import sources
from harness.errors import DataError
from harness.prompts import PromptStyle, load_style
from harness.records.settings import AuditSettings, FieldMap, GenerateSettings, NewTokens, SplitSettings
from harness.spec.data import DataSpec
from harness.spec.reading import load_spec
from harness.variants import variants


@dataclass(frozen=True, slots=True)
class Examination:
    """`uncut`: the set is too small for the default split, and stands in train as a whole.

    `answering`: which model answers in which style, within `new_tokens`. `broken_forbid`: a run ends at broken rows.
    """

    data: Dataset
    settings: AuditSettings
    models: tuple[str, ...] = ()
    styles: tuple[PromptStyle, ...] = ()
    answering: tuple[tuple[str, PromptStyle], ...] = ()
    new_tokens: NewTokens = GenerateSettings().max_new_tokens
    max_length: int | None = None
    trust_remote_code: bool = False
    uncut: bool = False
    broken_forbid: bool = False


def examination(
    file: Path, fields: Sequence[str], model: str | None, style: str, max_length: int | None
) -> Examination:
    """Of a matrix file (.yaml, .yml), or of anything that `data.path` may say. Broken rows are left out and counted.

    Raises DataError, SpecError.
    """
    if is_matrix(file):
        return of_matrix(file)
    found = sources(DataSpec(path=str(file)), Path())
    known = field_map(fields)
    try:
        data, uncut = scan(found, known, SplitSettings(), drop_bad=True), False
    except DataError as e:  # of so few rows that a part is empty; any other comes again
        data, uncut = whole(found, known), True
        if data.bad_rows and not data.codes and NO_KEY in e.what:
            hint = (
                "give --fields names that the rows have"
                if fields
                else "name the fields: --fields instruction=NAME output=NAME"
            )
            raise DataError(e.what, hint=hint) from e
        if not data.codes:
            raise
    chosen = Examination(data, AuditSettings(), max_length=max_length, uncut=uncut)
    if model is None:
        return chosen
    loaded = load_style(style)
    return replace(chosen, models=(model,), styles=(loaded,), answering=((model, loaded),))


def is_matrix(file: Path) -> bool:
    """By its name; no data has such a one."""
    return file.suffix.lower() in (".yaml", ".yml")


def of_matrix(matrix: Path) -> Examination:
    """The data, models and styles of a matrix."""
    spec = load_spec(matrix)
    chosen = [each for each in variants(spec) if each.origin == "local"]
    places = {each.model: matrix.parent / each.model for each in chosen}
    models = {name: str(place.resolve()) if place.exists() else name for name, place in places.items()}
    styles = {name: load_style(name, matrix.parent) for name in dict.fromkeys(each.prompt_style for each in chosen)}
    pairs = dict.fromkeys((each.model, each.prompt_style) for each in chosen)
    lenient = spec.data.model_copy(update={"on_bad_rows": "drop"})
    return Examination(
        data=dataset(lenient, spec.split, matrix.parent, spec.axes.fold),
        settings=spec.audit,
        models=tuple(models.values()),
        styles=tuple(styles.values()),
        answering=tuple((models[model], styles[style]) for model, style in pairs),
        new_tokens=spec.generate.max_new_tokens,
        max_length=spec.train.max_length,
        trust_remote_code=spec.trust_remote_code,
        broken_forbid=spec.data.on_bad_rows == "fail",
    )


def field_map(pairs: Sequence[str]) -> FieldMap:
    """`instruction=prompt` and the like. Raises DataError."""
    known = ", ".join(FieldMap.model_fields)
    given = dict(pair.partition("=")[::2] for pair in pairs)
    if len(given) < len(pairs):
        raise DataError(f"--fields {' '.join(pairs)}: a field is named twice")
    if not all(given.values()) or not given.keys() <= FieldMap.model_fields.keys():
        raise DataError(f"--fields {' '.join(pairs)}: not FIELD=NAME", hint=f"FIELD is one of {known}")
    try:
        return FieldMap(**given)
    except ValidationError as e:
        raise DataError(f"--fields {' '.join(pairs)}: {e.errors()[0]['msg']}", hint=f"FIELD is one of {known}") from e
