"""Sealed rows of a whole matrix -> what `compare` compares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.align import VariantScores
from harness.compare import CompareInputs, CompareSettings
from harness.errors import HarnessError
from harness.metrics.base import load_metric
from harness.plan import baseline_cell
from harness.records.data import AuditSummary, Example, SplitExample
from harness.records.plan import FailedVariant, JudgePlan, Plan, VariantPlan
from harness.records.result import MeasureInfo, TrustReport
from harness.records.rows import Judgment, MetricRow
from harness.records.seal import AuditFacts, ScoreFacts
from harness.spec import MatrixSpec
from harness.store import Store


def gather(spec: MatrixSpec, plan: Plan, store: Store, failed: tuple[FailedVariant, ...]) -> CompareInputs:
    """Read every finished variant's scores and judgments, and the judges' probes."""
    finished = [each for each in plan.variants if store.sealed(each.generate) is not None]
    if not finished:
        reasons = "; ".join(f"{failure.variant}: {failure.reason}" for failure in failed)
        raise HarnessError(f"every variant failed ({reasons})", hint="mend the training settings and run again")
    audit = audit_summary(plan, store)
    left_out = frozenset(audit.leaked if audit and spec.compare.leaked_items == "leave out" else ())
    tests = [row.example for row in store.stream(plan.data, SplitExample) if row.split == "test"]
    n_test = len(tests) - len(left_out)
    if n_test == 0:
        raise HarnessError("every test item stands in train", hint="compare.leaked_items: count, or other test data")
    return CompareInputs(
        matrix=plan.matrix,
        matrix_digest=plan.matrix_digest,
        data_name=spec.data.name,
        n_test=n_test,
        audit=audit,
        leaked_left_out=bool(left_out),
        measures=(*metric_infos(finished[0], store), *(judge_info(judge, store) for judge in plan.judges)),
        variants=tuple(scores_of(each, store, left_out) for each in finished),
        trust=tuple(trust(judge, store) for judge in plan.judges),
        failed=failed,
        settings=CompareSettings(
            primary=spec.compare.primary,
            baseline=baseline_cell(spec),
            alpha=spec.compare.alpha,
            permutations=spec.compare.permutations,
            seed=spec.compare.seed,
            against_baseline=spec.compare.family == "baseline",
            correction=spec.compare.correction,
            margin=spec.compare.margin,
            seed_sd=spec.compare.seed_sd,
        ),
        clusters=None if spec.compare.clusters is None else cluster_of(tests, spec.compare.clusters),
    )


def audit_summary(plan: Plan, store: Store) -> AuditSummary | None:
    """What the audit of the split found; None for a plan without one."""
    seal = store.sealed(plan.audit) if plan.audit else None
    return seal.facts.summary if seal and isinstance(seal.facts, AuditFacts) else None


def cluster_of(tests: list[Example], field: str) -> dict[str, str]:
    """Each test example's cluster: the text of that field of its source row. Raises HarnessError where none has it."""
    found = {example.id: example.meta[field] for example in tests if field in example.meta}
    if not found:
        known = sorted({name for example in tests for name in example.meta})
        raise HarnessError(
            f"no test example has the field {field!r}",
            where="compare.clusters",
            hint="fields: " + (", ".join(known) or "none besides the texts"),
        )
    return found


def scores_of(each: VariantPlan, store: Store, left_out: frozenset[str]) -> VariantScores:
    """One variant's rows on every measure, without the items left out."""
    judgment_type: Any = Judgment
    return VariantScores(
        variant=each.variant,
        metrics={name: kept(store.stream(key, MetricRow), left_out) for name, key in each.scores.items()},
        judgments={name: kept(store.stream(key, judgment_type), left_out) for name, key in each.judgments.items()},
    )


def kept(rows: Iterable[Any], left_out: frozenset[str]) -> list[Any]:
    """Rows of the items that count."""
    return [row for row in rows if row.example_id not in left_out]


def metric_infos(each: VariantPlan, store: Store) -> list[MeasureInfo]:
    """A column a metric, as the seals of one variant know them: signatures are the same for all."""
    infos = []
    for name, key in each.scores.items():
        seal = store.sealed(key)
        metric = load_metric(name)
        infos.append(
            MeasureInfo(
                name=name,
                label=metric.label,
                kind="metric",
                unit=metric.unit,
                corpus=metric.corpus,
                higher_is_better=metric.higher_is_better,
                signature=seal.facts.signature if seal and isinstance(seal.facts, ScoreFacts) else metric.signature(),
            )
        )
    return infos


def judge_info(judge: JudgePlan, store: Store) -> MeasureInfo:
    """A judge's column; its scale is its rubric's."""
    from judges.rubric import load_rubric

    rubric = load_rubric(judge.rubric)
    return MeasureInfo(
        name=judge.name,
        label=f"judge {judge.name}",
        kind="judge",
        unit=f"{rubric.scale.low:g}–{rubric.scale.high:g}",
        corpus=False,
        signature=f"{judge.backend}|{judge.model}|{judge.rubric}|prompt:{rubric.prompt_sha256[:8]}"
        f"|parser:{rubric.parser_sha256[:8]}",
    )


def trust(judge: JudgePlan, store: Store) -> TrustReport:
    """What a judge's probes say about it."""
    from judges.trust import trust_report

    judgment_type: Any = Judgment
    return trust_report(judge.name, store.read(judge.probe_judge, judgment_type))
