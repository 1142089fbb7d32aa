"""expand(MatrixSpec, Resolved) -> Plan: variants, stages in order, digests, and an estimate of time and calls. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.data.dataset import Dataset
from harness.data.split import left_over, recut
from harness.errors import SpecError
from harness.estimate import MOST_PROBED
from harness.records.base import canonical_json
from harness.records.inputs import (
    Answering,
    AskInput,
    AuditInput,
    ContestInput,
    DataInput,
    Dropping,
    GenerateInput,
    ImportedInput,
    JudgeInput,
    ProbeInput,
    RowLimits,
    ScoreInput,
    ServedInput,
    StageInput,
    StageKey,
    StopRule,
    TrainInput,
    tokens_of,
)
from harness.records.plan import JudgePlan, Plan, PlannedStage, VariantPlan
from harness.records.variant import Variant
from harness.resolved import Resolved, ResolvedImport, ResolvedJudge, ResolvedServed
from harness.spec.axes import TRAIN_AXES
from harness.spec.matrix import MatrixSpec
from harness.store import planned
from harness.variants import baseline_cell, opponent, rivals, variants

COMPARE_VERSION = 5
"""Raised when the same records would give another comparison or another report."""


GAMES_A_CELL_AND_ITEM = 2
"""Of a sampled contest: so many games a cell plays on each item, on average."""


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge's stages that do not depend on any variant."""

    plan: JudgePlan
    resolved: ResolvedJudge
    stages: tuple[PlannedStage, PlannedStage, PlannedStage]


def expand(spec: MatrixSpec, resolved: Resolved) -> Plan:
    """The whole plan; every stage comes after its inputs. Raises SpecError for a baseline that is no cell."""
    baseline_cell(spec)
    same_scales(spec, resolved)
    comparable_rivals(spec, resolved)
    can_stop(spec)
    bases = {name: planned(model.input) for name, model in resolved.models.items()}
    limits = row_limits(spec, resolved, [base.key for base in bases.values()])
    room = answering(spec, resolved, bases)
    data = planned(data_input(spec, resolved.data, limits, room))
    audit = planned(AuditInput(data=data.key.digest, settings=spec.audit, answering=room, **dict(limits)))
    judges = [judging(judge, data.key) for judge in resolved.judges]
    against = {
        fold: planned_generation(spec, resolved, rival, data.key, base_of(rival, bases))[1].key
        for fold, rival in rivals(spec).items()
    }
    work: list[PlannedStage] = [*bases.values(), data, audit]
    asking = {judge.plan.name: list(judge.stages) for judge in judges}  # judge by judge: each is loaded once
    variant_plans = []
    for each in variants(spec):
        own, asked, variant_plan = variant_stages(
            spec, resolved, each, data.key, base_of(each, bases), judges, against.get(each.fold, against[None])
        )
        if spec.compare.stop_when_decided and each == opponent(spec):
            for judge in judges:  # behind its probes: all others are held against these
                asking[judge.plan.name][len(judge.stages) : len(judge.stages)] = asked.pop(judge.plan.name)
        work += own
        for name, stages_of_judge in asked.items():
            asking[name] += stages_of_judge
        variant_plans.append(variant_plan)
    for place, judge in enumerate(judges):
        contest = planned_contest(judge.resolved, variant_plans, data.key, resolved.data.count("test"))
        if contest is not None:
            asking[judge.plan.name].append(contest)
            judges[place] = replace(judge, plan=judge.plan.model_copy(update={"contest": contest.key}))
    if spec.generate.engine == "vllm":  # it holds the whole GPU, and keeps all adapters of a base: train first
        work.sort(key=lambda stage: stage.key.stage in ("generate", "score"))
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


def data_input(spec: MatrixSpec, data: Dataset, limits: RowLimits, room: Answering | None = None) -> DataInput:
    """Everything that decides the rows of the split. Findings that are only reported decide nothing."""
    kinds = tuple(kind for kind, action in spec.audit.actions().items() if action == "drop")
    dropping = Dropping(
        kinds=kinds,
        similarity=spec.audit.similarity if {"near_repeats", "near_leaks"} & set(kinds) else None,
        limits=limits if "truncated" in kinds else None,
        answering=room if "no_room" in kinds else None,
    )
    leaks = bool(data.folds) and bool({"leaks", "near_leaks"} & set(kinds))
    rounded = data.split is not None and left_over(len(data.codes), data.split) > 0
    asked = data.conversations and bool({"near_repeats", "leaks", "near_leaks", "languages"} & set(kinds))
    newly_cut = data.split is not None and recut(len(data.codes), data.split)
    return DataInput(
        version=4 if data.newly_read else 3 if asked or newly_cut else 2 if leaks or rounded or data.numbers else 1,
        sources=tuple(source.input for source in data.sources),
        fields=data.fields,
        bad_rows=data.bad_rows,
        split=data.split,
        folds=data.folds,
        dropping=dropping if kinds else None,
    )


