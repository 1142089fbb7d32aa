"""The store behind `ugly.result`: every object of its plan, with hostile responses and verdicts of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.prompts import STYLES, render
from harness.records.base import Record
from harness.records.data import Example
from harness.records.inputs import (
    AskInput,
    AuditInput,
    BaseInput,
    DataInput,
    GenerateInput,
    JudgeInput,
    ProbeInput,
    ScoreInput,
    SourceInput,
    TrainInput,
)
from harness.records.masks import MaskPreview
from harness.records.plan import JudgePlan, Plan, PlannedStage, VariantPlan
from harness.records.result import MeasureInfo
from harness.records.rows import Failed, Generation, LossRow, MetricRow, NoReply, Refused, Reply, Scored, Unparsed
from harness.records.seal import AskFacts, DataFacts, Facts, ScoreFacts, TrainFacts
from harness.records.settings import AuditSettings, GenerateSettings, SplitSettings, TrainSettings
from harness.records.variant import Cell, Variant
from harness.store import Store, planned
from tests.tiny import tiny_tokenizer
from tests.ugly import (
    BIDI,
    CELLS,
    JUDGES,
    LONG,
    MEASURES,
    SCRIPT,
    TEST,
    FloatArray,
    all_values,
    audit_findings,
    examples,
    result,
    seeds_of,
    variants,
)
from trainers.mask_preview import preview_of, write_preview
from trainers.masking import MaskPolicy, encode
from trainers.rows import NamedRow, TrainingRows


def response(cell: Cell, seed: int | None, i: int, example: Example) -> str:
    """What the variant is made to answer: mostly near the reference, sometimes hostile."""
    if i == 1 and cell == CELLS[3]:
        return f"{SCRIPT}<img src=x onerror=alert(2)> **bold** $x^2$ [link](http://evil.example)\n# heading"
    if i == 5 and cell == CELLS[3]:
        return BIDI
    if i == 3 and cell == CELLS[5]:
        return "ab " * 350_000
    if i == 8 and cell == CELLS[1]:
        return ""
    if cell.method == "none":
        return "### Instruction:\n" + "I think that this is a good question. " * 5 + example.instruction
    return example.output if (i + len(cell.name) + (seed or 0)) % 3 else example.output.upper() + " Indeed."


def facts_of(variant: Variant, steps: int) -> TrainFacts:
    per_step = {"none": 460, "instruction": 190, "prompt": 150}[str(variant.masking)]
    lora = variant.method == "lora"
    return TrainFacts(
        examples=935,
        steps=steps,
        kept_step=steps,
        loss_tokens=per_step * steps,
        tokens_seen=462 * steps,
        parameters=134_515_008,
        trained_parameters=4_884_480 if lora else 134_515_008,
        precision="bf16",
        micro_batch_size=8,
        first_loss=2.9,
        last_loss=1.1,
        validation_loss=1.31,
        train_seconds=212.4 if variant.prompt_style == "phi" else 252.1,
        flops=1.5e14,
        energy_joules=None,
        peak_memory_bytes=2_900_000_000 if lora else 4_321_000_000,
    )


def masks_of(variant: Variant) -> MaskPreview:
    """Masks of the test items, hostile ones among them, made by the trainer's own code."""
    tokenizer, style = tiny_tokenizer(), STYLES[variant.prompt_style]
    assert variant.masking is not None
    policy = MaskPolicy(variant.masking, 0.1 if variant.masking == "instruction" else 0.0)
    rows = tuple(NamedRow(e.id, encode(tokenizer, render(style, e), policy)) for e in TEST)
    return preview_of(tokenizer, TrainingRows(rows), style, policy)


