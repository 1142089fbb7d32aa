"""What the missing stages of a plan would take: time, calls, tokens, money."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from harness.data.dataset import Dataset
from harness.prompts import STYLES, render
from harness.records.inputs import AskInput, ContestInput, StageKey
from harness.records.plan import Plan
from harness.records.settings import Price
from harness.resolved import Resolved, ResolvedJudge, ResolvedServed
from harness.spec.matrix import MatrixSpec


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rough cost of the stages that are not sealed: seconds by stage on about 2 CPU cores, and what is asked for."""

    seconds: dict[str, float]
    judges: tuple[CallsEstimate, ...] = ()
    served: tuple[CallsEstimate, ...] = ()

    @property
    def judge_calls(self) -> int:
        """Calls to all judges."""
        return sum(judge.calls for judge in self.judges)

    @property
    def served_calls(self) -> int:
        """Calls to all served models."""
        return sum(model.calls for model in self.served)


@dataclass(frozen=True, slots=True)
class CallsEstimate:
    """What is left to ask one judge or served model. `cost`: US dollars; None: no price is known."""

    name: str
    calls: int
    prompt_tokens: int
    reply_tokens: int
    cost: float | None


FLOPS = 1e11
"""Assumed floating-point operations a second of two CPU cores in fp32; a GPU is far faster."""
START_SECONDS = 8.0
"""Until torch and transformers are imported."""
CONVERTED = 8e6
"""Parameters of a base model that are converted in a second."""
LOADED = 25e6
"""Parameters that are loaded, warmed up or saved in a second, for each training and each answering."""
CALL_SECONDS = 0.6
SERVED_TOKENS_SECOND = 30.0
"""Of a served model, for each call that is under way."""
FILLED = 0.7
"""Share of the most new tokens that a response takes, as assumed."""
PROBES_AN_ITEM = 8
MOST_PROBED = 50
"""Items whose answers are made into probes: enough for intervals of ±0.1 about an AUC."""
CHARACTERS_A_TOKEN = 4.0
MEASURED_ROWS = 20_000
"""Entries among which the test questions are measured."""


def estimate(spec: MatrixSpec, plan: Plan, resolved: Resolved, missing: set[StageKey]) -> Estimate:
    """Time from floating-point operations: 6 a parameter and token for full training, 4 for LoRA, 2 for decoding.

    Before that, models are converted and loaded, which is most of a small run.
    """
    seconds = preparation(plan, resolved, missing)
    tokens = mean_tokens(resolved)
    sampled = spec.stability.samples if spec.stability else 0
    for each in plan.variants:
        if each.base is None:
            continue
        parameters = resolved.models[each.variant.model].parameters
        fold = each.variant.fold
        n_train, n_test = resolved.data.count("train", fold), resolved.data.count("test", fold)
        if each.train in missing:
            rows = min(spec.train.epochs * n_train, (spec.train.max_steps or 10**9) * spec.train.batch_size)
            cost = (6 if each.variant.method == "full" else 4) * parameters * rows * tokens / FLOPS
            seconds["train"] = seconds.get("train", 0) + cost + parameters / LOADED
        for key, samples in ((each.generate, spec.generate.samples), (each.sampled, sampled)):
            if key not in missing:
                continue
            decoded = n_test * samples * spec.generate.most_new_tokens * FILLED
            cost = 2 * parameters * (decoded + n_test * tokens) / FLOPS
            seconds["generate"] = seconds.get("generate", 0) + cost + parameters / LOADED
    judges = tuple(judge_estimates(plan, resolved, missing, spec.generate.samples))
    calls = sum(judge.calls for judge in judges)
    if calls:
        seconds["judge"] = calls * CALL_SECONDS
    asked = [served_estimate(each, spec, plan, resolved, missing) for each in resolved.served.values()]
    if any(served.calls for served, _ in asked):
        seconds["served"] = sum(taken for _, taken in asked)
    return Estimate(seconds, judges, tuple(served for served, _ in asked))


def preparation(plan: Plan, resolved: Resolved, missing: set[StageKey]) -> dict[str, float]:
    """Seconds until the first model can be loaded; nothing where none is to be."""
    local = [each for each in plan.variants if each.base is not None]
    if not any({each.base, each.train, each.generate, each.sampled} & missing for each in local):
        return {}
    bases = {each.base: resolved.models[each.variant.model].parameters for each in local if each.base in missing}
    return {"prepare": START_SECONDS + sum(bases.values()) / CONVERTED}


