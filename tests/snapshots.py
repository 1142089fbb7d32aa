"""Snapshots of made-up runs, for tests of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.records.baseline import Baseline, HistoryEntry, JudgeTerms, Snapshot, SnapshotMeasure, SnapshotVariant
from harness.records.data import Example
from harness.records.inputs import DataInput, SourceInput
from harness.records.result import MeasureInfo
from harness.records.settings import SplitSettings
from harness.records.variant import Variant

MATRIX = """\
name: made-up
data: data.jsonl
axes: {model: [m], method: [full], seed: [1, 2, 3]}
train: {lr: 1.0e-3}
metrics: [rougeL]
judges: [{backend: scripted}]
compare: {primary: rougeL}
"""
METRIC = MeasureInfo(
    name="rougeL",
    label="ROUGE-L",
    kind="metric",
    unit="0–100",
    corpus=False,
    signature="rougeL|f1|tok:default|stemmer:yes|version:rouge-score-0.1.2",
    primary=True,
)
BLEU = MeasureInfo(name="bleu", label="BLEU", kind="metric", unit="0–100", corpus=True, signature="sacrebleu's")
JUDGE = MeasureInfo(
    name="scripted",
    label="judge scripted",
    kind="judge",
    unit="1–5",
    corpus=False,
    signature="scripted|m|correctness-5",
)
TERMS = JudgeTerms(
    name="scripted",
    backend="scripted",
    model="m",
    model_identity="scripted:1",
    rubric="correctness-5",
    prompt_sha256="a" * 64,
    parser_sha256="b" * 64,
)


def variant(
    seed: int, scores: Mapping[str, Any], *, digest: str = "", method: str = "full", **rest: Any
) -> SnapshotVariant:
    """`scores[measure]`: a value an item, NaN where there is none."""
    chosen: Any = method
    values = {name: tuple(None if np.isnan(v) else float(v) for v in row) for name, row in scores.items()}
    facts = {"train_seconds": 10.0, "tokens_per_second": 100.0, "stop_rate": 1.0}
    return SnapshotVariant(
        variant=Variant(model="m", prompt_style="alpaca", method=chosen, masking="prompt", seed=seed),
        generate=(digest or f"run-{seed}").ljust(64, "0"),
        scores=values,
        **(facts | rest),
    )


def snapshot(variants: list[SnapshotVariant], **changes: Any) -> Snapshot:
    """Items are numbered; measures are those that the first variant has."""
    names = variants[0].scores
    items = len(next(iter(names.values())))
    infos = {"rougeL": SnapshotMeasure(info=METRIC, asked=items)}
    infos["bleu"] = SnapshotMeasure(info=BLEU, asked=items, metric="bleu")
    infos["scripted"] = SnapshotMeasure(info=JUDGE, asked=items, judges=("scripted",))
    made = Snapshot(
        matrix="made-up",
        matrix_digest="c" * 64,
        matrix_yaml=MATRIX,
        data_name="data.jsonl",
        data=DataInput(sources=(SourceInput(format="jsonl", identity="d" * 64),), split=SplitSettings()),
        primary="rougeL",
        items=tuple(f"{i:012x}" for i in range(items)),
        measures=tuple(infos[name] for name in names),
        judges=(TERMS,) if "scripted" in names else (),
        variants=tuple(variants),
        examples=tuple(
            Example(id=f"{i:012x}", instruction=f"Question {i}?", output=f"Answer {i}.") for i in range(items)
        ),
    )
    return made.model_copy(update=changes)


def baseline(taken: Snapshot) -> Baseline:
    """Saved once."""
    entry = HistoryEntry(saved="2026-11-21T00:00:00+00:00", reason="first saved", matrix_digest=taken.matrix_digest)
    return Baseline(name="main", history=(entry,), snapshot=taken)


def scores(seed: int, items: int = 100, fall: float = 0.0, spread: float = 8.0) -> Any:
    """(items,): the same items for every seed, what a run adds, and what was lost; cut at the ends of 0–100."""
    truth = np.random.default_rng(0).uniform(30, 90, items)
    return np.clip(truth + np.random.default_rng(seed).normal(0, spread, items) - fall, 0, 100)
