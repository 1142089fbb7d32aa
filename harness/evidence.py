"""Sealed rows of a whole matrix -> what `compare` compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.align import VariantScores
from harness.compare import CompareInputs, CompareSettings
from harness.errors import HarnessError, NothingFinished
from harness.metrics.base import Metric
from harness.metrics.registry import load_metric
from harness.records.data import AuditSummary, Example, SplitExample
from harness.records.inputs import AskInput, ContestInput, StageKey
from harness.records.plan import FailedVariant, JudgePlan, Plan, VariantPlan
from harness.records.result import (
    Contest,
    Interval,
    JudgeAgreement,
    MeasureInfo,
    Meeting,
    PanelInfo,
    Strength,
    TrustReport,
    WinRate,
)
from harness.records.rows import Generation, Judgment, ReplyRow, Scored, ScoreRow
from harness.records.seal import AskFacts, AuditFacts, ScoreFacts
from harness.sequential import Sequential
from harness.spec.judges import PanelSpec
from harness.spec.matrix import MatrixSpec
from harness.stats.bradley_terry import pair_strengths
from harness.store import Store
from harness.variants import baseline_cell

if TYPE_CHECKING:
    from judges.contest import Game

STRENGTH_RESAMPLES = 400


def gather(spec: MatrixSpec, plan: Plan, store: Store, failed: tuple[FailedVariant, ...]) -> CompareInputs:
    """Read every finished variant's scores and judgments, the judges' probes, and people's ratings."""
    from harness.raters import people_report
    from harness.sitting import opponent_of

    finished = [each for each in plan.variants if store.sealed(each.generate) is not None]
    if not finished:
        reasons = "; ".join(f"{failure.variant}: {failure.reason}" for failure in failed)
        raise NothingFinished(f"every variant failed ({reasons})", hint="mend the training settings and run again")
    audit = audit_summary(plan, store)
    left_out = frozenset(audit.leaked if audit and spec.compare.leaked_items == "leave out" else ())
    tests = [row.example for row in store.stream(plan.data, SplitExample) if row.split == "test"]
    n_test = len(tests) - len(left_out)
    if n_test == 0:
        raise HarnessError("every test item stands in train", hint="compare.leaked_items: count, or other test data")
    variants = tuple(scores_of(each, store, left_out) for each in finished)
    reports = {judge.name: judge_report(judge, variants, finished, store) for judge in plan.judges}
    for panel in spec.panels:
        variants = tuple(with_panel(each, panel) for each in variants)
        reports[panel.name] = panel_report(panel, plan, store)
    metrics = {each.column: load_metric(each.metric, options=each.options) for each in spec.metrics}
    return CompareInputs(
        matrix=plan.matrix,
        matrix_digest=plan.matrix_digest,
        data_name=spec.data.name,
        n_test=n_test,
        audit=audit,
        left_out=tuple(sorted(left_out)),
        measures=(
            *metric_infos(metrics, finished[0], store),
            *(judge_info(judge) for judge in plan.judges),
            *(panel_info(panel, plan) for panel in spec.panels),
        ),
        variants=variants,
        trust=tuple(reports.values()),
        agreement=agreements(plan, variants),
        win_rates=win_rates(plan, finished, store, left_out),
        contests=contests(plan, store, left_out),
        people=people_report(plan, store, left_out, opponent_of(spec, plan)),
        failed=failed,
        corpus_scores={name: metric.corpus_score for name, metric in metrics.items() if metric.corpus},
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
            rank_untrusted=spec.compare.rank_untrusted,
        ),
        clusters=None if spec.compare.clusters is None else cluster_of(tests, spec.compare.clusters),
        sequential=courses(plan, store, tests),
    )


def courses(plan: Plan, store: Store, tests: Sequence[Example]) -> dict[str, Sequential]:
    """By judge: how asking until it was decided went; nothing for one that was asked about everything."""
    from judges.questions import rank

    order = tuple(sorted((example.id for example in tests), key=rank))
    rules = {
        stage.key: stage.input.stop for stage in plan.stages if isinstance(stage.input, AskInput) and stage.input.stop
    }
    found = {}
    for judge in plan.judges:
        keys = [each.asks[judge.name] for each in plan.variants]
        rule = next((rules[key] for key in keys if key in rules), None)
        if rule is not None:
            seals = [seal for key in keys if (seal := store.sealed(key)) is not None]
            asked = sum(seal.rows or 0 for seal in seals)
            spared = sum(seal.facts.spared for seal in seals if isinstance(seal.facts, AskFacts))
            found[judge.name] = Sequential(order, rule.alpha, asked, spared)
    return found


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


def judged_variants(plan: Plan, store: Store) -> tuple[list[VariantScores], list[VariantPlan]]:
    """(scores, plans) of the variants whose answers every judge has judged."""
    finished = [
        each
        for each in plan.variants
        if all(store.sealed(key) is not None for key in (*each.scores.values(), *each.judgments.values()))
    ]
    return [scores_of(each, store, frozenset()) for each in finished], finished