def served_estimate(
    served: ResolvedServed, spec: MatrixSpec, plan: Plan, resolved: Resolved, missing: set[StageKey]
) -> tuple[CallsEstimate, float]:
    """What is left to ask one served model, and its seconds, retries left out."""
    variant = served.spec.variant
    settings, limits = spec.generate, served.spec.limits
    samples = sum(
        settings.samples * (each.generate in missing)
        + (spec.stability.samples if spec.stability else 0) * (each.sampled in missing)
        for each in plan.variants
        if each.variant == variant
    )
    tests = [row.example for row in itertools.islice(resolved.data, MEASURED_ROWS) if row.split == "test"]
    asked = sum(len(served.spec.system) + len(each.instruction) + len(each.input) for each in tests)
    calls = resolved.data.count("test") * samples
    prompt = round(calls * asked / max(1, len(tests)) / CHARACTERS_A_TOKEN)
    reply = round(calls * settings.most_new_tokens * FILLED)
    at_once = limits.concurrency or 1
    seconds = (calls * CALL_SECONDS + reply / SERVED_TOKENS_SECOND) / at_once
    if limits.requests_per_minute is not None:
        seconds = max(seconds, 60 * calls / limits.requests_per_minute)
    if limits.tokens_per_minute is not None:
        seconds = max(seconds, 60 * (prompt + reply) / limits.tokens_per_minute)
    return CallsEstimate(variant.model, calls, prompt, reply, money(served.price, prompt, reply)), seconds


def money(price: Price | None, prompt: int, reply: int) -> float | None:
    """US dollars; None where no price is known."""
    return None if price is None else (price.input * prompt + price.output * reply) / 1e6


def judge_estimates(plan: Plan, resolved: Resolved, missing: set[StageKey], samples: int) -> Iterator[CallsEstimate]:
    """What is left to ask each judge. Replies that several judges read are the first one's."""
    left = missing - to_itself(plan)
    for judge in resolved.judges:
        yield judge_estimate(judge, plan, resolved.data, left, samples)
        left -= {each.asks[judge.spec.column] for each in plan.variants}
        left -= {each.probe_ask for each in plan.judges if each.name == judge.spec.column}


def to_itself(plan: Plan) -> set[StageKey]:
    """What is asked of the opponent's own answers: nothing."""
    asked = ((stage.key, stage.input) for stage in plan.stages)
    return {key for key, ask in asked if isinstance(ask, AskInput) and ask.against == ask.generations}


def judge_estimate(
    judge: ResolvedJudge, plan: Plan, data: Dataset, missing: set[StageKey], samples: int = 1
) -> CallsEstimate:
    """What is left to ask one judge about `samples` responses to each item, retries left out."""
    name = judge.spec.column
    turns = judge.spec.repeats * (2 if judge.pairwise else 1)
    n_test = data.count("test")
    items = min(judge.spec.items or n_test, n_test)
    left = {v.asks[name]: v.variant.fold for v in plan.variants if v.asks[name] in missing}
    answers = round(sum(items * data.count("test", fold) / max(1, n_test) for fold in left.values()))
    probes_left = sum(p.probe_ask in missing for p in plan.judges if p.name == name)
    probes = PROBES_AN_ITEM - judge.pairwise  # nobody compares the reference with itself
    calls = turns * (samples * answers + probes * min(items, MOST_PROBED) * probes_left)
    contests = {p.contest for p in plan.judges if p.name == name} & missing
    calls += sum(2 * s.input.games for s in plan.stages if s.key in contests and isinstance(s.input, ContestInput))
    prompt, reply = round(calls * judge.prompt_tokens), round(calls * judge.reply_tokens)
    return CallsEstimate(name, calls, prompt, reply, money(judge.price, prompt, reply))


def mean_tokens(resolved: Resolved) -> float:
    """Mean tokens of a training row over the styles, from its characters."""
    rows = list(itertools.islice((row.example for row in resolved.data if row.split == "train" or row.fold), 200))
    written = [STYLES["chatml"] if style.kind == "chat-template" else style for style in resolved.styles.values()]
    lengths = [sum(len(segment.text) for segment in render(style, row)) for style in written for row in rows]
    return sum(lengths) / max(1, len(lengths)) / CHARACTERS_A_TOKEN
