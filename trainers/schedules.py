"""Learning rate and batch order: pure functions of settings, seed and step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from harness.records.settings import TrainSettings


def total_steps(settings: TrainSettings, n_rows: int) -> int:
    """Optimizer steps of a training; a fraction of an epoch is rounded up, and `max_steps` caps all."""
    steps = max(1, math.ceil(settings.epochs * steps_per_epoch(settings, n_rows) - 1e-9))
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def unreached(settings: TrainSettings, n_rows: int) -> list[str]:
    """What the settings ask for and the training is too short for: a warm-up, `max_steps`."""
    total, found = total_steps(settings, n_rows), []
    whole = total_steps(settings.model_copy(update={"max_steps": None}), n_rows)
    if settings.warmup_steps is not None and settings.warmup_steps >= total:
        highest = learning_rate(total - 1, total, 1.0, settings)
        found.append(
            f"`train.warmup_steps: {settings.warmup_steps}`, and the training has {total}: its rate reaches"
            f" {highest:.0%} of `lr`; lower it, or give `warmup_ratio`".replace("%", " %")
        )
    if settings.max_steps is not None and settings.max_steps > whole:
        found.append(
            f"`train.max_steps: {settings.max_steps}` is not reached: `epochs: {settings.epochs}` are {whole};"
            " raise `epochs` to train longer"
        )
    return found


def budgeted_steps(settings: TrainSettings, lengths: Sequence[int], seed: int) -> int:
    """`total_steps`, or fewer where `max_tokens` is reached before: up to the step that reaches it.

    `lengths`: tokens of each training row.
    """
    total = total_steps(settings, len(lengths))
    if settings.max_tokens is None:
        return total
    seen = 0
    for step in range(total):
        seen += sum(lengths[index] for index in batch_at(step, settings, len(lengths), seed))
        if seen >= settings.max_tokens:
            return step + 1
    return total


def steps_per_epoch(settings: TrainSettings, n_rows: int) -> int:
    """The last batch of an epoch may be smaller; every row is seen once."""
    return math.ceil(n_rows / settings.batch_size)


def batch_at(step: int, settings: TrainSettings, n_rows: int, seed: int) -> list[int]:
    """Row indices of optimizer step `step` (0-based); each epoch has its own order."""
    epoch, batch = divmod(step, steps_per_epoch(settings, n_rows))
    first = batch * settings.batch_size
    return list(_epoch_order(n_rows, seed, epoch)[first : first + settings.batch_size])


@lru_cache(maxsize=2)
def _epoch_order(n_rows: int, seed: int, epoch: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng([seed, epoch]).permutation(n_rows).tolist())


def step_seed(seed: int, step: int) -> int:
    """Seed of the random draws (dropout) of one optimizer step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def learning_rate(step: int, total: int, peak: float, settings: TrainSettings) -> float:
    """Rate of optimizer step `step` (0-based) of `total`, as transformers' schedules of the same names give it."""
    warmup = math.ceil(total * settings.warmup_ratio) if settings.warmup_steps is None else settings.warmup_steps
    if step < warmup:
        return peak * step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    match settings.schedule:
        case "constant":
            return peak
        case "linear":
            return peak * (1 - progress)
        case "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * progress))
