"""Responses of a local checkpoint: continuous batching within fixed pieces of the work.

A finished row leaves its batch at once and a waiting prompt takes its place. In floating point a response may depend on
its batch, so the work is cut into pieces that depend on the whole list alone, and a resumed run makes a piece anew of
which anything is missing: that gives the same bits.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.errors import ModelError
from harness.generators.choosing import Chooser, Row, dice_of
from harness.generators.decoding import ATTENTION, start_decoding
from harness.generators.endings import Endings
from harness.generators.layout import keep_low, lay_by_columns
from harness.prompts import (
    PromptStyle,
    Segment,
    answer,
    inference_prompt,
    refuse_another_style,
    render,
)
from harness.records.data import Example, SplitExample
from harness.records.inputs import GenerateInput
from harness.records.rows import Generation
from harness.records.settings import GenerateSettings
from trainers.checkpoints import load_variant
from trainers.lengths import longest_answer
from trainers.masking import encode_prompt
from trainers.memory import running_out_is
from trainers.models import LoadedModel
from trainers.packing import padding_free
from trainers.precision import autocast, device, resolve

NO_ROOM = partial(
    ModelError,
    "out of memory while answering",
    hint="lower generate.batch_size (memory grows with it) or generate.max_new_tokens, or take a smaller model",
)
_HALF_CHARACTER = re.compile(r"(?<!\ufffd)\ufffd{1,3}\Z")
"""What a decoder writes for a character of which only some bytes were made before the limit."""
PIECE = 8
"""A piece of the work is this many batches: what a kill may lose, and how seldom the batch runs empty."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be answered. `reference`: the answer that the data gives, where its length sets the limit."""

    example_id: str
    segments: tuple[Segment, ...]
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One response to be made: token ids of its prompt, and the most tokens that it may have."""

    example_id: str
    sample: int
    ids: tuple[int, ...]
    limit: int


def generate_variant(
    input: GenerateInput,
    weights_folder: Path | None,
    base_folder: Path,
    examples: Sequence[SplitExample],
    style: PromptStyle,
    done: Set[tuple[str, int]] = frozenset(),
    *,
    trust_remote_code: bool = False,
) -> Iterator[list[Generation]]:
    """Responses to the test part as they are finished; `weights_folder` None is the untuned base.

    Raises ModelError for weights that were trained with another style (unless forced), and as `generate` does.
    """
    if not input.settings.force_style:
        refuse_another_style(weights_folder or base_folder, style)
    with running_out_is(NO_ROOM):
        model = load_variant(weights_folder, base_folder, dtype=torch.float32, trust_remote_code=trust_remote_code)
        keep_low(model.model, resolve(input.settings.precision))
        model.model.to(device())
        tests = [split_example.example for split_example in examples if split_example.split == "test"]
        prompts = [prompt_of(each, style, model.tokenizer) for each in tests]
        yield from generate(model, prompts, input.settings, style, done)


def prompt_of(example: Example, style: PromptStyle, tokenizer: Any) -> Prompt:
    """The example as the style puts it."""
    return Prompt(example.id, inference_prompt(render(style, example, tokenizer)), example.output)


def generate(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    settings: GenerateSettings,
    style: PromptStyle,
    done: Set[tuple[str, int]] = frozenset(),
) -> Iterator[list[Generation]]:
    """Responses in lists, as they are finished; pieces whose (example id, sample) are all in `done` are left out.

    A stop string ends decoding at once, whatever tokens it is made of. `tokens` counts the token that ended the
    response. Linear layers of the model are laid out anew in memory. Raises ModelError, before anything is generated,
    for a prompt that leaves no room in the context.
    """
    tasks = tasks_of(model.tokenizer, prompts, settings)
    check_room(tasks, model.context_length)
    lay_by_columns(model.model)
    ends = Endings(model.tokenizer, model.model.generation_config, style)
    for piece in pieces(tasks, settings.batch_size):
        if not all((task.example_id, task.sample) in done for task in piece):
            for rows in responses(model, piece, settings, ends):
                yield [generation(style, piece[row.number], row, ends) for row in rows]


def tasks_of(tokenizer: Any, prompts: Sequence[Prompt], settings: GenerateSettings) -> list[Task]:
    """A task for each sample of each prompt."""
    tasks = []
    for prompt in prompts:
        ids = tuple(encode_prompt(tokenizer, prompt.segments))
        limit = longest_answer(settings.max_new_tokens, tokenizer, prompt.reference)
        tasks += [Task(prompt.example_id, sample, ids, limit) for sample in range(settings.samples)]
    return tasks


def pieces(tasks: Sequence[Task], batch_size: int) -> list[list[Task]]:
    """Tasks sorted by length of prompt, longest first (ties in given order), cut into pieces of several batches."""
    by_length = sorted(tasks, key=lambda task: -len(task.ids))
    size = PIECE * batch_size
    return [by_length[first : first + size] for first in range(0, len(by_length), size)]


def responses(
    model: LoadedModel, tasks: Sequence[Task], settings: GenerateSettings, ends: Endings
) -> Iterator[list[Row]]:
    """Finished rows of one piece of the work, those of one step together; `number` is their task's place."""
    chooser, precision = Chooser(settings), resolve(settings.precision)
    waiting = deque(
        Row(number, task.ids, task.limit, dice_of(settings, task.example_id, task.sample))
        for number, task in enumerate(tasks)
    )
    active: list[Row] = []  # active[i] is row i of the batch
    most = max(task.limit for task in tasks)
    with torch.inference_mode(), autocast(precision, model.model.device), padding_free(model.model, ATTENTION):
        started = time.monotonic()
        decoding = start_decoding(model.model, [task.ids for task in tasks], settings.batch_size, most)
        while active or waiting:
            joining = [waiting.popleft() for _ in range(min(decoding.room, len(waiting)))]
            logits = decoding.advance([row.ids[-1] for row in active], [row.prompt for row in joining])
            active += joining
            for row, token in zip(active, chooser.choose(logits, active), strict=True):
                row.ids.append(token)
            now = time.monotonic()
            for row in active:
                row.seconds += (now - started) / len(active)
            started = now
            finished = []
            for place in reversed(range(len(active))):
                if ends.reason(active[place]) is not None:
                    finished.append(active[place])
                    decoding.drop(place)
                    active[place] = active[-1]
                    active.pop()
            if finished:
                yield finished


def check_room(tasks: Sequence[Task], context_length: int) -> None:
    for task in tasks:
        room = context_length - task.limit
        if len(task.ids) > room:
            raise ModelError(
                f"the prompt of example {task.example_id} has {len(task.ids)} tokens; the model's context of"
                f" {context_length} leaves {max(room, 0)} beside {task.limit} new ones",
                hint="shorten the entry, lower generate.max_new_tokens, or take a model with a longer context",
            )


def generation(style: PromptStyle, task: Task, row: Row, ends: Endings) -> Generation:
    """The row as it is kept: the answer inside its text, and how it came."""
    kept = row.ids[:-1] if row.ids[-1] in ends.tokens else row.ids
    own, reason = ends.without_header(kept), ends.reason(row) or "length"
    text = ends.text(own)
    found = answer(style, _HALF_CHARACTER.sub("", text) if reason == "length" else text)
    cuts = ("stop", *found.cuts) if row.ids[-1] in ends.stops and "stop" not in found.cuts else found.cuts
    return Generation(
        example_id=task.example_id,
        sample=task.sample,
        text=found.text,
        finish_reason=reason,
        tokens=len(row.ids),
        seconds=row.seconds,
        cuts=cuts if len(own) == len(kept) else (*cuts, "template"),
    )
