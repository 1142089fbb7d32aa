"""The tokenised split, and training one variant on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.imports import many_modules
from harness.loss_curve import loss_curve
from harness.records.base import digest
from harness.records.inputs import (
    StageKey,
    TokensInput,
    TrainInput,
    tokens_of,
)
from harness.records.rows import LossRow
from harness.records.seal import Facts
from harness.stages.scores import usable_cores
from harness.stages.workshop import Workshop
from harness.store import ObjectWriter

CURVE_UPDATES = 200
"""How often a training's loss curve is drawn anew."""


def make_tokens(workshop: Workshop, given: TokensInput, writer: ObjectWriter) -> None:
    """Render and tokenise the split, in all processors."""
    from trainers.token_shards import Recipe, write_shards

    base = workshop.store.weights(StageKey(stage="base", digest=given.base))
    recipe = Recipe(base, workshop.style(given.style_sha256), workshop.trusts_code(given.base), writer.tokens)
    split = workshop.store.folder(StageKey(stage="data", digest=given.data)) / "rows.jsonl"
    write_shards(split, recipe, processes=usable_cores(), on_rows=workshop.advance)


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

    finished = False
    try:
        facts = train(workshop, given, writer, on_step)
        finished = True
    finally:
        for tracker in trackers:
            tracker.close(finished=finished)
    writer.replace_rows(losses)
    return facts


def train(
    workshop: Workshop, given: TrainInput, writer: ObjectWriter, on_step: Callable[[LossRow, int], None]
) -> Facts:
    """In this process, or in several together."""
    base, style = workshop.store.weights(StageKey(stage="base", digest=given.base)), workshop.style(given.style_sha256)
    trusted = workshop.trusts_code(given.base)
    tokens = workshop.store.tokens(StageKey(stage="tokens", digest=digest(tokens_of(given))))
    checkpoints = writer.scratch / "checkpoints"
    if workshop.launch.alone:
        with many_modules():
            from trainers.sft import train_variant

        return train_variant(
            given, base, tokens, style, writer.weights, checkpoints, on_step, trust_remote_code=trusted
        )
    from harness.records.job import TrainJob
    from trainers.launch import train_together

    together = writer.scratch / "together"
    job = TrainJob(
        input=given,
        base=base,
        tokens=tokens,
        style=style,
        weights=writer.weights,
        checkpoints=checkpoints,
        progress=together / "steps.jsonl",
        outcome=together / "outcome.json",
        trust_remote_code=trusted,
        sharded=workshop.launch.sharding == "fsdp",
    )
    return train_together(job, workshop.launch, together, on_step)


def open_trackers(workshop: Workshop, train: TrainInput) -> list[Any]:
    """The trackers that the matrix asks for, each with a run named as the variant."""
    if not workshop.track:
        return []
    from trainers.trackers import Forgiving, open_tracker

    name = workshop.labels[StageKey(stage="train", digest=digest(train))]
    settings = train.model_dump(mode="json", include={"masking", "method", "seed", "settings"})
    folder = workshop.store.tracking
    return [
        Forgiving(each, open_tracker(each, matrix=workshop.matrix, variant=name, settings=settings, folder=folder))
        for each in workshop.track
    ]
