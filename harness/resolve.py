"""What a matrix's names mean here and now: data file, weights, styles, metrics, judges, each by its content."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.data.dataset import Dataset, dataset
from harness.errors import DataError, HarnessError, MissingExtra, SpecError
from harness.estimate import CHARACTERS_A_TOKEN
from harness.metrics.base import Recipe, References
from harness.metrics.language import AUTO, main_language
from harness.metrics.registry import BUILT_IN, load_metric
from harness.prompts import PromptStyle, load_style, refuse_another_style
from harness.records.data import Example
from harness.records.inputs import BaseInput
from harness.records.variant import Variant
from harness.resolved import Resolved, ResolvedImport, ResolvedJudge, ResolvedMetric, ResolvedModel, ResolvedServed
from harness.spec.elsewhere import ImportedSpec, ServedSpec
from harness.spec.judges import JudgeSpec
from harness.spec.matrix import MatrixSpec
from harness.variants import variants

MEASURED = 100
"""Test items whose questions are measured, for the estimate."""

COMPILERS = ("g++", "clang++", "c++", "cl")
LANGUAGE_ROWS = 20_000
"""Entries by which the language of a data set is told."""
BILLION, MILLION = 1e9, 1e6
PARAMETERS = {"gpt2": 124e6, "gpt2-medium": 355e6, "gpt2-large": 774e6, "gpt2-xl": 1558e6}


def resolve(spec: MatrixSpec, matrix: Path) -> Resolved:
    """Look everything up; imports neither torch nor any SDK.

    Raises SpecError that carries all that could not be found, each with what to do.
    """
    problems: list[str] = []
    data: Dataset | None = None
    try:
        data = dataset(spec.data, spec.split, matrix.parent, spec.axes.fold)
    except HarnessError as e:
        problems.append(_located(e, matrix, "data" if not isinstance(e, DataError) or not e.where else ""))
    chosen = [each for each in variants(spec) if each.origin == "local"]
    models = {}
    for name in dict.fromkeys(each.model for each in chosen):
        try:
            models[name] = resolve_model(name, spec, matrix)
        except HarnessError as e:
            problems.append(_located(e, matrix, "axes.model"))
    styles: dict[str, PromptStyle] = {}
    for name in dict.fromkeys(each.prompt_style for each in chosen):
        try:
            styles[name] = load_style(name, matrix.parent)
        except HarnessError as e:
            problems.append(str(e) if isinstance(e, SpecError) else _located(e, matrix, "axes.prompt_style"))
    if not spec.generate.force_style:
        problems += [_located(e, matrix, "axes") for e in _misfits(chosen, models, styles)]
    tests = [row.example for row in itertools.islice(data or (), LANGUAGE_ROWS) if row.split == "test"][:MEASURED]
    judges = []
    for index, judge in enumerate(spec.judges):
        try:
            judges.append(resolve_judge(judge, matrix, tests))
        except HarnessError as e:
            problems.append(_located(e, matrix, f"judges[{index}]"))
    served, imported = resolve_included(spec, data, matrix, problems)
    problems += [_located(e, matrix, "compare.clusters") for e in _unclustered(spec.compare.clusters, data)]
    problems += [_located(e, matrix, "train") for e in _untrainable(spec, chosen, data)]
    problems += [_located(e, matrix, place) for place, e in _missing_packages(spec)]
    metrics = resolve_metrics(spec, known_references(spec, data), matrix, problems)
    if problems or data is None:
        raise SpecError(problems, unreachable=all(isinstance(each, Unanswered) for each in problems))
    return Resolved(
        data=data,
        language=None if spec.language == AUTO else spec.language,
        models=models,
        styles=styles,
        metrics=metrics,
        judges=tuple(judges),
        served=served,
        imported=imported,
    )


def known_references(spec: MatrixSpec, data: Dataset | None) -> References:
    """What the matrix and the first entries say of the reference answers."""
    first = [row.example for row in itertools.islice(data or (), LANGUAGE_ROWS)]
    given = spec.language != AUTO
    language = spec.language if given else main_language(example.output for example in first)
    return References(language, given, several=any(example.alternatives for example in first))


def resolve_metrics(
    spec: MatrixSpec, references: References, matrix: Path, problems: list[str]
) -> dict[str, ResolvedMetric]:
    """The metrics by column; what is wrong with one is added to the problems."""
    metrics = {}
    for index, metric in enumerate(spec.metrics):
        try:
            options = dict(metric.options)
            if metric.metric in BUILT_IN and isinstance(model := options.get("model"), str):
                options["model"] = beside(model, matrix)
            made = load_metric(metric.metric, references, options)
            metrics[metric.column] = ResolvedMetric(made, Recipe(metric.metric, references, options))
        except HarnessError as e:
            problems.append(_located(e, matrix, f"metrics[{index}]"))
    return metrics


class Unanswered(str):
    """A problem of a server or a network that did not answer, not of the matrix."""

    __slots__ = ()


def _located(error: HarnessError, matrix: Path, place: str) -> str:
    text = f"{matrix}: {place}: {error}" if place else str(error)
    return Unanswered(text) if error.unreachable else text


def _misfits(
    chosen: list[Variant], models: dict[str, ResolvedModel], styles: dict[str, PromptStyle]
) -> Iterator[HarnessError]:
    """A refusal for each untuned variant whose model is a checkpoint of another prompt style."""
    for each in chosen:
        model, style = models.get(each.model), styles.get(each.prompt_style)
        if each.method == "none" and model is not None and style is not None and model.input.kind == "folder":
            try:
                refuse_another_style(Path(model.name), style)
            except HarnessError as e:
                yield e


def _untrainable(spec: MatrixSpec, chosen: list[Variant], data: Dataset | None) -> Iterator[HarnessError]:
    """What the first training would find to be missing, hours later perhaps."""
    if all(each.method == "none" for each in chosen):
        return
    train = spec.train
    asked = {"evaluate_every": train.evaluate_every, "early_stopping": train.early_stopping}
    wants = [name for name, value in asked.items() if value is not None] + ["keep: best"] * (train.keep == "best")
    if wants and data is not None and not data.count("validation"):
        yield HarnessError(
            f"{' and '.join(wants)}: there are no validation rows to look at",
            hint=f"give `{'data.parts' if spec.data.parts else 'split'}.validation` some, or leave this out",
        )
    if train.precision == "bf16-pure" and not _installed("optimi"):
        yield MissingExtra("precision bf16-pure (torch-optimi)", "gpu")
    if any(each.method == "qlora" for each in chosen) and not _installed("bitsandbytes", "accelerate"):
        yield MissingExtra("method qlora (bitsandbytes and accelerate)", "gpu")
    if train.optimizer == "adamw-8bit" and not _installed("bitsandbytes"):
        yield MissingExtra("optimizer adamw-8bit (bitsandbytes)", "gpu")
    if train.compile and not any(map(shutil.which, COMPILERS)):
        yield HarnessError(
            "compile: true needs a C++ compiler, and there is none",
            hint="install one (Debian: apt-get install g++), or leave it out",
        )
    if train.sharding == "fsdp" and any(each.method == "qlora" for each in chosen):
        yield HarnessError(
            "sharding: fsdp splits floating-point weights, not those of method qlora",
            hint="leave sharding out (each device then holds the 4-bit weights), or use method lora",
        )


def _unclustered(field: str | None, data: Dataset | None) -> Iterator[HarnessError]:
    """A refusal of a field that no test example has, which comparing would find out last."""
    if field is None or data is None:
        return
    known: set[str] = set()
    for row in data:
        if row.split == "test":
            if field in row.example.meta:
                return
            known.update(row.example.meta)
    fields = ", ".join(sorted(known)) or "none besides the texts"
    yield HarnessError(f"no test example has the field {field!r}", hint=f"fields: {fields}")


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def _missing_packages(spec: MatrixSpec) -> Iterator[tuple[str, HarnessError]]:
    """(place in the matrix, what is not installed)."""
    from trainers.trackers import require_tracker

    if spec.generate.engine == "vllm" and importlib.util.find_spec("vllm") is None:
        yield "generate.engine", MissingExtra("engine vllm", "vllm")
    for name in spec.track:
        try:
            require_tracker(name)
        except HarnessError as e:
            yield "track", e


def resolve_model(name: str, spec: MatrixSpec, matrix: Path) -> ResolvedModel:
    """A base model's identity. A folder or GGUF file is taken relative to the matrix file."""
    from trainers.models import locate

    place = beside(name, matrix)
    found = locate(place, trust_remote_code=spec.trust_remote_code)
    stage_input = BaseInput(kind=found.kind, identity=found.identity, trust_remote_code=found.trust_remote_code)
    return ResolvedModel(place, stage_input, guessed_parameters(name), found.licence)


