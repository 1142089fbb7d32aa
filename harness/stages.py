"""What each stage does: read sealed inputs, write one object. Knows neither order nor matrix.

trainers, generators, judges and metrics are imported inside the functions that use them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.data.split import PARTS, check_parts
from harness.errors import DataError
from harness.loss_curve import loss_curve
from harness.prompts import PromptStyle
from harness.records.base import digest
from harness.records.data import Example, SplitExample, SplitName
from harness.records.inputs import (
    AskInput,
    AuditInput,
    BaseInput,
    DataInput,
    GenerateInput,
    ImportedInput,
    JudgeInput,
    ProbeInput,
    ScoreInput,
    ServedInput,
    StageKey,
    StageName,
    TrainInput,
)
from harness.records.plan import PlannedStage
from harness.records.rows import Generation, LossRow, MetricRow, NoMetricRow, ReplyRow
from harness.records.seal import AskFacts, AuditFacts, DataFacts, Facts, ImportFacts, ScoreFacts
from harness.records.settings import AuditKind
from harness.resolved import Resolved, ResolvedJudge, ResolvedMetric, ResolvedServed
from harness.store import ObjectWriter, Store

if TYPE_CHECKING:
    from harness.data.audit import TokenLimit

CURVE_UPDATES = 200
"""How often a training's loss curve is drawn anew."""
PROBE_SEED = 0
"""Of the choice of other items' references."""


@dataclass(slots=True)
class Workshop:
    """What stages share within one run. `advance(units)` tells the progress of the stage at work."""

    store: Store
    resolved: Resolved
    advance: Callable[[int], None]
    remark: Callable[[str], None] = lambda text: None
    """How the stage at work goes, in a few words."""
    matrix: str = ""
    track: tuple[str, ...] = ()
    devices: int = 1
    """Processes that train a variant together."""
    labels: dict[StageKey, str] = field(default_factory=dict)
    """Name of the variant that a stage works for."""
    detected: dict[str, dict[str, str]] = field(default_factory=dict)
    """Languages of the test examples, by digest of the data."""
    engine: tuple[ResolvedJudge, Any] | None = None
    """The judge that is loaded; one at a time is kept."""
    budget: Any = None
    """judges.budget.Budget of this run; None: no limit."""

    def style(self, sha256: str) -> PromptStyle:
        """The prompt style with these bytes."""
        return next(style for style in self.resolved.styles.values() if style.sha256 == sha256)

    def count(self, data_digest: str, part: SplitName) -> int:
        """Entries of a part of the sealed split."""
        seal = self.store.sealed(StageKey(stage="data", digest=data_digest))
        assert seal is not None and isinstance(seal.facts, DataFacts)  # noqa: S101 - made before whoever reads it
        return seal.facts.parts[part]

    def rows(self, data_digest: str) -> list[SplitExample]:
        """The sealed split."""
        return self.store.read(StageKey(stage="data", digest=data_digest), SplitExample)

    def tests(self, data_digest: str) -> list[Example]:
        """The test examples, in file order."""
        return [row.example for row in SealedSplit(self.store, data_digest) if row.split == "test"]

    def languages(self, data_digest: str) -> dict[str, str]:
        """Language of each test example's reference: as the matrix says, else detected once."""
        if data_digest not in self.detected:
            from harness.metrics.language import item_languages

            self.detected[data_digest] = item_languages(self.tests(data_digest), self.resolved.language)
        return self.detected[data_digest]

    def generations(self, generations_digest: str) -> list[Generation]:
        """The rows of a generate or probe object, ordered by example and sample."""
        stage: StageName = "generate"
        if self.store.sealed(StageKey(stage="generate", digest=generations_digest)) is None:
            stage = "probe"
        rows = self.store.read(StageKey(stage=stage, digest=generations_digest), Generation)
        return sorted(rows, key=lambda row: (row.example_id, row.sample))

    def trusts_code(self, base_digest: str) -> bool:
        """Whether the matrix lets this base model run code of its own."""
        return any(
            model.input.trust_remote_code and digest(model.input) == base_digest
            for model in self.resolved.models.values()
        )

    def judge(self, resolved: ResolvedJudge) -> Any:
        """The judge's backend, loaded once."""
        from judges.base import load_judge

        if self.engine is None or self.engine[0] != resolved:
            self.close()  # the old one's memory goes before the new one's comes
            spec = resolved.spec
            self.engine = (resolved, load_judge(spec.backend, spec.model, spec.options))
        return self.engine[1]

    def close(self) -> None:
        """Let go of the loaded judge."""
        if self.engine is not None:
            self.engine[1].close()
            self.engine = None