class UglyStore:
    """Writes the store, object by object, and remembers the planned stages."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.stages: list[PlannedStage] = []
        self.values = all_values()
        self.rng = np.random.default_rng(11)

    def put(
        self, stage_input: Any, rows: list[Any], facts: Facts | None = None, masks: MaskPreview | None = None
    ) -> PlannedStage:
        """Seal one object with these rows."""
        stage = planned(stage_input)
        self.stages.append(stage)
        with self.store.making(stage) as writer:
            if writer.seal is None:
                writer.append(rows)
                if masks is not None:
                    write_preview(masks, writer.weights)
                writer.finish(facts=facts)
        return stage

    def curve(self, variant: Variant, steps: int = 60) -> list[LossRow]:
        """A falling, noisy loss."""
        falling = 1.0 + 1.9 * np.exp(-np.arange(steps) / 12) + self.rng.normal(0, 0.12, steps)
        return [
            LossRow(step=i + 1, loss=float(x), loss_tokens=150, lr=5e-5 * (1 - i / steps), grad_norm=1.0)
            for i, x in enumerate(falling)
        ]

    def train(self, variant: Variant, base: str, data: str) -> PlannedStage | None:
        if variant.method == "none" or variant.masking is None or variant.seed is None:
            return None
        settings = TrainSettings(max_steps=60)
        style = STYLES[variant.prompt_style].sha256
        key = TrainInput(base=base, data=data, style_sha256=style, masking=variant.masking,
                         method=variant.method, settings=settings, seed=variant.seed)  # fmt: skip
        masks = (
            masks_of(variant) if variant.method == "full" else None
        )  # the adapters are of a time before there were any
        return self.put(key, [*self.curve(variant)], facts_of(variant, 60), masks)

    def generate(self, variant: Variant, weights: str, base: str, data: str) -> PlannedStage:
        key = GenerateInput(
            weights=weights,
            base=base,
            data=data,
            style_sha256=STYLES[variant.prompt_style].sha256,
            settings=GenerateSettings(),
        )
        rows: list[Record] = [
            Generation(example_id=e.id, sample=0, text=response(variant.cell, variant.seed, i, e),
                       finish_reason="length" if variant.method == "none" else "eos", tokens=20, seconds=0.1)
            for i, e in enumerate(TEST)
        ]  # fmt: skip
        return self.put(key, rows)

    def score(self, variant: Variant, generations: str, data: str, measure: MeasureInfo) -> PlannedStage:
        values = self.values_of(variant, measure.name)
        rows: list[Record] = [
            MetricRow(example_id=e.id, sample=0, value=float(v)) for e, v in zip(TEST, values, strict=True)
        ]
        key = ScoreInput(generations=generations, data=data, metric=measure.name, signature=measure.signature)
        return self.put(key, rows, ScoreFacts(corpus=float(values.mean()), signature=measure.signature))

    def values_of(self, variant: Variant, measure: str) -> FloatArray:
        index = seeds_of(variant.cell).index(variant.seed)
        return np.asarray(self.values[measure][variant.cell.name][index])

    def judge(self, variant: Variant, generations: str, data: str, judge: str) -> tuple[PlannedStage, PlannedStage]:
        ask = self.put(
            AskInput(generations=generations, data=data, backend=judge, model_identity="m", prompt_sha256="p"),
            replies(judge),
            AskFacts(
                calls=len(TEST),
                retries=0,
                prompt_tokens=2000,
                completion_tokens=60,
                cost=0.0004 if judge == "keyword-judge" else None,
            ),
        )
        rows = [
            verdict(judge, i, e.id, float(v), variant)
            for i, (e, v) in enumerate(zip(TEST, self.values_of(variant, judge), strict=True))
        ]
        return ask, self.put(JudgeInput(replies=ask.key.digest, parser_sha256="x"), rows)

    def variant(self, variant: Variant, data: PlannedStage) -> VariantPlan:
        base = self.put(BaseInput(kind="gguf", identity=variant.model), [])
        train = self.train(variant, base.key.digest, data.key.digest)
        weights = (train or base).key.digest
        generated = self.generate(variant, weights, base.key.digest, data.key.digest)
        to_score = (generated.key.digest, data.key.digest)
        pairs = {j: self.judge(variant, *to_score, j) for j in JUDGES}
        return VariantPlan(
            variant=variant,
            base=base.key,
            train=train.key if train else None,
            generate=generated.key,
            scores={m.name: self.score(variant, *to_score, m).key for m in MEASURES if m.kind == "metric"},
            asks={j: ask.key for j, (ask, _) in pairs.items()},
            judgments={j: judged.key for j, (_, judged) in pairs.items()},
        )

    def failed_variant(self, like: VariantPlan) -> VariantPlan:
        """A variant whose training broke off: planned, never sealed."""
        variant = Variant(model=LONG, prompt_style="alpaca", method="full", masking="prompt", seed=123)
        unmade = GenerateInput(weights="none", base="b", data="d", style_sha256="s", settings=GenerateSettings())
        return VariantPlan(
            variant=variant,
            base=like.base,
            train=planned(unmade).key.model_copy(update={"stage": "train"}),
            generate=planned(unmade).key,
            scores={},
            asks={},
            judgments={},
        )


def replies(judge: str) -> list[Record]:
    """What the judge said: hostile on the second item, nothing on the last."""
    said: list[Record] = []
    for i, e in enumerate(TEST[:-1]):
        text = f"{SCRIPT} **Score:** $5$ {BIDI}" if i == 1 else f"Good enough.\nScore: {i % 5 + 1}"
        said.append(Reply(request_digest=f"{judge}{i}", example_id=e.id, sample=0, repeat=0, text=text,
                          finish_reason="stop", prompt_tokens=150, completion_tokens=5, seconds=0.2))  # fmt: skip
    last = NoReply(request_digest=f"{judge}-", example_id=TEST[-1].id, sample=0, repeat=0, reason="503", attempts=5)
    return [*said, last]


def verdict(judge: str, i: int, example_id: str, value: float, variant: Variant) -> Record:
    """Three of the untrusted judge's phi verdicts are missing, each for another reason."""
    place = {"example_id": example_id, "sample": 0, "repeat": 0}
    if judge == "smollm2-judge" and variant.prompt_style == "phi" and i in (0, 4, 9):
        kinds = {0: Unparsed, 4: Refused, 9: Failed}
        return kinds[i](**place, reason="no number in 'I think <b>it</b> is good'")
    return Scored(**place, value=value)