def beside(name: str, matrix: Path) -> str:
    """The full path of what stands beside the matrix file; any other name as it is."""
    place = matrix.parent / name
    return str(place.absolute()) if place.exists() else name


def resolve_included(
    spec: MatrixSpec, data: Dataset | None, matrix: Path, problems: list[str]
) -> tuple[dict[str, ResolvedServed], dict[str, ResolvedImport]]:
    """(served, imported) by their variants' models; what could not be found is added to `problems`."""
    from harness.generators.served import refuse_conversation

    served, imported = {}, {}
    for index, extra in enumerate(spec.include):
        try:
            if extra.served is not None:
                served[extra.served.variant.model] = resolve_served(extra.served, spec)
                for row in data or ():
                    if row.split == "test":
                        refuse_conversation(row.example)
            if extra.imported is not None and data is not None:
                imported[extra.imported.variant.model] = resolve_import(extra.imported, data, matrix)
        except HarnessError as e:
            problems.append(_located(e, matrix, f"include[{index}]"))
    return served, imported


def resolve_served(served: ServedSpec, spec: MatrixSpec) -> ResolvedServed:
    """A served model's identity, as far as its server tells. Raises JudgeError; SpecError for settings it ignores."""
    from judges.base import deciding_options, identity
    from judges.budget import listed_price

    fields = type(spec.generate).model_fields
    ignored = [
        name
        for name in ("top_p", "top_k", "repetition_penalty")
        if getattr(spec.generate, name) != fields[name].default
    ]
    if ignored:
        raise SpecError(
            [f"served models are not given {', '.join(ignored)}"],
            hint="served models take max_new_tokens, temperature, samples and seed; leave the others out of `generate`",
        )
    return ResolvedServed(
        spec=served,
        model_identity=identity(served.backend, served.model, served.options),
        options=deciding_options(served.backend, served.options),
        price=served.price or listed_price(served.backend, served.model, served.options),
    )