def row_limits(spec: MatrixSpec, resolved: Resolved, bases: list[StageKey]) -> RowLimits:
    """Everything that decides which rows are longer than a training takes."""
    return RowLimits(
        bases=tuple(base.digest for base in bases),
        styles_sha256=tuple(style.sha256 for style in resolved.styles.values()),
        max_length=spec.train.max_length,
    )


def answering(spec: MatrixSpec, resolved: Resolved, bases: dict[str, PlannedStage]) -> Answering:
    """Everything that decides which test prompts leave no room for the answer."""
    local = (each for each in variants(spec) if each.origin == "local")
    by = dict.fromkeys((bases[each.model].key.digest, resolved.styles[each.prompt_style].sha256) for each in local)
    return Answering(by=tuple(by), new_tokens=spec.generate.max_new_tokens)


def same_scales(spec: MatrixSpec, resolved: Resolved) -> None:
    """Raises SpecError where the judges of a panel score on different scales."""
    scales = {judge.spec.column: judge.scale for judge in resolved.judges}
    for index, panel in enumerate(spec.panels):
        found = {scales[name] for name in panel.judges}
        if len(found) > 1:
            spoken = ", ".join(f"{name} {scales[name][0]}–{scales[name][1]}" for name in panel.judges)
            raise SpecError([f"panels[{index}]: the judges of a panel need one scale: {spoken}"])


def comparable_rivals(spec: MatrixSpec, resolved: Resolved) -> None:
    """Raises SpecError where a pairwise judge would have nothing to compare an answer with."""
    pairwise = [judge.spec.column for judge in resolved.judges if judge.pairwise]
    rival = resolved.imported.get(rivals(spec)[None].model)
    if pairwise and rival is not None and (lacking := _lacking(rival, spec)):
        what = f"judge {pairwise[0]!r} compares every answer with one of {rival.path}, which {lacking}"
        raise SpecError(
            [f"compare.baseline: {what}"],
            hint="take another baseline, or a file that answers every test item as often",
        )
    if pairwise and rivals(spec)[None].fold is not None and any(each.fold is None for each in variants(spec)):
        raise SpecError(
            [f"compare.baseline: judge {pairwise[0]!r} compares untuned models with it, and each of its folds answers a"
             " part of the items only"],
            hint="take an untuned model as the baseline, or leave those that are not trained here out",
        )  # fmt: skip


def _lacking(rival: ResolvedImport, spec: MatrixSpec) -> str:
    """What an imported opponent has no answer for, in words; empty where it answers everything."""
    if rival.gaps:
        return f"has no response to {rival.gaps} test items"
    if rival.samples < spec.generate.samples and any(each.origin != "imported" for each in variants(spec)):
        return f"has {rival.samples} to some items where `generate.samples` asks for {spec.generate.samples}"
    return ""


def base_of(each: Variant, bases: dict[str, PlannedStage]) -> StageKey | None:
    """The base stage of a variant that is answered here; None for others."""
    return bases[each.model].key if each.origin == "local" else None


def planned_generation(
    spec: MatrixSpec, resolved: Resolved, each: Variant, data: StageKey, base: StageKey | None
) -> tuple[PlannedStage | None, PlannedStage]:
    """The train (None for the untuned model, and whatever is not trained here) and generate stages of a variant."""
    if base is None:
        served = resolved.served.get(each.model) if each.origin == "served" else None
        if served is not None:
            return None, planned(served_input(spec, served, data))
        return None, planned(imported_input(resolved.imported[each.model], data))
    style = resolved.styles[each.prompt_style].sha256
    train = planned_training(spec, each, data, base, style, conversations=resolved.data.conversations)
    generate = planned(
        GenerateInput(
            weights=(train.key if train else base).digest,
            base=base.digest,
            data=data.digest,
            style_sha256=style,
            settings=spec.generate,
            fold=each.fold,
        )
    )
    return train, generate


