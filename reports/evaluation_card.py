"""A model card for each trained variant, its evaluation results in the Hub's `model-index` format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from harness.records.inputs import BaseInput
from harness.records.result import CellScore, MeasureInfo, Result
from harness.records.seal import TrainFacts
from harness.records.variant import Variant
from harness.store import MatrixRun, Store
from reports.markdown_table import escape, table
from reports.wording import count, duration, figure, fold_words, measure_label, places_in, span

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

HUB_METRICS = {"bleu": "bleu", "chrf": "chrf", "exact_match": "exact_match"}
"""Our names of metrics that the Hub knows under a name of its own; ROUGE's come beside them."""


def cards(run: MatrixRun, store: Store) -> dict[str, str]:
    """File name -> model card of every trained variant that stands on the leaderboard."""
    if run.result is None:
        return {}
    scored = {row.cell.name for row in run.result.rows}
    hub = {stage.key for stage in run.plan.stages if isinstance(stage.input, BaseInput) and stage.input.kind == "hub"}
    written, files = {}, file_names(plan.variant.name for plan in run.plan.variants)
    for plan in run.plan.variants:
        seal = store.sealed(plan.train) if plan.train else None
        if seal is not None and isinstance(seal.facts, TrainFacts) and plan.variant.cell.name in scored:
            written[f"{files[plan.variant.name]}.md"] = card(
                run.result, plan.variant, seal.facts, fold_words(plan.variant, run.plan), on_hub=plan.base in hub
            )
    return written


def slug(name: str) -> str:
    """A variant's name as a file name: `smollm2-135m--alpaca--full--mask-prompt--seed-123`."""
    return re.sub(r"[^\w.-]+", "-", name.replace("/", "--").replace("#", "--seed-"))


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> slug; of names that would share one, also where capitals do not count, each gets digits of its own."""
    slugs = {name: slug(name) for name in names}
    taken = Counter(each.casefold() for each in slugs.values())
    return {
        name: each if taken[each.casefold()] == 1 else f"{each}-{sha256(name.encode()).hexdigest()[:6]}"
        for name, each in slugs.items()
    }


def card(result: Result, variant: Variant, facts: TrainFacts, folds: str, *, on_hub: bool) -> str:
    """The card: metadata, what was done, and the cell's scores with their intervals.

    `folds`: whose answers they are of, where not this checkpoint's alone; they then stand in no metadata. `on_hub`: the
    base is there.
    """
    from huggingface_hub import ModelCardData

    row = next(r for r in result.rows if r.cell == variant.cell)
    info = {m.name: m for m in result.measures}
    scores = [(info[s.measure], s) for s in row.scores if s.mean is not None and info[s.measure].ranks]
    data = ModelCardData(
        model_name=slug(variant.name),
        base_model=variant.model if on_hub else None,
        datasets=[result.data_name],
        tags=["sft", "sft-harness"],
        eval_results=None if folds else [_evaluated(result, m, s) for m, s in scores],
    )
    rows = [
        [escape(measure_label(m)), f"{figure(s.mean, places_in(result, m))} {span(s.interval, places_in(result, m))}"]
        for m, s in scores
    ]
    told = [
        f"# {escape(variant.name)}",
        f"{escape(variant.model)}, fine-tuned on {escape(result.data_name)} as one variant of the matrix "
        f"{escape(result.matrix)} ({result.matrix_digest[:12]}).",
        "## Evaluation",
        f"Means over {result.n_test} test items and {len(row.seeds)} training seeds of this recipe, 95 % interval. "
        "Measures that do not rank (an untrusted judge's, a description) are left out.",
        folds,
        table(["Measure", "Score"], rows),
        "## Training",
        table(["What", "Value"], [[escape(what), escape(value)] for what, value in _training(variant, facts)]),
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(part for part in told if part) + "\n"


def _evaluated(result: Result, measure: MeasureInfo, score: CellScore) -> EvalResult:
    from huggingface_hub import EvalResult

    name = measure.name.casefold()
    return EvalResult(
        task_type="text-generation",
        dataset_type=result.data_name,
        dataset_name=result.data_name,
        dataset_split="test",
        metric_type=HUB_METRICS.get(name, "rouge" if name.startswith("rouge") else measure.name),
        metric_name=measure.label,
        metric_value=round(score.mean or 0.0, 4),
    )


def _training(variant: Variant, facts: TrainFacts) -> list[tuple[str, str]]:
    return [
        ("prompt style", variant.prompt_style),
        ("masking", str(variant.masking)),
        ("prompt loss weight", f"{variant.prompt_loss_weight:g}"),
        ("method", variant.method),
        ("seed", str(variant.seed)),
        ("training examples", count(facts.examples)),
        ("optimizer steps", count(facts.steps)),
        ("loss-bearing tokens", count(facts.loss_tokens)),
        ("trained parameters", f"{count(facts.trained_parameters)} of {count(facts.parameters)}"),
        ("precision", facts.precision),
        ("time", duration(facts.train_seconds)),
    ]
