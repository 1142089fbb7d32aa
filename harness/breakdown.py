"""A closer look at a finished matrix, from its sealed rows: slices, health of the responses, the three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.align import VariantScores
from harness.compare import CompareInputs
from harness.dimensions import FOLLOWING, QUALITY, Answers, Dimensions, Sources, dimensions
from harness.errors import HarnessError
from harness.evidence import judge_info
from harness.metrics.copies import TrainedOutputs
from harness.metrics.health import Health, health
from harness.metrics.language import AUTO, item_languages
from harness.metrics.semantic_similarity import embedded, packaged
from harness.records.data import Example, SplitExample
from harness.records.plan import VariantPlan
from harness.records.rows import Generation, ScoreRow
from harness.records.variant import Cell
from harness.slices import SliceTable, slice_table, slice_values
from harness.spec.matrix import MatrixSpec
from harness.store import MatrixRun, Store
from harness.thoughts import graded


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished matrix: what it was compared from, its test part, and what was trained on."""

    spec: MatrixSpec
    run: MatrixRun
    store: Store
    inputs: CompareInputs
    tests: tuple[Example, ...]
    trained: TrainedOutputs

    @property
    def plans(self) -> list[VariantPlan]:
        """Of the variants that were finished, in the order of `inputs.variants`."""
        return [each for each in self.run.plan.variants if self.store.sealed(each.generate) is not None]

    @property
    def primary(self) -> str:
        """The measure that ranks."""
        return self.run.result.primary if self.run.result else self.spec.compare.primary

    def generations(self, each: VariantPlan) -> list[Generation]:
        """The variant's responses."""
        return self.store.read(each.generate, Generation)


def read(spec: MatrixSpec, run: MatrixRun, store: Store, inputs: CompareInputs) -> Finished:
    """Read the split. Test items that are left out of the measures are left out here too."""
    tests, trained, left_out = [], TrainedOutputs(), frozenset(inputs.left_out)
    for given in store.stream(run.plan.data, SplitExample):
        example = graded(given.example)
        row = given if example is given.example else given.model_copy(update={"example": example})
        trained.add(row)
        if row.split == "test" and row.example.id not in left_out:
            tests.append(row.example)
    return Finished(spec, run, store, inputs, tuple(tests), trained)


def slices(finished: Finished, field: str, measure: str) -> SliceTable:
    """One measure by a field. Raises HarnessError for a field that makes no slices."""
    given = None if finished.spec.language == AUTO else finished.spec.language
    languages = item_languages(finished.tests, given) if field == "language" else {}
    audit = finished.inputs.audit
    if field == "leaked" and audit is None:
        raise HarnessError("nobody looked for leaks in this matrix", where="--slice leaked", hint="run it again")
    values = slice_values(finished.tests, field, languages, audit.leaked if audit else ())
    return slice_table(finished.inputs, measure, field, values)


def cell_health(finished: Finished) -> list[tuple[Cell, Health]]:
    """Each cell's responses, seeds together."""
    tests = {example.id: example for example in finished.tests}
    rows: dict[Cell, list[Generation]] = {}
    for each in finished.plans:
        rows.setdefault(each.variant.cell, []).extend(finished.generations(each))
    return [(cell, health(found, tests, finished.trained)) for cell, found in rows.items()]


def three_dimensions(finished: Finished) -> list[Dimensions]:
    """Following, quality and stability of each cell, as far as the matrix measures them."""
    answers = [
        Answers(scores, finished.generations(each), _sampled(finished, each))
        for scores, each in zip(finished.inputs.variants, finished.plans, strict=True)
    ]
    tests = {example.id: example for example in finished.tests}
    embed = embedded if packaged() else None
    return dimensions(answers, tests, finished.trained, _sources(finished), embed)


def _sampled(finished: Finished, each: VariantPlan) -> Answers | None:
    """What was answered several times for stability; None where that was not asked for, or is not finished."""
    store = finished.store
    keys = [each.sampled, *each.sampled_scores.values()]
    if each.sampled is None or any(key is None or store.sealed(key) is None for key in keys):
        return None
    scores = {name: store.read(key, ScoreRow) for name, key in each.sampled_scores.items()}
    return Answers(VariantScores(each.variant, scores, {}), store.read(each.sampled, Generation))


def _sources(finished: Finished) -> Sources:
    judges = {judge.rubric: judge for judge in reversed(finished.run.plan.judges)}
    following, quality = judges.get(FOLLOWING), judges.get(QUALITY)
    bleu = next((each.column for each in finished.spec.metrics if each.metric == "bleu"), None)
    sampled = next((name for each in finished.plans for name in each.sampled_scores), finished.primary)
    info = next(info for info in finished.inputs.measures if info.name == sampled)
    return Sources(
        following=following.name if following else None,
        quality=quality.name if quality else None,
        quality_scale=judge_info(quality).bounds if quality else (0, 1),
        bleu=bleu,
        primary=sampled,
        primary_scale=info.bounds,
    )


def untrusted(finished: Finished, rubrics: Sequence[str] = (FOLLOWING, QUALITY)) -> list[str]:
    """Judges with these rubrics that failed their probes, each with the reason."""
    result = finished.run.result
    judges = {judge.name for judge in finished.run.plan.judges if judge.rubric in rubrics}
    return [f"{t.judge}: {t.reason}" for t in (result.trust if result else ()) if t.judge in judges and not t.trusted]
