"""A model card: what a trained variant is, and what was measured, in the metadata format of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from huggingface_hub import EvalResult, ModelCardData

from harness.gguf import PACKAGED
from harness.records.inputs import BaseInput, TrainInput
from harness.records.plan import VariantPlan
from harness.records.result import BoardRow, CellScore, MeasureInfo, Result
from harness.records.seal import Seal, TrainFacts
from harness.store import MatrixRun
from reports.markdown_table import escape, table
from reports.wording import count, duration, figure, fold_words, leak_badge, measure_label, places_in, span


def model_card(
    run: MatrixRun, variant: VariantPlan, seal: Seal | None, *, merged: bool = False, notes: Sequence[str] = ()
) -> str:
    """README.md of an exported variant: metadata, training, figures of its cell with their intervals.

    `seal`: of its training; `merged`: an adapter's weights were added to the base's; `notes`: what is to be known of
    the files beside it. A measure that may not rank is shown with the reason, and stands in no metadata, nor does any
    measure beside a fold's checkpoint: it answered some of the items only.
    """
    stages = {stage.key: stage.input for stage in run.plan.stages}
    base, train = (stages.get(key) if key is not None else None for key in (variant.base, variant.train))
    assert isinstance(base, BaseInput) and isinstance(train, TrainInput)  # noqa: S101 - a trained variant has both
    row = _row(run.result, variant)
    parts = [
        f"---\n{_metadata(run, variant, base, row, merged).to_yaml()}\n---",
        f"# {escape(run.name)}: {escape(variant.variant.name)}",
        _training(variant, base, train, seal),
        *(["## Files\n\n" + "\n".join(f"- {escape(note)}" for note in notes)] if notes else []),
        _results(run.result, row, fold_words(variant.variant, run.plan))
        if run.result and row
        else "## Results\n\nThe matrix is not finished: no figures yet.",
    ]
    return "\n\n".join(parts) + "\n"


def _row(result: Result | None, variant: VariantPlan) -> BoardRow | None:
    return next((row for row in result.rows if row.cell == variant.variant.cell), None) if result else None


def _metadata(
    run: MatrixRun, variant: VariantPlan, base: BaseInput, row: BoardRow | None, merged: bool
) -> ModelCardData:
    packaged = PACKAGED.get(variant.variant.model)
    scores = [
        EvalResult(
            task_type="text-generation",
            dataset_type="custom",
            dataset_name=run.result.data_name,
            dataset_split="test",
            metric_type=score.measure,
            metric_name=measure.label,
            metric_value=round(score.mean, 4),
            metric_args={"signature": measure.signature},
        )
        for measure, score in _scores(run.result, row)
        if run.result and variant.variant.fold is None and score.mean is not None and measure.ranks
    ]
    known_licence = packaged is not None and " " not in packaged.licence
    return ModelCardData(
        model_name=f"{run.name} {variant.variant.name}",
        base_model=variant.variant.model if base.kind == "hub" else None,
        library_name="peft" if variant.variant.method in ("lora", "qlora") and not merged else "transformers",
        license=packaged.licence.lower() if packaged and known_licence else None,
        license_name=packaged.licence if packaged and not known_licence else None,
        pipeline_tag="text-generation",
        tags=["sft", "sft-harness"],
        eval_results=scores or None,
    )


def _scores(result: Result | None, row: BoardRow | None) -> list[tuple[MeasureInfo, CellScore]]:
    if result is None or row is None:
        return []
    measures = {measure.name: measure for measure in result.measures}
    return [(measures[score.measure], score) for score in row.scores]


def _training(variant: VariantPlan, base: BaseInput, train: TrainInput, seal: Seal | None) -> str:
    chosen = variant.variant
    name = chosen.model if base.kind == "hub" else PurePath(chosen.model).name
    loss = {"none": "all tokens", "instruction": "all but the instruction", "prompt": "the answer only"}
    lines = [
        f"- Base model: {escape(name)} (`{base.identity[:12]}`)",
        f"- Method: {chosen.method}; prompt style: {escape(chosen.prompt_style)} (beside the weights, and as the"
        " tokenizer's chat template)",
        f"- Loss on: {loss.get(train.masking, train.masking)} (masking `{train.masking}`); seed {train.seed}",
    ]
    if seal is not None and isinstance(seal.facts, TrainFacts):
        facts = seal.facts
        lines.append(
            f"- {count(facts.steps)} optimizer steps over {count(facts.examples)} examples,"
            f" {count(facts.loss_tokens)} loss-bearing tokens, {duration(facts.train_seconds)} in {facts.precision}"
        )
    return "## Training\n\n" + "\n".join(lines)


def _results(result: Result, row: BoardRow, folds: str) -> str:
    seeds = f"{len(row.seeds)} training seeds" if len(row.seeds) > 1 else "one training seed"
    told = (
        f"On the {count(result.n_test)} test items of {escape(result.data_name)}, mean of {seeds}"
        f" with 95 % interval{_leak_note(result)}."
    )
    rows = [_score(result, measure, score) for measure, score in _scores(result, row)]
    header = ["measure", "mean", "95 % interval", "items"]
    return "\n\n".join(part for part in ("## Results", told, folds, table(header, rows)) if part)


def _score(result: Result, measure: MeasureInfo, score: CellScore) -> list[str]:
    why = "it describes" if measure.descriptive else measure.untrusted_reason
    note = "" if measure.ranks else f" (does not rank: {why})"
    shown = places_in(result, measure)
    return [
        escape(f"{measure_label(measure) if measure.ranks else measure.label} ({measure.unit}){note}"),
        figure(score.mean, shown),
        span(score.interval, shown),
        count(score.n_items),
    ]


def _leak_note(result: Result) -> str:
    """What the audit says of leaked test items, after a semicolon; empty where there are none."""
    badge = leak_badge(result)
    return f"; {badge}" if badge else ""
