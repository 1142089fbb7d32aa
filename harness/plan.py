"""expand(MatrixSpec, Resolved) -> Plan: variants, stages in order, digests, and an estimate of time and calls. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.data.dataset import Dataset
from harness.errors import SpecError
from harness.metrics.base import Language
from harness.prompts import STYLES, PromptStyle, render
from harness.records.base import canonical_json
from harness.records.inputs import (
    AskInput,
    AuditInput,
    BaseInput,
    DataInput,
    Dropping,
    GenerateInput,
    JudgeInput,
    ProbeInput,
    ScoreInput,
    StageKey,
    TrainInput,
)
from harness.records.plan import JudgePlan, Plan, PlannedStage, VariantPlan
from harness.records.settings import Price
from harness.records.variant import Variant
from harness.spec import AXES, Assignment, JudgeSpec, MatrixSpec
from harness.store import planned

COMPARE_VERSION = 1
"""Raised when the same records would give another comparison or another report."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A base model by content. `name` finds its weights on this machine; `parameters` is rough, for estimates only.

    `licence`: where the program knows it (packaged models).
    """

    name: str
    input: BaseInput
    parameters: float
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedJudge:
    """A judge by content: model identity, what it is asked, how its replies are read.

    `options`: those that decide replies. `prompt_tokens`, `reply_tokens`: of one question, roughly; `price` of a
    million of them, None where it is not known.
    """

    spec: JudgeSpec
    rubric: str
    """Built-in name, or path of the rubric's file."""
    model_identity: str
    prompt_sha256: str
    parser_sha256: str
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    pairwise: bool = False
    scale: tuple[int, int] = (0, 1)
    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that a matrix's names mean, here and now."""

    data: Dataset
    language: Language
    """Of the reference answers: decides the tokenizers of metrics."""
    models: dict[str, ResolvedModel]
    styles: dict[str, PromptStyle]
    metric_signatures: dict[str, str]
    judges: tuple[ResolvedJudge, ...]


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge's stages that do not depend on any variant."""

    plan: JudgePlan
    resolved: ResolvedJudge
    stages: tuple[PlannedStage, PlannedStage, PlannedStage]


def variants(spec: MatrixSpec) -> list[Variant]:
    """The product of the axes, with include and exclude; untuned combinations that coincide are one variant.

    Raises SpecError where nothing is left.
    """
    found = dict.fromkeys(
        variant(values)
        for combination in [*product(spec, None), *itertools.chain(*(product(spec, extra) for extra in spec.include))]
        if not any(matches(combination, rule) for rule in spec.exclude)
        for values in [combination]
    )
    if not found:
        raise SpecError([f"matrix {spec.name!r}: `exclude` leaves no variant"], hint="loosen or remove an exclude rule")
    return list(found)


def product(spec: MatrixSpec, fixed: Assignment | None) -> Iterator[dict[str, Any]]:
    """Every combination of axis values, with the fixed ones fixed."""
    choices = []
    for axis in AXES:
        given = None if fixed is None else getattr(fixed, axis)
        choices.append(getattr(spec.axes, axis) if given is None else (given,))
    return (dict(zip(AXES, values, strict=True)) for values in itertools.product(*choices))


def matches(combination: dict[str, Any], rule: Assignment) -> bool:
    """Whether every value that the rule names is the combination's."""
    return all(getattr(rule, axis) in (None, value) for axis, value in combination.items())


def variant(values: dict[str, Any]) -> Variant:
    """A variant; training choices of an untuned model mean nothing and are dropped, as is a weight of no tokens."""
    if values["method"] == "none":
        values = values | {"masking": None, "seed": None}
    if values["masking"] in (None, "none"):
        values = values | {"prompt_loss_weight": 0.0}
    return Variant(**values)


