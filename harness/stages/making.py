"""What each stage does: read sealed inputs, write one object. Knows neither order nor matrix."""

from __future__ import annotations

from harness.data.split import PARTS
from harness.records.inputs import (
    AskInput,
    AuditInput,
    BaseInput,
    ContestInput,
    DataInput,
    GenerateInput,
    ImportedInput,
    JudgeInput,
    ProbeInput,
    ScoreInput,
    ServedInput,
    TokensInput,
    TrainInput,
)
from harness.records.plan import PlannedStage
from harness.records.seal import Facts
from harness.stages.data import make_audit, make_base, make_data
from harness.stages.judging import make_contest, make_judgments, make_probe, make_replies
from harness.stages.responses import make_responses
from harness.stages.scores import make_scores
from harness.stages.training import make_tokens, make_training
from harness.stages.workshop import Workshop
from harness.store import ObjectWriter


def make(workshop: Workshop, planned: PlannedStage, writer: ObjectWriter) -> Facts | None:  # noqa: C901, PLR0911 - one a stage
    """Fill the object; the caller seals it."""
    match planned.input:
        case DataInput() as data:
            return make_data(workshop, data, writer)
        case AuditInput() as audit:
            return make_audit(workshop, audit, writer)
        case BaseInput() as base:
            make_base(workshop, base, writer)
        case TokensInput() as tokens:
            make_tokens(workshop, tokens, writer)
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
        case ContestInput() as contest:
            return make_contest(workshop, contest, writer)
        case JudgeInput() as judge:
            make_judgments(workshop, judge, writer)
    return None


def units(workshop: Workshop, planned: PlannedStage) -> int:  # noqa: PLR0911 - one a stage
    """Size of a stage in the units that its progress counts (examples, responses, values, verdicts)."""
    match planned.input:
        case TokensInput(data=data):
            return sum(workshop.count(data, part) for part in PARTS)
        case TrainInput(settings=settings, data=data, fold=fold):
            steps, rows = settings.max_steps or 10**9, workshop.count(data, "train", fold)
            return max(1, min(round(settings.epochs * rows), steps * settings.batch_size))
        case GenerateInput(data=data, settings=settings, fold=fold):
            return workshop.count(data, "test", fold) * settings.samples
        case ServedInput(data=data, samples=samples):
            return workshop.count(data, "test") * samples
        case ImportedInput(data=data) | ScoreInput(data=data):
            return workshop.count(data, "test")
        case AskInput(items=items, repeats=repeats, data=data):
            n_test = workshop.count(data, "test")
            return min(items or n_test, n_test) * repeats
        case ContestInput(games=games):
            return 2 * games
        case _:
            return 1
