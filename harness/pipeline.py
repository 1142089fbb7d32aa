"""The stage loop: skip what is sealed, make what is not, compare, publish."""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BudgetSpent, DataError, HarnessError, MissingExtra, StoreError, TrainingFailed, spoken_error
from harness.lineage import reads, stage_labels
from harness.progress import BAR_OF, Watcher
from harness.records.inputs import DataInput, StageKey
from harness.records.plan import FailedVariant, Plan, PlannedStage
from harness.records.result import Result
from harness.resolved import Resolved
from harness.spec.matrix import MatrixSpec
from harness.stages import Workshop, make, units
from harness.store import MatrixRun, Store
from harness.work_note import Noting


@dataclass(slots=True)
class Outcome:
    """What a run did. `made`: objects made now, by stage; 0 in all for a run that had nothing to do."""

    result: Result
    folder: Path
    made: Counter[str] = field(default_factory=Counter)


def missing(plan: Plan, store: Store) -> list[PlannedStage]:
    """Stages that are not sealed yet, in order."""
    return [stage for stage in plan.stages if store.sealed(stage.key) is None]


def pieces(plan: Plan, undone: list[PlannedStage]) -> tuple[Counter[str], Counter[str]]:
    """Variants (and probes) a progress bar counts: in all, and done before this run."""
    quiet = quick_stages(plan)
    total = Counter(BAR_OF[stage.key.stage] for stage in plan.stages if stage.key not in quiet)
    return total, total - Counter(BAR_OF[stage.key.stage] for stage in undone if stage.key not in quiet)


def quick_stages(plan: Plan) -> set[StageKey]:
    """Stages too quick to count: making probes, reading replies, and all but a variant's last metric."""
    metrics = {
        key for each in plan.variants for key in [*list(each.scores.values())[:-1], *each.sampled_scores.values()]
    }
    return metrics | {stage.key for stage in plan.stages if stage.key.stage in ("probe", "judge")}


def finished_result(plan: Plan, store: Store) -> Result | None:
    """The result of a matrix that has nothing left to do; None where there is work (a failed variant is work)."""
    result = store.result(plan)
    reports = all((store.matrix_folder(plan) / name).exists() for name in ("report.html", "report.md"))
    return result if result is not None and reports and not missing(plan, store) else None


def run(  # noqa: PLR0913 - a run's whole surroundings
    spec: MatrixSpec,
    plan: Plan,
    resolved: Resolved,
    store: Store,
    matrix_yaml: str,
    watcher: Watcher,
    budget: Any = None,
) -> Outcome:
    """Bring a matrix to its end. Raises HarnessError; whatever was sealed by then is kept.

    `budget`: judges.budget.Budget, what its judges may cost; None: no limit.

    A variant whose training breaks off stands in the result as failed, and the others go on. Any other error of a stage
    (a server that hangs up, a prompt without room) is raised, and nothing compared, once all is made that does not
    depend on it; a service that failed is not asked again. What the data or their audit forbids is raised at once.
    """
    folder = store.write_matrix(plan, matrix_yaml)
    watcher = Noting(watcher, folder)
    made: Counter[str] = Counter()
    failures: list[FailedVariant] = []
    lost: set[str] = set()  # digests of what could not be made, and of what reads it
    down: set[str] = set()  # services that failed
    errors: list[HarnessError] = []
    bar = ""
    labels, quiet = stage_labels(plan), quick_stages(plan)
    workshop = Workshop(
        store,
        resolved,
        lambda count: watcher.advance(bar, count),
        remark=lambda text: watcher.remark(bar, text),
        matrix=plan.matrix,
        track=spec.track,
        launch=spec.train.launch,
        labels=labels,
        budget=budget,
    )
    for stage in missing(plan, store):
        service = getattr(stage.input, "model_identity", None)
        if service in down or (lost and not lost.isdisjoint(reads(stage.input.model_dump()))):
            lost.add(stage.key.digest)
            if stage.key == plan.audit and errors and spec.audit.demanding:
                raise errors[0]  # nothing is trained on data that nobody looked through, where that was asked for
            continue
        bar = BAR_OF[stage.key.stage]
        label = labels.get(stage.key, stage.key.stage)
        if stage.key not in quiet:
            watcher.begin(bar, label, units(workshop, stage))
        try:
            done = make_sealed(workshop, stage, watcher)
            made[stage.key.stage] += done
            status, reason = "made" if done else "made by another process", ""
        except TrainingFailed as e:
            failures.append(FailedVariant(variant=label, stage=stage.key.stage, reason=str(e)))
            lost.add(stage.key.digest)
            watcher.say(f"{label} failed: {e}")
            status, reason = "failed", str(e)
        except HarnessError as e:
            if ends_the_run(e, stage.key, plan):
                raise
            errors.append(without_locals(e))
            lost.add(stage.key.digest)
            down |= out_of_service(e, service)
            watcher.say(str(e) if e.where == label else f"{label}: {e}")
            status, reason = "unfinished", str(e)
        store.log(plan.matrix, label, stage.key, status, reason)
        if stage.key not in quiet:
            watcher.end(bar, label, "" if status == "made" else status)
    workshop.close()
    if errors:
        raise errors[0]
    result = conclude(spec, plan, store, tuple(failures))
    return Outcome(result, folder, made)