def baseline_cell(spec: MatrixSpec) -> str | None:
    """Name of the cell that `compare.baseline` means. Raises SpecError if not exactly one matches."""
    wanted = spec.compare.baseline
    if wanted is None:
        return None
    cells = dict.fromkeys(each.cell for each in variants(spec))
    given = {axis: value for axis, value in wanted.model_dump().items() if value is not None and axis != "seed"}
    found = [cell.name for cell in cells if all(getattr(cell, axis) == value for axis, value in given.items())]
    if len(found) != 1:
        raise SpecError(
            [f"compare.baseline: {len(found)} cells match {given}"],
            hint="name enough axes to mean exactly one of: " + ", ".join(cell.name for cell in cells),
        )
    return found[0]


def opponent(spec: MatrixSpec) -> Variant:
    """Whom pairwise judges compare every variant with: the baseline, else the first untuned variant, else the first."""
    name = baseline_cell(spec)
    every = variants(spec)
    first = next((each for each in every if each.method == "none"), every[0])
    wanted = first.cell.name if name is None else name
    return next(each for each in every if each.cell.name == wanted)


def expand(spec: MatrixSpec, resolved: Resolved) -> Plan:
    """The whole plan; every stage comes after its inputs. Raises SpecError for a baseline that is no cell."""
    baseline_cell(spec)
    same_scales(spec, resolved)
    data = planned(data_input(spec, resolved.data))
    bases = {name: planned(model.input) for name, model in resolved.models.items()}
    audit = planned(audit_input(spec, resolved, data.key, [base.key for base in bases.values()]))
    judges = [judging(judge, data.key) for judge in resolved.judges]
    rival = opponent(spec)
    _, against = planned_generation(spec, resolved, rival, data.key, bases[rival.model].key)
    work: list[PlannedStage] = [data, *bases.values(), audit]
    asking = {judge.plan.name: list(judge.stages) for judge in judges}  # judge by judge: each is loaded once
    variant_plans = []
    for each in variants(spec):
        own, asked, variant_plan = variant_stages(
            spec, resolved, each, data.key, bases[each.model].key, judges, against.key
        )
        work += own
        for name, stages_of_judge in asked.items():
            asking[name] += stages_of_judge
        variant_plans.append(variant_plan)
    in_order = [*work, *itertools.chain(*asking.values())]
    stages = tuple({stage.key: stage for stage in in_order}.values())
    return Plan(
        matrix=spec.name,
        matrix_digest=matrix_digest(spec, stages),
        data=data.key,
        audit=audit.key,
        stages=stages,
        variants=tuple(variant_plans),
        judges=tuple(judge.plan for judge in judges),
    )


