"""A finished run in short: item by item what it scored, and what its scores depend on."""

from __future__ import annotations

from collections.abc import Sequence

from harness.align import VariantScores, fold
from harness.errors import HarnessError
from harness.evidence import judge_info, panel_info
from harness.finished import NOT_COMPARED, gathered
from harness.metrics.base import Metric
from harness.records.baseline import JudgeTerms, Snapshot, SnapshotMeasure, SnapshotVariant
from harness.records.data import Example, SplitExample
from harness.records.inputs import AskInput, DataInput, JudgeInput, StageKey
from harness.records.plan import JudgePlan, Plan, VariantPlan
from harness.records.result import MeasureInfo
from harness.records.rows import Generation
from harness.records.seal import TrainFacts
from harness.resolved import Resolved
from harness.spec.matrix import MatrixSpec
from harness.spec.reading import load_spec
from harness.store import MatrixRun, Store


def snapshot(run: MatrixRun, store: Store, *, texts: bool) -> Snapshot:
    """Of a finished run. `texts`: with the items and the answers, which make the file larger and may not be public.

    Raises HarnessError where the run has no result, StoreError where rows are not what was sealed.
    """
    if run.result is None:
        raise HarnessError(f"matrix {run.name!r} is not finished", hint="`harness run` goes on where it stopped")
    spec = load_spec(run.folder / "matrix.yaml")
    if spec.compare.stop_when_decided:
        raise HarnessError(
            f"matrix {run.name!r} judged its variants only until something was decided",
            where="compare.stop_when_decided",
            hint="a regression check needs every item: leave it out of the matrix",
        )
    store.refuse_damaged(stage.key for stage in run.plan.stages if stage.key.stage not in NOT_COMPARED)
    inputs = gathered(run, store)
    plans = {each.variant.name: each for each in run.plan.variants}
    infos = run.result.measures
    asked = {info.name: {item for each in inputs.variants for item in fold(each, info)[0]} for info in infos}
    items = tuple(sorted(set().union(*asked.values())))
    return Snapshot(
        matrix=run.name,
        matrix_digest=run.digest,
        matrix_yaml=(run.folder / "matrix.yaml").read_text(encoding="utf-8"),
        data_name=inputs.data_name,
        data=data_input(run.plan),
        primary=run.result.primary,
        items=items,
        measures=tuple(_measure(info, len(asked[info.name]), spec) for info in infos),
        judges=tuple(judge_terms(judge, run.plan) for judge in run.plan.judges),
        variants=tuple(
            _variant(each, plans[each.variant.name], infos, items, store, texts=texts) for each in inputs.variants
        ),
        failed=run.result.failed,
        clusters=None if inputs.clusters is None else dict(inputs.clusters),
        examples=_examples(run.plan, store, items) if texts else None,
    )


def _measure(info: MeasureInfo, asked: int, spec: MatrixSpec) -> SnapshotMeasure:
    metric = next((each for each in spec.metrics if each.column == info.name), None)
    return SnapshotMeasure(
        info=info,
        asked=asked,
        judges=judges_of(info.name, spec),
        metric=metric.metric if metric else None,
        options=metric.options if metric else {},
    )


def judges_of(measure: str, spec: MatrixSpec) -> tuple[str, ...]:
    """The judges that a measure's scores come from: none of a metric."""
    panels = {panel.name: panel.judges for panel in spec.panels}
    judges = {judge.column: (judge.column,) for judge in spec.judges}
    return panels.get(measure) or judges.get(measure) or ()


def data_input(plan: Plan) -> DataInput:
    """What the data of a plan resolved to."""
    return next(stage.input for stage in plan.stages if isinstance(stage.input, DataInput))


def judge_terms(judge: JudgePlan, plan: Plan) -> JudgeTerms:
    """What the judge is, is asked and how it is read, from the stages that ask about the first variant's answers."""
    inputs = {stage.key: stage.input for stage in plan.stages}
    first = plan.variants[0]
    ask, read = inputs[first.asks[judge.name]], inputs[first.judgments[judge.name]]
    assert isinstance(ask, AskInput) and isinstance(read, JudgeInput)  # noqa: S101 - what the plan's keys lead to
    return JudgeTerms(
        name=judge.name,
        backend=judge.backend,
        model=judge.model,
        model_identity=ask.model_identity,
        rubric=judge.rubric,
        prompt_sha256=ask.prompt_sha256,
        parser_sha256=read.parser_sha256,
        options=ask.options,
        expected_score=read.expected_score,
        items=ask.items,
        repeats=ask.repeats,
        against=ask.against,
    )


def _variant(  # noqa: PLR0913 - all that one variant is read from
    scores: VariantScores,
    plan: VariantPlan,
    infos: Sequence[MeasureInfo],
    items: tuple[str, ...],
    store: Store,
    *,
    texts: bool,
) -> SnapshotVariant:
    answers: list[Generation] = [row for row in store.read(plan.generate, Generation) if row.example_id in set(items)]
    folded = {info.name: fold(scores, info)[1] for info in infos}
    first = {row.example_id: row.text for row in reversed(answers)}
    seconds = sum(row.seconds for row in answers)
    return SnapshotVariant(
        variant=scores.variant,
        generate=plan.generate.digest,
        train_seconds=_train_seconds(plan.train, store),
        tokens_per_second=sum(row.tokens for row in answers) / seconds if seconds > 0 else None,
        stop_rate=sum(row.finish_reason == "eos" for row in answers) / max(1, len(answers)),
        scores={
            name: tuple(values[item][0] if item in values else None for item in items)
            for name, values in folded.items()
        },
        counts={
            info.name: tuple(folded[info.name][item][1] if item in folded[info.name] else None for item in items)
            for info in infos
            if info.corpus
        },
        answers=tuple(first.get(item) for item in items) if texts else None,
    )


def _train_seconds(train: StageKey | None, store: Store) -> float | None:
    seal = store.sealed(train) if train else None
    return seal.facts.train_seconds if seal and isinstance(seal.facts, TrainFacts) else None


def _examples(plan: Plan, store: Store, items: tuple[str, ...]) -> tuple[Example, ...]:
    rows = {row.example.id: row.example for row in store.stream(plan.data, SplitExample) if row.split == "test"}
    return tuple(rows[item] for item in items)


# ---------------------------------------------------------------- before anything is made


def planned_measures(
    spec: MatrixSpec, plan: Plan, resolved: Resolved
) -> tuple[tuple[SnapshotMeasure, ...], tuple[JudgeTerms, ...]]:
    """What a matrix would be measured by: enough to refuse a comparison before anything is trained."""
    infos = [_planned_metric(name, each.metric) for name, each in resolved.metrics.items()]
    infos += [judge_info(judge) for judge in plan.judges]
    infos += [panel_info(panel, plan) for panel in spec.panels]
    measures = tuple(_measure(info, 0, spec) for info in infos)
    return measures, tuple(judge_terms(judge, plan) for judge in plan.judges)


def _planned_metric(name: str, metric: Metric) -> MeasureInfo:
    return MeasureInfo(
        name=name,
        label=metric.label,
        kind="metric",
        unit=metric.unit,
        corpus=metric.corpus,
        signature=metric.signature(),
    )


def planned_items(spec: MatrixSpec, resolved: Resolved) -> tuple[Example, ...] | None:
    """The test items; None where an audit decides which of them count."""
    if "drop" in spec.audit.actions().values() or spec.compare.leaked_items == "leave out":
        return None
    return tuple(row.example for row in resolved.data if row.split == "test")