def make_sealed(workshop: Workshop, stage: PlannedStage, watcher: Watcher) -> int:
    """Make one object under its lock and seal it; 0 where another process did so while we waited.

    Raises HarnessError, for whatever a package or a user's own code raises, too; BrokenPipeError as it is.
    """
    label = workshop.labels.get(stage.key, "")
    with workshop.store.making(stage, announce=watcher.say, label=label) as writer:
        if writer.seal is not None:
            return 0
        try:
            facts = make(workshop, stage, writer)
        except (HarnessError, BrokenPipeError):
            raise
        except Exception as e:
            raise_if_disk_full(e, writer.folder)
            raise HarnessError(
                f"stage {stage.key.stage} broke off: {spoken_error(e)}",
                where=label or stage.key.stage,
                hint="the same command with --debug shows the traceback",
            ) from e
        writer.finish(facts=facts)
        return 1


def raise_if_disk_full(error: Exception, where: Path) -> None:
    """Libraries in other languages tell of a full disk in words only."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error):
        raise StoreError(
            "the disk is full",
            where=str(where),
            hint="free some space (`harness store gc` removes unused objects) and run again; finished work is kept",
        ) from error


def ends_the_run(error: HarnessError, key: StageKey, plan: Plan) -> bool:
    """Whether going on with other stages would be in vain, or against what the data's audit says."""
    return isinstance(error, StoreError | MissingExtra | BudgetSpent) or key in (plan.data, plan.audit)


def out_of_service(error: HarnessError, service: str | None) -> set[str]:
    """The service that failed; none where it was asked for what no service can give."""
    return set() if service is None or isinstance(error, DataError) else {service}


def without_locals(error: HarnessError) -> HarnessError:
    """The error without the variables of the frames that it came through: they may hold a model, and work goes on."""
    chain: list[BaseException] = []
    told: BaseException | None = error
    while told is not None and told not in chain:
        chain.append(told)
        traceback.clear_frames(told.__traceback__)
        told = told.__cause__ or told.__context__
    return error


def measure_judges(plan: Plan, resolved: Resolved, store: Store, watcher: Watcher, budget: Any = None) -> None:
    """Make what the judges' trust is told by, and nothing else: no model is trained. Raises HarnessError."""
    wanted = {key for judge in plan.judges for key in (judge.probe, judge.probe_ask, judge.probe_judge)}
    wanted |= stages_of_data(plan)
    bar = BAR_OF["ask"]
    labels = stage_labels(plan)
    workshop = Workshop(
        store, resolved, advance=lambda count: watcher.advance(bar, count), labels=labels, budget=budget
    )
    try:
        for stage in missing(plan, store):
            if stage.key in wanted:
                label, asks = labels.get(stage.key, ""), stage.key.stage == "ask"
                if asks:
                    watcher.begin(bar, label, units(workshop, stage))
                make_sealed(workshop, stage, watcher)
                if asks:
                    watcher.end(bar, label, "")
    finally:
        workshop.close()


def stages_of_data(plan: Plan) -> set[StageKey]:
    """The split, and the base models without whose tokenizers it cannot be cut."""
    limits = {
        stage.input.dropping.limits
        for stage in plan.stages
        if isinstance(stage.input, DataInput) and stage.input.dropping
    }
    bases = [base for each in limits if each for base in each.bases]
    return {plan.data, *(StageKey(stage="base", digest=base) for base in bases)}


def conclude(spec: MatrixSpec, plan: Plan, store: Store, failed: tuple[FailedVariant, ...]) -> Result:
    """Compare and publish, with what tuning changed; all is quick, and made anew whenever anything was."""
    from harness.breakdown import read, three_dimensions, untrusted
    from harness.compare import compare
    from harness.evidence import gather
    from reports.dimensions import dimension_sections
    from reports.publish import publish

    evidence = gather(spec, plan, store, failed)
    result = compare(evidence)
    store.write_result(plan, result)
    run = MatrixRun(plan.matrix, plan.matrix_digest, store.matrix_folder(plan), plan, result)
    finished = read(spec, run, store, evidence)
    publish(store, run, dimension_sections(three_dimensions(finished), untrusted(finished)))
    return result