def scores_of(each: VariantPlan, store: Store, left_out: frozenset[str]) -> VariantScores:
    """One variant's rows on every measure, without the items left out."""
    judgment_type: Any = Judgment
    return VariantScores(
        variant=each.variant,
        metrics={name: kept(store.stream(key, ScoreRow), left_out) for name, key in each.scores.items()},
        judgments={
            name: kept(store.stream(key, judgment_type), left_out)
            for name, key in each.judgments.items()
            if store.sealed(key) is not None  # a pairwise judge has nothing to say where its opponent failed
        },
    )


def kept(rows: Iterable[Any], left_out: frozenset[str]) -> list[Any]:
    """Rows of the items that count."""
    return [row for row in rows if row.example_id not in left_out]


def metric_infos(metrics: Mapping[str, Metric], each: VariantPlan, store: Store) -> list[MeasureInfo]:
    """A column a metric, as the seals of one variant know them: signatures are the same for all."""
    infos = []
    for name, key in each.scores.items():
        seal = store.sealed(key)
        metric, descriptive = metrics[name], bool(getattr(metrics[name], "descriptive", False))
        infos.append(
            MeasureInfo(
                name=name,
                label=metric.label if name == metric.name else f"{metric.label} ({name})",
                kind="metric",
                unit=metric.unit,
                corpus=metric.corpus,
                higher_is_better=metric.higher_is_better,
                ranks=not descriptive,
                descriptive=descriptive,
                signature=seal.facts.signature if seal and isinstance(seal.facts, ScoreFacts) else metric.signature(),
            )
        )
    return infos


def judge_info(judge: JudgePlan) -> MeasureInfo:
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
        f"|parser:{rubric.parser_sha256[:8]}" + ("|expected" if judge.expected_score else ""),
    )


def judge_report(
    judge: JudgePlan, variants: Sequence[VariantScores], plans: Sequence[VariantPlan], store: Store
) -> TrustReport:
    """What a judge's probes say about it, and how its scores of the variants' answers go with their length."""
    from judges.measures import fallbacks, length_slope, order_bias, repeat_agreement, scale_use
    from judges.rubric import load_rubric
    from judges.trust import trust_report

    rubric = load_rubric(judge.rubric)
    pairwise = rubric.mode == "pairwise"
    judgment_type: Any = Judgment
    probes = store.read(judge.probe_judge, judgment_type)
    report = trust_report(judge.name, probes, scale=rubric.scale, pairwise=pairwise)
    rows = [row for each in variants for row in each.judgments.get(judge.name, ())]
    if judge.expected_score:
        report = report.model_copy(update={"fallback": fallbacks(rows or probes)})
    if not rows:
        return report
    lengths = {
        (each.variant.name, row.example_id, row.sample): len(row.text)
        for each in plans
        for row in store.read(each.generate, Generation)
    }
    named = [row.model_copy(update={"example_id": f"{each.variant.name} {row.example_id}"})
             for each in variants for row in each.judgments.get(judge.name, ())]  # fmt: skip
    return report.model_copy(
        update={
            "length": length_slope(item_scores(judge.name, variants), lengths),
            "repeats": report.repeats if pairwise else repeat_agreement(named) or report.repeats,
            "order": order_bias(named, rubric.scale) if pairwise else None,
            "scale_use": scale_use(rows),
        }
    )


def item_scores(judge: str, variants: Sequence[VariantScores]) -> dict[tuple[str, str, int], float]:
    """A judge's mean score of each answer, by (variant, example, sample)."""
    scores: dict[tuple[str, str, int], list[float]] = {}
    for each in variants:
        for row in each.judgments.get(judge, ()):
            if isinstance(row, Scored):
                scores.setdefault((each.variant.name, row.example_id, row.sample), []).append(row.value)
    return {key: fmean(values) for key, values in scores.items()}


def with_panel(scores: VariantScores, panel: PanelSpec) -> VariantScores:
    """A variant's scores with the panel's beside its judges'."""
    from harness.panel import combined

    members = {name: scores.judgments.get(name, ()) for name in panel.judges}
    return replace(scores, judgments={**scores.judgments, panel.name: combined(members, panel.combine)})


def panel_info(panel: PanelSpec, plan: Plan) -> MeasureInfo:
    """A panel's column, on its judges' common scale."""
    infos = {judge.name: judge_info(judge) for judge in plan.judges}
    members = [infos[name] for name in panel.judges]
    return members[0].model_copy(
        update={
            "name": panel.name,
            "label": f"panel {panel.name}",
            "panel": PanelInfo(judges=panel.judges, combine=panel.combine),
            "signature": f"{panel.combine} of " + " + ".join(info.signature for info in members),
        }
    )


def panel_report(panel: PanelSpec, plan: Plan, store: Store) -> TrustReport:
    """A panel is probed as its judges are: their scores of each probe, combined."""
    from harness.panel import combined
    from judges.rubric import load_rubric
    from judges.trust import trust_report

    judges = [judge for judge in plan.judges if judge.name in panel.judges]
    rubric = load_rubric(judges[0].rubric)
    judgment_type: Any = Judgment
    probes = {judge.name: store.read(judge.probe_judge, judgment_type) for judge in judges}
    rows = combined(probes, panel.combine)
    report = trust_report(panel.name, rows, scale=rubric.scale, pairwise=rubric.mode == "pairwise")
    return report.model_copy(update={"order": None, "repeats": None})


