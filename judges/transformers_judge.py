"""A local model of Hugging Face's layout as a judge that writes nothing: it scores by how likely each verdict is.

Of every reply that the rubric's JSON schema allows, the log-probability is summed over the reply's tokens, closing
brace (or end of turn) included, so that `1` is not the beginning of `10`. The likeliest reply is the answer; all of
them, scaled to sum 1, are its candidates, by which expected scores come out. Where a schema has several keys, one is
settled after the other. A request whose replies cannot be spelled out is answered in the model's own words.

One request at a time and in batches of fixed size: the same question gets the same bits.
"""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from jinja2 import TemplateError
from pydantic import Field

from harness.records.rows import ReplyToken, TokenLogprob
from judges.base import Answer, BackendOptions, Options, Request, RequestFailed, read_options

AT_ONCE = 16
"""Verdicts a batch."""

MOST_VERDICTS = 1001
"""A wider range of integers is not spelled out."""


class TransformersOptions(BackendOptions):
    """Options of `backend: transformers`."""

    device: str = Field("cpu", description="cpu, cuda, cuda:1, mps, …")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Precision of weights and sums.")
    trust_remote_code: bool = Field(False, description="Let the model run code of its own.")


class TransformersJudge:
    """One model, loaded. `model`: a folder, a Hub id, a .gguf file or a packaged model, as in `axes.model`."""

    concurrency = 1
    transport = frozenset({"trust_remote_code"})

    def __init__(self, model: str, options: Options) -> None:
        """Raises JudgeError (bad option), ModelError (no such model, or none that can be read)."""
        import torch

        from trainers.models import convert, load, locate

        settings = read_options(TransformersOptions, options, "transformers")
        source = locate(model, trust_remote_code=settings.trust_remote_code)
        with TemporaryDirectory(prefix="sft-harness-judge-") as scratch:
            folder = source.path if source.kind == "folder" else None
            if folder is None:
                folder = Path(scratch) / "weights"
                convert(source, folder)
            loaded = load(folder, dtype=getattr(torch, settings.dtype), trust_remote_code=settings.trust_remote_code)
        self._torch = torch
        self._device = settings.device
        self._model = loaded.model.to(settings.device)
        self._tokenizer = loaded.tokenizer
        self._context = loaded.context_length
        self._lock = threading.Lock()

    @classmethod
    def identity(cls, model: str, options: Options) -> str:
        """By content: sha256 of the weights, or the Hub's commit. Loads nothing heavy."""
        from trainers.models import locate

        settings = read_options(TransformersOptions, options, "transformers")
        source = locate(model, trust_remote_code=settings.trust_remote_code)
        return f"{source.kind}:{source.identity}"

    def answer(self, request: Request) -> Answer:
        """Raises RequestFailed where the request does not fit the context."""
        prompt = self._prompt(request)
        form = spelled_out(request.schema) if request.schema is not None else None
        room = request.max_tokens if form is None else len(self._ids(form.longest))
        if len(prompt) + room + 1 > self._context:
            raise RequestFailed(f"{len(prompt)} tokens and a reply of {room} do not fit the context of {self._context}")
        with self._lock, self._torch.inference_mode():
            return self._written(prompt, request) if form is None else self._settled(prompt, form, request)

    def close(self) -> None:
        """Let the model go."""
        from trainers.memory import release

        self._model = None
        release()

    def _prompt(self, request: Request) -> list[int]:
        """Token ids up to the reply's beginning."""
        parts = (("system", request.system), ("user", request.user))
        messages = [{"role": role, "content": text} for role, text in parts if text]
        if not self._tokenizer.chat_template:
            plain: list[int] = self._tokenizer("\n\n".join(each["content"] for each in messages) + "\n\n").input_ids
            return plain
        try:
            return self._ids(self._chat(messages))
        except TemplateError:  # Gemma's knows no system message
            if not request.system:
                raise
        return self._ids(self._chat([{"role": "user", "content": f"{request.system}\n\n{request.user}"}]))

    def _chat(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def _settled(self, prompt: list[int], form: Form, request: Request) -> Answer:
        """One value after the other, each the likeliest given those before it."""
        dice = random.Random(request.seed)  # noqa: S311  for a temperature above 0 only
        ids = [*prompt, *self._ids(form.opening)]
        tokens = [ReplyToken(text=form.opening)] if form.opening else []
        for slot in form.slots:
            pieces = [self._ids(choice + slot.after) for choice in slot.choices]
            if not slot.after:
                pieces = [[*piece, self._tokenizer.eos_token_id] for piece in pieces]
            logprobs = self._logprobs(ids, pieces)
            scaled = _scaled(logprobs)
            order = sorted(range(len(scaled)), key=lambda place: -scaled[place])
            chosen = order[0]
            if request.temperature > 0:
                weights = [math.exp((each - scaled[chosen]) / request.temperature) for each in scaled]
                [chosen] = dice.choices(range(len(weights)), weights)
            candidates = tuple(TokenLogprob(token=slot.choices[place], logprob=scaled[place]) for place in order)
            tokens.append(ReplyToken(text=slot.choices[chosen], candidates=candidates))
            if slot.after:
                tokens.append(ReplyToken(text=slot.after))
            ids += pieces[chosen]
        text = "".join(token.text for token in tokens)
        return Answer(text, "stop", len(prompt), len(ids) - len(prompt), tuple(tokens))

    def _logprobs(self, ids: list[int], pieces: Sequence[list[int]]) -> list[float]:
        """Natural-log probability of each piece after `ids`, which are computed once."""
        torch = self._torch
        head = self._model(torch.tensor([ids], device=self._device), use_cache=True)
        first = torch.log_softmax(head.logits[0, -1].cpu().double(), -1)  # (V,)
        found: list[float] = []
        for begin in range(0, len(pieces), AT_ONCE):
            part = list(pieces[begin : begin + AT_ONCE])
            width = max(map(len, part))
            rows = torch.tensor([piece + [0] * (width - len(piece)) for piece in part], device=self._device)  # (B, W)
            cache = deepcopy(head.past_key_values)
            cache.batch_repeat_interleave(len(part))
            mask = torch.ones(len(part), len(ids) + width, dtype=torch.long, device=self._device)
            for row, piece in enumerate(part):
                mask[row, len(ids) + len(piece) :] = 0
            logits = self._model(rows, past_key_values=cache, attention_mask=mask, use_cache=True).logits  # (B, W, V)
            following = torch.log_softmax(logits.cpu().double(), -1)  # position t predicts t+1
            for row, piece in enumerate(part):
                rest = (float(following[row, place, piece[place + 1]]) for place in range(len(piece) - 1))
                found.append(math.fsum([float(first[piece[0]]), *rest]))
        return found

    def _written(self, prompt: list[int], request: Request) -> Answer:
        """Token by token: the likeliest one, or drawn by the request's seed where it has a temperature."""
        torch = self._torch
        ids = torch.tensor([prompt], device=self._device)
        end = self._tokenizer.eos_token_id
        drawn = {"temperature": request.temperature, "top_k": 0, "top_p": 1.0} if request.temperature > 0 else {}
        with torch.random.fork_rng([ids.device] if ids.is_cuda else []):
            torch.manual_seed(request.seed)
            out = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=bool(drawn),
                max_new_tokens=request.max_tokens,
                pad_token_id=end if end is not None else 0,
                **drawn,
            )[0, len(prompt) :].tolist()
        stopped = end is not None and end in out
        text = self._tokenizer.decode(out, skip_special_tokens=True)
        return Answer(text, "stop" if stopped else "length", len(prompt), len(out))