def matrix_digest(spec: MatrixSpec, stages: tuple[PlannedStage, ...]) -> str:
    """Identity of the whole: what was asked, and the content of everything that it resolved to."""
    parts = [canonical_json(spec), str(COMPARE_VERSION), *(stage.key.digest for stage in stages)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def data_input(spec: MatrixSpec, data: Dataset) -> DataInput:
    """Everything that decides the rows of the split. Findings that are only reported decide nothing."""
    kinds = tuple(kind for kind, action in spec.audit.actions().items() if action == "drop")
    near = bool({"near_repeats", "near_leaks"} & set(kinds))
    return DataInput(
        sources=tuple(source.input for source in data.sources),
        fields=data.fields,
        bad_rows=data.bad_rows,
        split=data.split,
        dropping=Dropping(kinds=kinds, similarity=spec.audit.similarity if near else None) if kinds else None,
    )


def audit_input(spec: MatrixSpec, resolved: Resolved, data: StageKey, bases: list[StageKey]) -> AuditInput:
    """Everything that decides what the audit finds and whether it lets the run go on."""
    return AuditInput(
        data=data.digest,
        settings=spec.audit,
        bases=tuple(base.digest for base in bases),
        styles_sha256=tuple(style.sha256 for style in resolved.styles.values()),
        max_length=spec.train.max_length,
    )


def same_scales(spec: MatrixSpec, resolved: Resolved) -> None:
    """Raises SpecError where the judges of a panel score on different scales."""
    scales = {judge.spec.column: judge.scale for judge in resolved.judges}
    for index, panel in enumerate(spec.panels):
        found = {scales[name] for name in panel.judges}
        if len(found) > 1:
            spoken = ", ".join(f"{name} {scales[name][0]}–{scales[name][1]}" for name in panel.judges)
            raise SpecError([f"panels[{index}]: the judges of a panel need one scale: {spoken}"])


def planned_generation(
    spec: MatrixSpec, resolved: Resolved, each: Variant, data: StageKey, base: StageKey
) -> tuple[PlannedStage | None, PlannedStage]:
    """The train (None for the untuned model) and generate stages of a variant."""
    style = resolved.styles[each.prompt_style].sha256
    train = planned_training(spec, each, data, base, style)
    generate = planned(
        GenerateInput(
            weights=(train.key if train else base).digest,
            base=base.digest,
            data=data.digest,
            style_sha256=style,
            settings=spec.generate,
        )
    )
    return train, generate


def variant_stages(  # noqa: PLR0913 - one variant needs its whole surroundings
    spec: MatrixSpec,
    resolved: Resolved,
    each: Variant,
    data: StageKey,
    base: StageKey,
    judges: list[Judging],
    against: StageKey,
) -> tuple[list[PlannedStage], dict[str, list[PlannedStage]], VariantPlan]:
    """(train, generate, scores), (ask, judgment) by judge, and the variant's plan."""
    train, generate = planned_generation(spec, resolved, each, data, base)
    scores = {
        metric: planned(
            ScoreInput(generations=generate.key.digest, data=data.digest, metric=metric, signature=signature)
        )
        for metric, signature in resolved.metric_signatures.items()
    }
    asks = {judge.plan.name: planned(ask_input(judge.resolved, generate.key, data, against.digest)) for judge in judges}
    judgments = {judge.plan.name: planned(judge_input(judge.resolved, asks[judge.plan.name].key)) for judge in judges}
    plan = VariantPlan(
        variant=each,
        base=base,
        train=train.key if train else None,
        generate=generate.key,
        scores={name: stage.key for name, stage in scores.items()},
        asks={name: stage.key for name, stage in asks.items()},
        judgments={name: stage.key for name, stage in judgments.items()},
    )
    own = [*([train] if train else []), generate, *scores.values()]
    return own, {name: [asks[name], judgments[name]] for name in asks}, plan


def planned_training(
    spec: MatrixSpec, each: Variant, data: StageKey, base: StageKey, style: str
) -> PlannedStage | None:
    """The train stage of a variant; None for the untuned model. LoRA settings decide nothing of a full training."""
    if each.method == "none" or each.masking is None or each.seed is None:
        return None
    settings = spec.train.settings
    if each.method == "full":
        settings = settings.model_copy(update={"lora": type(settings.lora)()})
    return planned(
        TrainInput(
            base=base.digest,
            data=data.digest,
            style_sha256=style,
            masking=each.masking,
            prompt_loss_weight=each.prompt_loss_weight,
            method=each.method,
            settings=settings,
            seed=each.seed,
        )
    )


def judging(judge: ResolvedJudge, data: StageKey) -> Judging:
    """A judge's probe stages: answers of known worth, asked and read like any others."""
    probe = planned(ProbeInput(data=data.digest, items=min(judge.spec.items or MOST_PROBED, MOST_PROBED)))
    ask = planned(ask_input(judge, probe.key, data, "reference").model_copy(update={"items": None}))
    read = planned(judge_input(judge, ask.key))
    plan = JudgePlan(
        name=judge.spec.column,
        backend=judge.spec.backend,
        model=judge.spec.model,
        rubric=judge.rubric,
        probe=probe.key,
        probe_ask=ask.key,
        probe_judge=read.key,
    )
    return Judging(plan, judge, (probe, ask, read))


def ask_input(judge: ResolvedJudge, generations: StageKey, data: StageKey, against: str) -> AskInput:
    """Everything that decides the judge's replies to these generations; `against` is for pairwise rubrics only."""
    return AskInput(
        generations=generations.digest,
        data=data.digest,
        backend=judge.spec.backend,
        model_identity=judge.model_identity,
        prompt_sha256=judge.prompt_sha256,
        options=judge.options,
        items=judge.spec.items,
        repeats=judge.spec.repeats,
        against=against if judge.pairwise else None,
    )


def judge_input(judge: ResolvedJudge, replies: StageKey) -> JudgeInput:
    """Replies and the parser that reads them."""
    return JudgeInput(
        replies=replies.digest, parser_sha256=judge.parser_sha256, expected_score=judge.spec.expected_score
    )


# ---------------------------------------------------------------- estimate


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rough cost of the stages that are not sealed: seconds by stage on about 2 CPU cores, and the judges' bills."""

    seconds: dict[str, float]
    judges: tuple[JudgeEstimate, ...] = ()

    @property
    def judge_calls(self) -> int:
        """Calls to all judges."""
        return sum(judge.calls for judge in self.judges)


@dataclass(frozen=True, slots=True)
class JudgeEstimate:
    """What is left to ask one judge. `cost`: US dollars; None: no price is known."""

    name: str
    calls: int
    prompt_tokens: int
    reply_tokens: int
    cost: float | None


FLOPS = 1e11
"""Assumed floating-point operations a second of two CPU cores in fp32; a GPU is far faster."""
CALL_SECONDS = 0.6
PROBES_AN_ITEM = 8
MOST_PROBED = 50
"""Items whose answers are made into probes: enough for intervals of ±0.1 about an AUC."""
CHARACTERS_A_TOKEN = 4.0


def estimate(spec: MatrixSpec, plan: Plan, resolved: Resolved, missing: set[StageKey]) -> Estimate:
    """Time from floating-point operations: 6 a parameter and token for full training, 4 for LoRA, 2 for decoding."""
    seconds: dict[str, float] = {}
    n_train, n_test = resolved.data.count("train"), resolved.data.count("test")
    tokens = mean_tokens(resolved)
    for each in plan.variants:
        parameters = resolved.models[each.variant.model].parameters
        if each.train in missing:
            rows = min(spec.train.epochs * n_train, (spec.train.max_steps or 10**9) * spec.train.batch_size)
            cost = (6 if each.variant.method == "full" else 4) * parameters * rows * tokens / FLOPS
            seconds["train"] = seconds.get("train", 0) + cost
        if each.generate in missing:
            decoded = n_test * spec.generate.max_new_tokens * 0.7
            seconds["generate"] = seconds.get("generate", 0) + 2 * parameters * (decoded + n_test * tokens) / FLOPS
    judges = tuple(judge_estimate(judge, plan, n_test, missing) for judge in resolved.judges)
    calls = sum(judge.calls for judge in judges)
    if calls:
        seconds["judge"] = calls * CALL_SECONDS
    return Estimate(seconds, judges)


def judge_estimate(judge: ResolvedJudge, plan: Plan, n_test: int, missing: set[StageKey]) -> JudgeEstimate:
    """What is left to ask one judge, retries left out."""
    name = judge.spec.column
    turns = judge.spec.repeats * (2 if judge.pairwise else 1)
    items = min(judge.spec.items or n_test, n_test)
    variants_left = {v.asks[name] for v in plan.variants} & missing
    probes_left = sum(p.probe_ask in missing for p in plan.judges if p.name == name)
    calls = turns * (items * len(variants_left) + PROBES_AN_ITEM * min(items, MOST_PROBED) * probes_left)
    prompt, reply = round(calls * judge.prompt_tokens), round(calls * judge.reply_tokens)
    cost = None if judge.price is None else (judge.price.input * prompt + judge.price.output * reply) / 1e6
    return JudgeEstimate(name, calls, prompt, reply, cost)


def mean_tokens(resolved: Resolved) -> float:
    """Mean tokens of a training row over the styles, from its characters."""
    rows = list(itertools.islice((row.example for row in resolved.data if row.split == "train"), 200))
    written = [STYLES["chatml"] if style.kind == "chat-template" else style for style in resolved.styles.values()]
    lengths = [sum(len(segment.text) for segment in render(style, row)) for style in written for row in rows]
    return sum(lengths) / max(1, len(lengths)) / CHARACTERS_A_TOKEN