def make(workshop: Workshop, planned: PlannedStage, writer: ObjectWriter) -> Facts | None:  # noqa: PLR0911 - one a stage
    """Fill the object; the caller seals it."""
    match planned.input:
        case DataInput() as data:
            return make_data(workshop, data, writer)
        case AuditInput() as audit:
            return make_audit(workshop, audit, writer)
        case BaseInput() as base:
            make_base(workshop, base, writer)
        case TrainInput() as train:
            return make_training(workshop, train, writer)
        case GenerateInput() | ServedInput() | ImportedInput() as generate:
            return make_responses(workshop, generate, writer)
        case ScoreInput() as score:
            return make_scores(workshop, score, writer)
        case ProbeInput() as probe:
            make_probe(workshop, probe, writer)
        case AskInput() as ask:
            return make_replies(workshop, ask, writer)
        case JudgeInput() as judge:
            make_judgments(workshop, judge, writer)
    return None


def units(workshop: Workshop, planned: PlannedStage) -> int:
    """Size of a stage in the units that its progress counts (examples, responses, values, verdicts)."""
    match planned.input:
        case TrainInput(settings=settings, data=data):
            steps = settings.max_steps or 10**9
            return max(1, min(round(settings.epochs * workshop.count(data, "train")), steps * settings.batch_size))
        case GenerateInput(data=data, settings=settings):
            return workshop.count(data, "test") * settings.samples
        case ServedInput(data=data, samples=samples):
            return workshop.count(data, "test") * samples
        case ImportedInput(data=data) | ScoreInput(data=data):
            return workshop.count(data, "test")
        case AskInput(items=items, repeats=repeats, data=data):
            n_test = workshop.count(data, "test")
            return min(items or n_test, n_test) * repeats
        case _:
            return 1


@dataclass(frozen=True, slots=True)
class SealedSplit:
    """The rows of a sealed split, read anew by each iteration."""

    store: Store
    digest: str

    def __iter__(self) -> Iterator[SplitExample]:
        return self.store.stream(StageKey(stage="data", digest=self.digest), SplitExample)


def make_data(workshop: Workshop, given: DataInput, writer: ObjectWriter) -> DataFacts:
    """Write the split, without what the audit is to drop. Raises DataError where a part loses all its entries."""
    data = workshop.resolved.data
    dropped: dict[int, AuditKind] = {}
    if given.dropping is not None:
        from harness.data.audit import to_drop

        dropped = to_drop(data, given.dropping.kinds, given.dropping.similarity or 1.0)
    counts: dict[SplitName, int] = dict.fromkeys(PARTS, 0)

    def kept() -> Iterator[SplitExample]:
        for number, row in enumerate(data):
            if number not in dropped:
                counts[row.split] += 1
                yield row

    writer.replace_rows(kept())
    check_parts(len(data.codes), counts)
    more = (f"and {data.bad_rows - len(data.rejected)} more",) if data.bad_rows > len(data.rejected) else ()
    return DataFacts(parts=counts, bad_rows=(*data.rejected, *more), dropped=dict(Counter(dropped.values())))


def make_audit(workshop: Workshop, given: AuditInput, writer: ObjectWriter) -> AuditFacts:
    """Examine the sealed split. Raises DataError for a finding that the matrix forbids."""
    from harness.data.audit import audit
    from harness.data.audit_summary import raise_if_forbidden, summarise

    seal = workshop.store.sealed(StageKey(stage="data", digest=given.data))
    assert seal is not None and isinstance(seal.facts, DataFacts)  # noqa: S101 - made before its audit
    found = audit(SealedSplit(workshop.store, given.data), given.settings, token_limits(workshop, given))
    summary = summarise(found, seal.facts.dropped, workshop.resolved.data.bad_rows)
    raise_if_forbidden(summary, given.settings)
    writer.replace_rows(found.findings)
    return AuditFacts(summary=summary)


