"""What the missing stages of a plan would take: time, calls, tokens, money."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from harness.data.dataset import Dataset
from harness.prompts import STYLES, render
from harness.records.inputs import ContestInput, StageKey
from harness.records.plan import Plan
from harness.resolved import Resolved, ResolvedJudge
from harness.spec.matrix import MatrixSpec


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rough cost of the stages that are not sealed: seconds by stage on about 2 CPU cores, and the judges' bills."""

    seconds: dict[str, float]
    judges: tuple[JudgeEstimate, ...] = ()

    @property
    def judge_calls(self) -> int:
        """Calls to all judges."""
        return sum(judge.calls for judge in self.judges)


@dataclass(frozen=True, slots=True)
class JudgeEstimate:
    """What is left to ask one judge. `cost`: US dollars; None: no price is known."""

    name: str
    calls: int
    prompt_tokens: int
    reply_tokens: int
    cost: float | None


FLOPS = 1e11
"""Assumed floating-point operations a second of two CPU cores in fp32; a GPU is far faster."""
CALL_SECONDS = 0.6
PROBES_AN_ITEM = 8
MOST_PROBED = 50
"""Items whose answers are made into probes: enough for intervals of ±0.1 about an AUC."""
CHARACTERS_A_TOKEN = 4.0


def estimate(spec: MatrixSpec, plan: Plan, resolved: Resolved, missing: set[StageKey]) -> Estimate:
    """Time from floating-point operations: 6 a parameter and token for full training, 4 for LoRA, 2 for decoding."""
    seconds: dict[str, float] = {}
    tokens = mean_tokens(resolved)
    for each in plan.variants:
        if each.base is None:
            continue
        parameters = resolved.models[each.variant.model].parameters
        fold = each.variant.fold
        n_train, n_test = resolved.data.count("train", fold), resolved.data.count("test", fold)
        if each.train in missing:
            rows = min(spec.train.epochs * n_train, (spec.train.max_steps or 10**9) * spec.train.batch_size)
            cost = (6 if each.variant.method == "full" else 4) * parameters * rows * tokens / FLOPS
            seconds["train"] = seconds.get("train", 0) + cost
        if each.generate in missing:
            decoded = n_test * spec.generate.samples * spec.generate.most_new_tokens * 0.7
            seconds["generate"] = seconds.get("generate", 0) + 2 * parameters * (decoded + n_test * tokens) / FLOPS
    judges = tuple(
        judge_estimate(judge, plan, resolved.data, missing, spec.generate.samples) for judge in resolved.judges
    )
    calls = sum(judge.calls for judge in judges)
    if calls:
        seconds["judge"] = calls * CALL_SECONDS
    return Estimate(seconds, judges)


def judge_estimate(
    judge: ResolvedJudge, plan: Plan, data: Dataset, missing: set[StageKey], samples: int = 1
) -> JudgeEstimate:
    """What is left to ask one judge about `samples` responses to each item, retries left out."""
    name = judge.spec.column
    turns = judge.spec.repeats * (2 if judge.pairwise else 1)
    n_test = data.count("test")
    items = min(judge.spec.items or n_test, n_test)
    left = {v.asks[name]: v.variant.fold for v in plan.variants if v.asks[name] in missing}
    answers = round(sum(items * data.count("test", fold) / max(1, n_test) for fold in left.values()))
    probes_left = sum(p.probe_ask in missing for p in plan.judges if p.name == name)
    calls = turns * (samples * answers + PROBES_AN_ITEM * min(items, MOST_PROBED) * probes_left)
    contests = {p.contest for p in plan.judges if p.name == name} & missing
    calls += sum(2 * s.input.games for s in plan.stages if s.key in contests and isinstance(s.input, ContestInput))
    prompt, reply = round(calls * judge.prompt_tokens), round(calls * judge.reply_tokens)
    cost = None if judge.price is None else (judge.price.input * prompt + judge.price.output * reply) / 1e6
    return JudgeEstimate(name, calls, prompt, reply, cost)


def mean_tokens(resolved: Resolved) -> float:
    """Mean tokens of a training row over the styles, from its characters."""
    rows = list(itertools.islice((row.example for row in resolved.data if row.split == "train" or row.fold), 200))
    written = [STYLES["chatml"] if style.kind == "chat-template" else style for style in resolved.styles.values()]
    lengths = [sum(len(segment.text) for segment in render(style, row)) for style in written for row in rows]
    return sum(lengths) / max(1, len(lengths)) / CHARACTERS_A_TOKEN