def agreements(plan: Plan, variants: Sequence[VariantScores]) -> tuple[JudgeAgreement, ...]:
    """Every pair of judges of one mode over the answers that both scored."""
    from judges.measures import agreement
    from judges.rubric import load_rubric

    rubrics = {judge.name: load_rubric(judge.rubric) for judge in plan.judges}
    ends = {name: (float(rubric.scale.low), float(rubric.scale.high)) for name, rubric in rubrics.items()}
    scores = {name: item_scores(name, variants) for name in rubrics}
    pairs = ((a, b) for a, b in combinations(rubrics, 2) if rubrics[a].mode == rubrics[b].mode)
    found = (agreement(a, b, scores, ends) for a, b in pairs)
    return tuple(each for each in found if each is not None)


def win_rates(
    plan: Plan, finished: Sequence[VariantPlan], store: Store, left_out: frozenset[str] = frozenset()
) -> tuple[WinRate, ...]:
    """Each cell against the opponent, for every pairwise judge; a cell's seeds are averaged within an item."""
    from judges.rubric import load_rubric
    from judges.win_rate import Pairings, win_rate

    rates = []
    for judge in plan.judges:
        rubric = load_rubric(judge.rubric)
        if rubric.mode != "pairwise":
            continue
        cells: dict[str, Pairings] = {}
        for each in finished:
            against, key = rival_of(each, judge.name, plan), each.judgments[judge.name]
            if against is None or against == each.generate or store.sealed(key) is None:
                continue
            judgment_type: Any = Judgment
            cells.setdefault(each.variant.cell.name, Pairings(rubric.scale)).add(
                kept(store.stream(key, judgment_type), left_out),
                store.read(each.generate, Generation),
                store.read(against, Generation),
            )
        rates += [win_rate(judge.name, cell, pairings) for cell, pairings in cells.items() if pairings.won]
    return tuple(rates)


def contests(plan: Plan, store: Store, left_out: frozenset[str] = frozenset()) -> tuple[Contest, ...]:
    """Every finished contest of a pairwise judge: strengths over all its games, those of one item drawn together."""
    from harness.stages.judging import contest_of

    cells = {each.generate.digest: each.variant.cell.name for each in plan.variants}
    stages = {stage.key: stage.input for stage in plan.stages}
    found = []
    for judge in plan.judges:
        asked = stages.get(judge.contest) if judge.contest else None
        if judge.contest is None or not isinstance(asked, ContestInput) or store.sealed(judge.contest) is None:
            continue
        whole = contest_of(store, asked, judge.rubric)
        row_type: Any = ReplyRow
        games = whole.standing(store.read(judge.contest, row_type)).games
        counted = [game for game in games if game.example_id not in left_out]
        names = [cells[digests[0]] for digests in asked.contestants]
        found.append(contest_record(judge.name, asked.design, whole.possible, names, counted))
    return tuple(found)


def contest_record(judge: str, design: str, possible: int, names: Sequence[str], games: Sequence[Game]) -> Contest:
    """Bradley-Terry strengths of the games that have a verdict; strongest first."""
    scored = [(game, game.won) for game in games if game.won is not None]
    if not scored:
        return Contest(
            judge=judge, design=design, games=len(games), possible=possible, unscored=len(games),
            strengths=(), meetings=(),
        )  # fmt: skip
    first, second = (np.array([getattr(game, side) for game, _ in scored]) for side in ("a", "b"))
    won = np.array([share for _, share in scored])
    _, items = np.unique([game.example_id for game, _ in scored], return_inverse=True)
    fitted = pair_strengths(first, second, won, items, len(names), STRENGTH_RESAMPLES, np.random.default_rng(0))
    strengths = [
        Strength(
            cell=name,
            games=int((first == place).sum() + (second == place).sum()),
            chance=float(fitted.chance[place]),
            interval=Interval(low=float(fitted.interval[place, 0]), high=float(fitted.interval[place, 1])),
        )
        for place, name in enumerate(names)
    ]
    met = {(a, b): won[(first == a) & (second == b)] for a, b in sorted(set(zip(first, second, strict=True)))}
    return Contest(
        judge=judge,
        design=design,
        games=len(games),
        possible=possible,
        unscored=len(games) - len(scored),
        strengths=tuple(sorted(strengths, key=lambda each: (-each.chance, each.cell))),
        meetings=tuple(
            Meeting(a=names[a], b=names[b], games=len(each), share=float(each.mean())) for (a, b), each in met.items()
        ),
    )


def rival_of(each: VariantPlan, judge: str, plan: Plan) -> StageKey | None:
    """The generations that a pairwise judge compared this variant's with."""
    for stage in plan.stages:
        if stage.key == each.asks[judge] and isinstance(stage.input, AskInput) and stage.input.against is not None:
            return StageKey(stage="generate", digest=stage.input.against)
    return None