def token_limits(workshop: Workshop, given: AuditInput) -> list[TokenLimit]:
    """How many tokens training takes of a row, and how a row's are counted: for each model and prompt style."""
    from trainers.lengths import token_limit
    from trainers.models import load_tokenizer

    limits = []
    for base in given.bases:
        weights = workshop.store.weights(StageKey(stage="base", digest=base))
        tokenizer, context = load_tokenizer(weights, trust_remote_code=workshop.trusts_code(base))
        model = next(model.name for model in workshop.resolved.models.values() if digest(model.input) == base)
        styles = [workshop.style(sha256) for sha256 in given.styles_sha256]
        limits += [token_limit(model, tokenizer, context, style, given.max_length) for style in styles]
    return limits


def make_base(workshop: Workshop, base: BaseInput, writer: ObjectWriter) -> None:
    """Convert a base model into safetensors, once."""
    from trainers.models import convert, locate

    name = next(model.name for model in workshop.resolved.models.values() if model.input == base)
    convert(locate(name, trust_remote_code=base.trust_remote_code), writer.weights)


def make_training(workshop: Workshop, given: TrainInput, writer: ObjectWriter) -> Facts:
    """Train one variant; its loss rows are written once it is done."""
    losses: list[LossRow] = []
    trackers = open_trackers(workshop, given)

    def on_step(row: LossRow, total: int) -> None:
        losses.append(row)
        workshop.advance(given.settings.batch_size)
        if row.step % max(1, total // CURVE_UPDATES) == 0 or row.step == total:
            workshop.remark(loss_curve(losses))
        for tracker in trackers:
            tracker.log(row, sum(each.loss_tokens for each in losses))

    with ExitStack() as open_ones:
        for tracker in trackers:
            open_ones.callback(tracker.close)
        facts = train(workshop, given, writer, on_step)
    writer.replace_rows(losses)
    return facts


def train(
    workshop: Workshop, given: TrainInput, writer: ObjectWriter, on_step: Callable[[LossRow, int], None]
) -> Facts:
    """In this process, or in several together."""
    base, style = workshop.store.weights(StageKey(stage="base", digest=given.base)), workshop.style(given.style_sha256)
    trusted = workshop.trusts_code(given.base)
    if workshop.devices == 1:
        from trainers.sft import train_variant

        rows = workshop.rows(given.data)
        return train_variant(
            given, base, rows, style, writer.weights, writer.scratch, on_step, trust_remote_code=trusted
        )
    from harness.records.job import TrainJob
    from trainers.launch import train_together

    together = writer.scratch / "together"
    job = TrainJob(
        input=given,
        base=base,
        rows=workshop.store.folder(StageKey(stage="data", digest=given.data)) / "rows.jsonl",
        style=style,
        weights=writer.weights,
        checkpoints=writer.scratch / "checkpoints",
        progress=together / "steps.jsonl",
        outcome=together / "outcome.json",
        trust_remote_code=trusted,
    )
    return train_together(job, workshop.devices, together, on_step)


def open_trackers(workshop: Workshop, train: TrainInput) -> list[Any]:
    """The trackers that the matrix asks for, each with a run named as the variant."""
    if not workshop.track:
        return []
    from trainers.trackers import open_tracker

    name = workshop.labels[StageKey(stage="train", digest=digest(train))]
    settings = train.model_dump(mode="json", include={"masking", "method", "seed", "settings"})
    folder = workshop.store.tracking
    return [
        open_tracker(each, matrix=workshop.matrix, variant=name, settings=settings, folder=folder)
        for each in workshop.track
    ]


def make_responses(
    workshop: Workshop, given: GenerateInput | ServedInput | ImportedInput, writer: ObjectWriter
) -> ImportFacts | None:
    """Responses to the test set, from wherever they come."""
    match given:
        case GenerateInput():
            make_generations(workshop, given, writer)
        case ServedInput():
            make_served(workshop, given, writer)
        case ImportedInput():
            return make_import(workshop, given, writer)
    return None


def make_generations(workshop: Workshop, generate: GenerateInput, writer: ObjectWriter) -> None:
    """Answer the test set; of an interrupted run, pieces of the work that were whole are kept."""
    from harness.generators.local import generate_variant

    kept: list[Generation] = writer.kept_rows(Generation)
    workshop.advance(len(kept))
    trained = generate.weights != generate.base
    batches = generate_variant(
        generate,
        workshop.store.weights(StageKey(stage="train", digest=generate.weights)) if trained else None,
        workshop.store.weights(StageKey(stage="base", digest=generate.base)),
        workshop.rows(generate.data),
        workshop.style(generate.style_sha256),
        {(row.example_id, row.sample) for row in kept},
        trust_remote_code=workshop.trusts_code(generate.base),
    )
    for batch in batches:
        writer.append(batch)
        workshop.advance(len(batch))
    put_in_order(workshop.tests(generate.data), writer)


def put_in_order(tests: list[Example], writer: ObjectWriter) -> None:
    """Responses in the order of the test items, each once."""
    order = {example.id: index for index, example in enumerate(tests)}
    written: list[Generation] = writer.kept_rows(Generation)
    rows = {(row.example_id, row.sample): row for row in written}  # of a piece that was torn, the second making counts
    whole: list[Generation] = sorted(rows.values(), key=lambda row: (order[row.example_id], row.sample))
    writer.replace_rows(whole)


def make_served(workshop: Workshop, given: ServedInput, writer: ObjectWriter) -> None:
    """Ask a served model for whatever it has not answered yet; each response is kept as it comes."""
    from harness.generators.served import answer_all, requests
    from judges.base import load_judge

    resolved = next(each for each in workshop.resolved.served.values() if serves(each, given))
    kept: list[Generation] = writer.kept_rows(Generation)
    workshop.advance(len(kept))
    tests = workshop.tests(given.data)
    wanted = requests(tests, given, {(row.example_id, row.sample) for row in kept})

    def on_response(row: Generation) -> None:
        writer.append([row])
        workshop.advance(1)

    if wanted:
        workshop.close()  # a loaded judge may take the memory that the endpoint needs
        backend = load_judge(resolved.spec.backend, resolved.spec.model, resolved.spec.options)
        try:
            answer_all(
                backend,
                wanted,
                on_response=on_response,
                limits=resolved.spec.limits,
                budget=workshop.budget,
                price=resolved.price,
            )
        finally:
            backend.close()
    put_in_order(tests, writer)


def serves(served: ResolvedServed, given: ServedInput) -> bool:
    """Whether this served model of the matrix is the one that these responses are of."""
    mine = (served.spec.backend, served.model_identity, served.spec.system, served.options)
    return mine == (given.backend, given.model_identity, given.system, given.options)


def make_import(workshop: Workshop, given: ImportedInput, writer: ObjectWriter) -> ImportFacts:
    """Take responses over from a file. Raises DataError where the file has changed meanwhile, and as `align` does."""
    from harness.generators.imported import align, read_responses
    from harness.gguf import file_sha256

    path = next(each.path for each in workshop.resolved.imported.values() if each.sha256 == given.file_sha256)
    if file_sha256(path) != given.file_sha256:
        raise DataError("has changed since this run began", where=str(path), hint="run again")
    aligned = align(read_responses(path, given.field), workshop.tests(given.data), path, given.missing)
    writer.replace_rows(aligned.rows)
    workshop.advance(len(aligned.rows))
    return ImportFacts(unmatched=aligned.unmatched, missing=aligned.missing)


def make_scores(workshop: Workshop, score: ScoreInput, writer: ObjectWriter) -> ScoreFacts:
    """One metric over one variant's responses."""
    from harness.metrics.base import Item, ItemScore
    from harness.metrics.scoring import score as score_items

    tests = {example.id: example for example in workshop.tests(score.data)}
    languages = workshop.languages(score.data)
    resolved = next(each for each in workshop.resolved.metrics.values() if scores_as(each, score))
    generations = workshop.generations(score.generations)
    items = [Item(row.text, tests[row.example_id].references, languages[row.example_id]) for row in generations]
    scored = score_items(resolved.metric, items, resolved.recipe, processes=usable_cores())
    writer.replace_rows(
        MetricRow(example_id=row.example_id, sample=row.sample, value=outcome.value, counts=outcome.counts)
        if isinstance(outcome, ItemScore)
        else NoMetricRow(example_id=row.example_id, sample=row.sample, reason=outcome.reason)
        for row, outcome in zip(generations, scored.outcomes, strict=True)
    )
    workshop.advance(len(items))
    return ScoreFacts(
        corpus=scored.corpus,
        signature=resolved.metric.signature(),
        empty=scored.empty,
        unscored=scored.unscored,
    )


def scores_as(each: ResolvedMetric, score: ScoreInput) -> bool:
    """Whether this metric of the matrix is the one that is asked for."""
    return (each.metric.name, each.metric.signature()) == (score.metric, score.signature)


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_probe(workshop: Workshop, probe: ProbeInput, writer: ObjectWriter) -> None:
    """Answers of known worth."""
    from judges.probes import probe_generations

    writer.replace_rows(probe_generations(workshop.tests(probe.data), probe.items, PROBE_SEED))


def make_replies(workshop: Workshop, ask: AskInput, writer: ObjectWriter) -> AskFacts:
    """Ask the judge whatever it has not been asked yet; each reply is kept as it comes."""
    from judges.ask import ask as put_questions
    from judges.bill import bill
    from judges.questions import judge_requests, pending
    from judges.rubric import load_rubric

    resolved = next(judge for judge in workshop.resolved.judges if asks_as(judge, ask))
    rubric = load_rubric(resolved.rubric)
    generations = workshop.generations(ask.generations)
    requests = judge_requests(rubric, workshop.tests(ask.data), generations, ask, opponents(workshop, ask, generations))
    kept: list[Any] = writer.kept_rows(ReplyRow)
    workshop.advance(len(kept))

    def on_reply(row: Any) -> None:
        writer.append([row])
        workshop.advance(1)

    left = pending(requests, kept)
    if left:
        put_questions(
            workshop.judge(resolved),
            left,
            on_reply=on_reply,
            limits=resolved.spec.limits,
            budget=workshop.budget,
            price=resolved.price,
            name=digest(ask),
        )
    return bill(writer.kept_rows(ReplyRow), resolved.price)


def opponents(workshop: Workshop, ask: AskInput, generations: list[Generation]) -> dict[tuple[str, int], str] | None:
    """What a pairwise rubric compares each answer with, by (example, sample); None for any other rubric."""
    if ask.against is None:
        return None
    if ask.against == "reference":
        texts = {example.id: example.output for example in workshop.tests(ask.data)}
        return {(row.example_id, row.sample): texts[row.example_id] for row in generations if row.example_id in texts}
    return {(row.example_id, row.sample): row.text for row in workshop.generations(ask.against)}


def asks_as(judge: ResolvedJudge, ask: AskInput) -> bool:
    """Whether this judge of the matrix is the one whose questions these are."""
    mine = (judge.spec.backend, judge.model_identity, judge.prompt_sha256, judge.options)
    return mine == (ask.backend, ask.model_identity, ask.prompt_sha256, ask.options)


def make_judgments(workshop: Workshop, judge: JudgeInput, writer: ObjectWriter) -> None:
    """Read the replies, in the order of their questions."""
    from judges.parse import parse
    from judges.rubric import load_rubric

    resolved = next(each for each in workshop.resolved.judges if each.parser_sha256 == judge.parser_sha256)
    rubric = load_rubric(resolved.rubric)
    replies: list[Any] = workshop.store.read(StageKey(stage="ask", digest=judge.replies), ReplyRow)
    replies.sort(key=lambda row: (row.example_id, row.sample, row.repeat))
    writer.replace_rows(parse(reply, rubric, expected=judge.expected_score) for reply in replies)