# ---------------------------------------------------------------- what may be said


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that is chosen, and the text that follows whichever is; no text: the reply ends."""

    choices: tuple[str, ...]
    after: str


@dataclass(frozen=True, slots=True)
class Form:
    """Every reply that a schema allows: the opening, then slot after slot."""

    opening: str
    slots: tuple[Slot, ...]

    @property
    def longest(self) -> str:
        """The reply of most characters."""
        return self.opening + "".join(max(slot.choices, key=len) + slot.after for slot in self.slots)


def spelled_out(schema: Mapping[str, Any]) -> Form | None:
    """None for a schema with values that cannot be listed (strings, unbounded numbers, nested objects)."""
    if schema.get("type") != "object":
        choices = _choices(schema)
        return Form("", (Slot(choices, ""),)) if choices else None
    properties: Mapping[str, Any] = schema.get("properties", {})
    values = [_choices(each) for each in properties.values()]
    if not values or not all(values):
        return None
    keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in properties]
    afters = [*(f", {key}" for key in keys[1:]), "}"]
    slots = tuple(Slot(choices, after) for choices, after in zip(values, afters, strict=True) if choices)
    return Form("{" + keys[0], slots)


def _choices(schema: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "enum" in schema:
        return tuple(json.dumps(each, ensure_ascii=False) for each in schema["enum"])
    if schema.get("type") == "boolean":
        return ("true", "false")
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") != "integer" or low is None or high is None or high - low >= MOST_VERDICTS:
        return None
    return tuple(str(value) for value in range(low, high + 1))


def _scaled(logprobs: Sequence[float]) -> list[float]:
    """The same, less the logarithm of their sum."""
    most = max(logprobs)
    total = most + math.log(math.fsum(math.exp(each - most) for each in logprobs))
    return [min(0.0, each - total) for each in logprobs]