def ugly_store(root: Path, matrix: str = "starter-ablation") -> Store:
    """Write the whole ugly store into `root`."""
    maker = UglyStore(root)
    data = maker.put(
        DataInput(sources=(SourceInput(format="jsonl", identity="5" * 64),), split=SplitSettings()),
        list(examples()),
        DataFacts(
            parts={"train": 2, "validation": 0, "test": len(TEST)}, bad_rows=(f"a.jsonl:7: {SCRIPT}",), dropped={}
        ),
    )
    audit = maker.put(
        AuditInput(data=data.key.digest, settings=AuditSettings(), bases=(), styles_sha256=(), max_length=None),
        list(audit_findings()),
    )
    probe = maker.put(ProbeInput(data=data.key.digest, items=None), [])
    plans = [maker.variant(v, data) for v in variants()]
    plans.append(maker.failed_variant(plans[-1]))
    judges = tuple(
        JudgePlan(name=j, backend="scripted", model="m", rubric="score", probe=probe.key, probe_ask=probe.key,
                  probe_judge=probe.key)
        for j in JUDGES
    )  # fmt: skip
    stages = tuple({s.key.digest: s for s in maker.stages}.values())
    plan = Plan(matrix=matrix, matrix_digest="d" * 64, data=data.key, audit=audit.key, stages=stages,
                variants=tuple(plans), judges=judges)  # fmt: skip
    maker.store.write_matrix(plan, f"name: {matrix}\ndata: starter-en\n")
    maker.store.write_result(plan, result(matrix))
    return maker.store