def served_input(spec: MatrixSpec, served: ResolvedServed, data: StageKey) -> ServedInput:
    """Everything that can be known of what decides a served model's responses."""
    settings = spec.generate
    return ServedInput(
        data=data.digest,
        backend=served.spec.backend,
        model_identity=served.model_identity,
        options=served.options,
        system=served.spec.system,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        samples=settings.samples,
        seed=settings.seed,
    )


def imported_input(imported: ResolvedImport, data: StageKey) -> ImportedInput:
    """Everything that decides which responses a file gives."""
    return ImportedInput(
        data=data.digest,
        file_sha256=imported.sha256,
        field=imported.spec.field,
        missing=imported.spec.missing,
    )


def variant_stages(  # noqa: PLR0913 - one variant needs its whole surroundings
    spec: MatrixSpec,
    resolved: Resolved,
    each: Variant,
    data: StageKey,
    base: StageKey | None,
    judges: list[Judging],
    against: StageKey,
) -> tuple[list[PlannedStage], dict[str, list[PlannedStage]], VariantPlan]:
    """(train, generate, scores), (ask, judgment) by judge, and the variant's plan."""
    train, generate = planned_generation(spec, resolved, each, data, base)
    scores = {column: score_stage(resolved, column, generate.key, data) for column in resolved.metrics}
    sampled = planned_samples(spec, resolved, each, data, base)
    measure = stability_measure(spec)
    sampled_scores = {measure: score_stage(resolved, measure, sampled.key, data)} if sampled else {}
    asks = {judge.plan.name: planned(ask_input(judge.resolved, generate.key, data, against.digest)) for judge in judges}
    if spec.compare.stop_when_decided and generate.key != against:
        asks = {
            judge.plan.name: planned(stopping(spec, judge, asks[judge.plan.name].input, against, data))
            for judge in judges
        }
    judgments = {judge.plan.name: planned(judge_input(judge.resolved, asks[judge.plan.name].key)) for judge in judges}
    plan = VariantPlan(
        variant=each,
        base=base,
        train=train.key if train else None,
        generate=generate.key,
        scores={name: stage.key for name, stage in scores.items()},
        asks={name: stage.key for name, stage in asks.items()},
        judgments={name: stage.key for name, stage in judgments.items()},
        sampled=sampled.key if sampled else None,
        sampled_scores={name: stage.key for name, stage in sampled_scores.items()},
    )
    own = [*training_stages(train), generate, *scores.values()]
    own += [*([sampled] if sampled else []), *sampled_scores.values()]
    return own, {name: [asks[name], judgments[name]] for name in asks}, plan


def score_stage(resolved: Resolved, column: str, generations: StageKey, data: StageKey) -> PlannedStage:
    """One metric over these responses."""
    metric = resolved.metrics[column].metric
    return planned(
        ScoreInput(
            generations=generations.digest,
            data=data.digest,
            metric=metric.name,
            signature=metric.signature(),
            language=resolved.language,
        )
    )


def planned_samples(
    spec: MatrixSpec, resolved: Resolved, each: Variant, data: StageKey, base: StageKey | None
) -> PlannedStage | None:
    """Several responses to each prompt, where the matrix measures stability; a file's responses are what they are."""
    if spec.stability is None or each.origin == "imported":
        return None
    drawn = spec.generate.model_copy(update=dict(spec.stability))
    return planned_generation(spec.model_copy(update={"generate": drawn}), resolved, each, data, base)[1]


def stability_measure(spec: MatrixSpec) -> str:
    """What several responses to a prompt are scored by: the primary metric, or the first where a judge ranks."""
    columns = [each.column for each in spec.metrics]
    return spec.compare.primary if spec.compare.primary in columns else columns[0]


def training_stages(train: PlannedStage | None) -> list[PlannedStage]:
    """A training and the tokenised split that it reads; nothing for whom nobody trains."""
    if train is None:
        return []
    assert isinstance(train.input, TrainInput)  # noqa: S101 - planned by `planned_training`
    return [planned(tokens_of(train.input)), train]


