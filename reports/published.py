"""A run as it may leave this machine: no folders and, where figures are all that leaves, no people and no servers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import TypeVar

from harness.records.base import Record
from harness.records.inputs import AskInput, ContestInput, ServedInput
from harness.records.people import PeopleReport
from harness.records.plan import Plan, PlannedStage
from harness.store import MatrixRun

RecordT = TypeVar("RecordT", bound=Record)
ADDRESSES = frozenset({"base_url", "host", "api_base"})
"""Options of a backend that say where its server is."""


def published(run: MatrixRun, *, texts: bool) -> MatrixRun:
    """The run with file names for paths; without texts also no rater's name, system text or server's address."""
    names = _file_names(run.plan)
    plan = _renamed(run.plan, names)
    result = _renamed(run.result, names) if run.result else None
    if not texts:
        plan = plan.model_copy(update={"stages": tuple(map(_closed, plan.stages))})
        if result is not None and result.people is not None:
            result = result.model_copy(update={"people": _nameless(result.people)})
    return replace(run, plan=plan, result=result)


def _file_names(plan: Plan) -> dict[str, str]:
    """Path -> its last part, of rubrics, judges and models; one that another has, too, gets a number."""
    judges = [text for judge in plan.judges for text in (judge.rubric, judge.model)]
    named = dict.fromkeys((*judges, *(each.variant.model for each in plan.variants)))
    last = {path: re.split(r"[/\\]", path.rstrip("/\\"))[-1] for path in named if _is_path(path)}
    found = {text: text for text in named if last.get(text, text) == text}
    for path, name in last.items():
        free = name
        while path not in found and free in found.values():
            free += "-2"
        found.setdefault(path, free)
    return {path: found[path] for path in last}


def _is_path(text: str) -> bool:
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    return absolute or text.startswith(("~", "./", "../")) or text.endswith((".gguf", ".yaml", ".yml"))


def _renamed(record: RecordT, names: Mapping[str, str]) -> RecordT:
    """Wherever a path stands: cells and signatures are made of them."""
    quoted = {_quoted(path): _quoted(names[path]) for path in sorted(names, key=len, reverse=True)}
    if not quoted:
        return record
    any_path = re.compile("|".join(map(re.escape, quoted)))
    return type(record).model_validate_json(any_path.sub(lambda path: quoted[path[0]], record.model_dump_json()))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _closed(stage: PlannedStage) -> PlannedStage:
    """Without what a served model is told beforehand, and without servers' addresses."""
    told = stage.input
    if not isinstance(told, ServedInput | AskInput | ContestInput):
        return stage
    options = {name: value for name, value in told.options.items() if name not in ADDRESSES}
    identity = re.sub(r"@\w+://.*", "", told.model_identity)
    update: dict[str, object] = {"options": options, "model_identity": identity}
    if isinstance(told, ServedInput):
        update["system"] = ""
    return stage.model_copy(update={"input": told.model_copy(update=update)})


def _nameless(people: PeopleReport) -> PeopleReport:
    """Raters by number."""
    raters = dict.fromkeys(
        name for each in people.agreement for name in ((each.a,) if each.judge else (each.a, each.b))
    )
    number = {name: f"rater {place}" for place, name in enumerate(raters, start=1)}
    agreement = tuple(
        each.model_copy(update={"a": number[each.a], "b": each.b if each.judge else number[each.b]})
        for each in people.agreement
    )
    return people.model_copy(update={"agreement": agreement})