def resolve_import(imported: ImportedSpec, data: Dataset, matrix: Path) -> ResolvedImport:
    """A file's content, and whether it answers the test items. Raises DataError before anything is trained."""
    from harness.generators.imported import align, read_responses
    from harness.gguf import file_sha256

    path = matrix.parent / imported.file
    tests = [row.example for row in data if row.split == "test"]
    aligned = align(read_responses(path, imported.field), tests, path, imported.missing)
    samples = min(Counter(row.example_id for row in aligned.rows).values())
    return ResolvedImport(imported, path, file_sha256(path), len(aligned.missing), samples)


def guessed_parameters(name: str) -> float:
    """Number of parameters by the model's name (`135m`, `1.5B`); 100 million where the name does not tell."""
    size = re.search(r"(\d+(?:\.\d+)?)([mb])(?![a-z])", name.lower())
    if size:
        return float(size[1]) * (BILLION if size[2] == "b" else MILLION)
    return PARAMETERS.get(name, 100 * MILLION)


def resolve_judge(judge: JudgeSpec, matrix: Path, tests: Sequence[Example]) -> ResolvedJudge:
    """A judge's identity by content: model, rubric text, parser; and the size of its questions about the tests."""
    from judges.base import deciding_options, identity
    from judges.budget import listed_price
    from judges.questions import longest_reply
    from judges.rubric import load_rubric

    name = rubric_name(judge.rubric, matrix)
    model = judge_model(judge, matrix)
    rubric = load_rubric(name)
    pairwise = rubric.mode == "pairwise"
    questions = [
        rubric.pair_message(each, each.output, each.output) if pairwise else rubric.user_message(each, each.output)
        for each in tests
    ]
    characters = len(rubric.system) + sum(map(len, questions)) / max(1, len(questions))
    return ResolvedJudge(
        spec=judge,
        model=model,
        rubric=name,
        model_identity=identity(judge.backend, model, judge.options),
        prompt_sha256=rubric.prompt_sha256,
        parser_sha256=rubric.parser_sha256,
        options=deciding_options(judge.backend, judge.options),
        pairwise=pairwise,
        scale=(rubric.scale.low, rubric.scale.high),
        prompt_tokens=characters / CHARACTERS_A_TOKEN,
        reply_tokens=longest_reply(rubric, judge.options) / 2,
        price=judge.price or listed_price(judge.backend, judge.model, judge.options),
    )


def judge_model(judge: JudgeSpec, matrix: Path) -> str:
    """A folder or GGUF file is taken relative to the matrix file; a name that a package or server knows stays."""
    gguf = judge.backend == "llamacpp" and judge.model.endswith(".gguf")
    return beside(judge.model, matrix) if gguf or judge.backend == "transformers" else judge.model


def rubric_name(rubric: str, matrix: Path) -> str:
    """A rubric file is taken relative to the matrix file; a built-in name stays as it is."""
    place = matrix.parent / rubric
    return str(place) if place.is_file() else rubric