def planned_training(
    spec: MatrixSpec, each: Variant, data: StageKey, base: StageKey, style: str, *, conversations: bool
) -> PlannedStage | None:
    """The train stage of a variant; None for the untuned model. LoRA settings decide nothing of a full training."""
    if each.method == "none" or each.masking is None or each.seed is None:
        return None
    varied = {axis: value for axis in TRAIN_AXES if (value := getattr(each, axis)) is not None}
    rank = varied.pop("rank", spec.train.lora.rank)
    settings = spec.train.settings.model_copy(update=varied)
    settings = settings.model_copy(update={"lora": settings.lora.model_copy(update={"rank": rank})})
    if each.method == "full":
        settings = settings.model_copy(update={"lora": type(settings.lora)()})
    earlier = each.masking == "none" or each.prompt_loss_weight > 0 or settings.train_on == "all_assistant_turns"
    return planned(
        TrainInput(
            version=2 if conversations and earlier and settings.truncate == "left" else 1,
            base=base.digest,
            data=data.digest,
            style_sha256=style,
            masking=each.masking,
            prompt_loss_weight=each.prompt_loss_weight,
            method=each.method,
            settings=settings,
            seed=each.seed,
            fold=each.fold,
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
        expected_score=judge.spec.expected_score,
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


def planned_contest(
    judge: ResolvedJudge, variant_plans: Sequence[VariantPlan], data: StageKey, n_test: int
) -> PlannedStage | None:
    """The pairs that a pairwise judge is asked about beyond the opponent's; None where it is not to be, or has no two.

    Raises SpecError for `pairs` of a rubric that judges one answer at a time.
    """
    if judge.spec.pairs == "opponent":
        return None
    if not judge.pairwise:
        raise SpecError([f"judge {judge.spec.column!r}: `pairs` needs a pairwise rubric, and {judge.rubric} is none"])
    cells: dict[str, list[str]] = {}
    for each in variant_plans:
        cells.setdefault(each.variant.cell.name, []).append(each.generate.digest)
    contestants = sorted(tuple(sorted(digests)) for digests in cells.values())
    if len(contestants) < 2:
        return None
    items = min(judge.spec.items or n_test, n_test)
    possible = items * len(contestants) * (len(contestants) - 1) // 2
    sampled = judge.spec.games or GAMES_A_CELL_AND_ITEM * items * len(contestants) // 2
    return planned(
        ContestInput(
            contestants=tuple(contestants),
            data=data.digest,
            backend=judge.spec.backend,
            model_identity=judge.model_identity,
            prompt_sha256=judge.prompt_sha256,
            parser_sha256=judge.parser_sha256,
            options=judge.options,
            items=judge.spec.items,
            design=judge.spec.pairs,
            games=possible if judge.spec.pairs == "all" else min(sampled, possible),
        )
    )


def can_stop(spec: MatrixSpec) -> None:
    """Raises SpecError where `compare.stop_when_decided` has no meaning: it decides between two checkpoints."""
    if not spec.compare.stop_when_decided:
        return
    cells = Counter((each.cell.name, each.fold) for each in variants(spec))
    problems = []
    if any(fold is not None for _, fold in cells):
        problems.append("a cross-validated cell is several checkpoints; it decides between two")
    if several := [(*cell, seeds) for cell, seeds in cells.items() if seeds > 1]:
        problems.append(f"{several[0][0]} has {several[0][-1]} seeds; it decides between checkpoints, of one seed each")
    if batched := [judge.column for judge in spec.judges if judge.options.get("batch")]:
        problems.append(f"judge {batched[0]} is asked by batch, which hands in every question at once")
    if spec.compare.clusters is not None:
        problems.append("items of a cluster stand or fall together, and asking stops between any two items")
    if spec.panels:
        problems.append("a panel needs the scores of all its judges, and each may stop at another item")
    if problems:
        raise SpecError([f"compare.stop_when_decided: {problem}" for problem in problems])


def stopping(spec: MatrixSpec, judge: Judging, asked: StageInput, against: StageKey, data: StageKey) -> AskInput:
    """The same questions, put only until it is decided how the variant compares with the baseline."""
    assert isinstance(asked, AskInput)  # noqa: S101 - what `ask_input` makes
    rival = planned(ask_input(judge.resolved, against, data, against.digest))
    pairs = max(1, len({each.cell for each in variants(spec)}) - 1)
    rule = StopRule(
        judged=planned(judge_input(judge.resolved, rival.key)).key.digest,
        alpha=spec.compare.alpha / pairs,
        margin=spec.compare.margin if spec.compare.primary == judge.plan.name else None,
    )
    return asked.model_copy(update={"stop": rule})


def judge_input(judge: ResolvedJudge, replies: StageKey) -> JudgeInput:
    """Replies and the parser that reads them."""
    return JudgeInput(
        replies=replies.digest, parser_sha256=judge.parser_sha256, expected_score=judge.spec.expected_score
    )
