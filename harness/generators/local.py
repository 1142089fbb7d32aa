"""Greedy responses of a local checkpoint, in fixed batches.

Which prompts share a batch depends on the whole list alone, and finished rows leave their batch at once: a resumed run
that redoes only the unfinished batches gives the same bits. Prompts are read padding-free, their shared prefix once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.errors import ModelError
from harness.generators.decoding import ATTENTION, Decoding, start_decoding
from harness.prompts import (
    PromptStyle,
    Segment,
    answer,
    inference_prompt,
    refuse_another_style,
    render,
    stop_strings,
)
from harness.records.data import SplitExample
from harness.records.inputs import GenerateInput
from harness.records.rows import FinishReason, Generation
from harness.records.settings import GenerateSettings
from trainers.checkpoints import load_variant
from trainers.masking import encode_prompt
from trainers.models import LoadedModel
from trainers.packing import padding_free
from trainers.precision import autocast, device, resolve

Prompt = tuple[str, Sequence[Segment]]
"""An example's id and the segments of its inference prompt."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Token ids of one prompt."""

    example_id: str
    ids: tuple[int, ...]


def generate_variant(
    input: GenerateInput,
    weights_folder: Path | None,
    base_folder: Path,
    examples: Sequence[SplitExample],
    style: PromptStyle,
    done_ids: Set[str] = frozenset(),
    *,
    trust_remote_code: bool = False,
) -> Iterator[list[Generation]]:
    """Responses to the test part, a list for each finished batch; `weights_folder` None is the untuned base.

    Batches whose ids are all in `done_ids` are skipped; others are done whole. Raises ModelError for weights that were
    trained with another style (unless forced), and as `generate` does.
    """
    if not input.settings.force_style:
        refuse_another_style(weights_folder or base_folder, style)
    model = load_variant(weights_folder, base_folder, dtype=torch.float32, trust_remote_code=trust_remote_code)
    model.model.to(device())
    tests = (split_example.example for split_example in examples if split_example.split == "test")
    prompts = [(example.id, inference_prompt(render(style, example, model.tokenizer))) for example in tests]
    yield from generate(model, prompts, input.settings, style, skip=done_ids)


def generate(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    settings: GenerateSettings,
    style: PromptStyle,
    *,
    skip: Set[str] = frozenset(),
) -> Iterator[list[Generation]]:
    """Greedy responses, a list for each finished batch, batches of similar prompt length together.

    A stop string of the style that is one token ends decoding; at a longer one, the text is cut off afterwards.
    `tokens` counts the end-of-sequence token where there is one. Raises ModelError, before anything is generated, for a
    prompt that leaves no room for `max_new_tokens` in the context.
    """
    encoded = [EncodedPrompt(example_id, tuple(encode_prompt(model.tokenizer, text))) for example_id, text in prompts]
    _check_room(encoded, model.context_length, settings.max_new_tokens)
    precision, stops = resolve(settings.precision), stop_tokens(model, style)
    for batch in batches(encoded, settings.batch_size):
        if all(prompt.example_id in skip for prompt in batch):
            continue
        started = time.monotonic()
        with torch.inference_mode(), autocast(precision, model.model.device):
            responses = greedy(model.model, [prompt.ids for prompt in batch], settings.max_new_tokens, stops)
        seconds = (time.monotonic() - started) / len(batch)
        yield [
            _generation(model, style, prompt, ids, stops, seconds) for prompt, ids in zip(batch, responses, strict=True)
        ]


def batches(prompts: Sequence[EncodedPrompt], size: int) -> list[list[EncodedPrompt]]:
    """Prompts sorted by length (ties in given order), cut into batches."""
    by_length = sorted(prompts, key=lambda prompt: len(prompt.ids))
    return [by_length[first : first + size] for first in range(0, len(by_length), size)]


def stop_tokens(model: LoadedModel, style: PromptStyle) -> frozenset[int]:
    """Ids that end a response: the tokenizer's end of sequence, those of the model's generation config, and the style's
    stop strings that are one token.
    """
    strings = [model.tokenizer.encode(stop, add_special_tokens=False) for stop in stop_strings(style)]
    configured = getattr(model.model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    single = [ids[0] for ids in strings if len(ids) == 1]
    return frozenset(token for token in [model.tokenizer.eos_token_id, *listed, *single] if token is not None)


def greedy(model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int, stops: frozenset[int]) -> list[list[int]]:
    """The most likely next token, again and again, until a stop token (included) or `max_new_tokens`."""
    responses: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))  # active[i]: the prompt in row i of the batch
    with padding_free(model, ATTENTION):
        decoding = start_decoding(model, prompts, max_new_tokens)
        for length in range(1, max_new_tokens + 1):
            tokens = decoding.logits.argmax(-1).tolist()
            for prompt, token in zip(active, tokens, strict=True):
                responses[prompt].append(token)
            _drop_finished(decoding, active, tokens, stops)
            if not active or length == max_new_tokens:
                break
            decoding.advance(tokens)
    return responses


def _drop_finished(decoding: Decoding, active: list[int], tokens: list[int], stops: frozenset[int]) -> None:
    """Take finished rows out of the batch; the last row moves into a finished one's place."""
    for place in reversed(range(len(active))):
        if tokens[place] in stops:
            decoding.drop(place)
            active[place], tokens[place] = active[-1], tokens[-1]
            active.pop()
            tokens.pop()


def _check_room(prompts: Sequence[EncodedPrompt], context_length: int, max_new_tokens: int) -> None:
    room = context_length - max_new_tokens
    for prompt in prompts:
        if len(prompt.ids) > room:
            raise ModelError(
                f"the prompt of example {prompt.example_id} has {len(prompt.ids)} tokens; the model's context of"
                f" {context_length} leaves {max(room, 0)} beside {max_new_tokens} new ones",
                hint="shorten the entry, lower generate.max_new_tokens, or take a model with a longer context",
            )


def _generation(  # noqa: PLR0913 - what a response depends on
    model: LoadedModel,
    style: PromptStyle,
    prompt: EncodedPrompt,
    ids: list[int],
    stops: frozenset[int],
    seconds: float,
) -> Generation:
    at_token = ids[-1] in stops
    text = model.tokenizer.decode(ids[:-1] if at_token else ids, skip_special_tokens=True)
    at_string = any(stop in text for stop in stop_strings(style))
    reason: FinishReason = "eos" if at_token or at_string else "length"
    return Generation(
        example_id=prompt.example_id,
        sample=0,
        text=answer(style, text),
        finish_reason=reason,
        tokens=len(ids),
        seconds=seconds,
    )
