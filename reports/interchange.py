"""A run in other evaluation tools' formats: AlpacaEval's outputs, lm-evaluation-harness's results, Inspect's logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from harness.records.data import Example
from harness.records.plan import VariantPlan
from harness.records.result import MeasureInfo, Result
from harness.records.rows import Generation
from harness.store import MatrixRun, Store
from harness.thoughts import graded
from reports.evaluation_card import file_names
from reports.samples import generations, item_values, test_examples

Scores = Mapping[str, Mapping[str, float]]
"""Measure -> example id -> value, for one variant."""


def alpaca_eval(run: MatrixRun, store: Store) -> dict[str, str]:
    """File name -> model outputs as `alpaca_eval --model_outputs` reads them; the references are a file like them."""
    result = _result(run)
    examples = [graded(example) for example in test_examples(run, store)]
    by_generator = {"reference": {e.id: e.output for e in examples}}
    for plan in run.plan.variants:
        answers = generations(plan, store)
        if answers:
            by_generator[plan.variant.name] = {item: answer.text for item, answer in answers.items()}
    files = file_names(by_generator)
    return {
        f"{files[generator]}.json": _json(
            [
                {
                    "dataset": result.data_name,
                    "instruction": _asked(example),
                    "output": texts[example.id],
                    "generator": generator,
                }
                for example in examples
                if example.id in texts
            ]
        )
        for generator, texts in by_generator.items()
    }


def lm_eval(run: MatrixRun, store: Store) -> dict[str, str]:
    """File name -> results as lm-evaluation-harness 0.4 writes them, a file a variant; figures on our own scales.

    What an untrusted judge says stands under the filter `untrusted`.
    """
    result, examples = _result(run), test_examples(run, store)
    task = result.data_name
    written, files = {}, file_names(plan.variant.name for plan in run.plan.variants)
    for plan in run.plan.variants:
        scores = _scores(plan, store, result, examples)
        if not scores:
            continue
        figures: dict[str, object] = {"alias": task}
        for measure in result.measures:
            values = list(scores.get(measure.name, {}).values())
            if values:
                spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 and not measure.corpus else "N/A"
                mark = "none" if measure.trusted else "untrusted"
                figures[f"{measure.name},{mark}"] = _figure(result, plan, measure, values)
                figures[f"{measure.name}_stderr,{mark}"] = spread
        better = {m.name: m.higher_is_better for m in result.measures if not m.descriptive}
        scored = {item for values in scores.values() for item in values}
        told = {"items": {name: len(values) for name, values in scores.items()}}
        written[f"results_{files[plan.variant.name]}.json"] = _json(
            {
                "results": {task: figures},
                "group_subtasks": {task: []},
                "configs": {task: {"task": task, "output_type": "generate_until", "num_fewshot": 0, "metadata": told}},
                "versions": {task: result.matrix_digest[:12]},
                "n-shot": {task: 0},
                "higher_is_better": {task: better},
                "n-samples": {task: {"original": result.n_test, "effective": len(scored)}},
                "config": {"model": "sft-harness", "model_args": plan.variant.name, "limit": None},
                "model_source": "sft-harness",
                "model_name": plan.variant.name,
            }
        )
    return written


def inspect_log(run: MatrixRun, store: Store) -> dict[str, str]:
    """File name -> an Inspect evaluation log (JSON, version 2) of each variant that answered."""
    result, examples = _result(run), test_examples(run, store)
    written, files = {}, file_names(plan.variant.name for plan in run.plan.variants)
    for plan in run.plan.variants:
        answers = generations(plan, store)
        seal = store.sealed(plan.generate)
        if answers and seal is not None:
            scores = _scores(plan, store, result, examples)
            counted = [e for e in examples if e.id in answers and e.id not in result.left_out]
            log = _log(result, plan, seal.started, seal.ended)
            log["results"] = _inspect_results(result, plan, scores, len(counted))
            log["samples"] = [_sample(plan, e, answers[e.id], scores) for e in counted]
            written[f"{files[plan.variant.name]}.json"] = _json(log)
    return written


FORMATS: dict[str, Callable[[MatrixRun, Store], dict[str, str]]] = {
    "alpaca-eval": alpaca_eval,
    "lm-eval": lm_eval,
    "inspect": inspect_log,
}


# ---------------------------------------------------------------- Inspect


def _log(result: Result, plan: VariantPlan, started: str, ended: str) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": plan.generate.digest[:22],
            "run_id": result.matrix_digest[:22],
            "created": started,
            "task": result.matrix,
            "task_id": result.matrix_digest[:22],
            "task_version": 0,
            "dataset": {"name": result.data_name, "samples": result.n_test},
            "model": f"sft-harness/{plan.variant.name}",
            "config": {"epochs": 1},
            "metadata": plan.variant.model_dump(),
        },
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": {}},
        "stats": {"started_at": started, "completed_at": ended, "model_usage": {}},
    }


def _inspect_results(result: Result, plan: VariantPlan, scores: Scores, samples: int) -> dict[str, Any]:
    shown = [m for m in result.measures if scores.get(m.name)]
    return {
        "total_samples": samples,
        "completed_samples": samples,
        "scores": [
            {
                "name": m.name,
                "scorer": m.name,
                "params": {"signature": m.signature},
                "metrics": {"mean": {"name": "mean", "value": _figure(result, plan, m, list(scores[m.name].values()))}},
                "metadata": {"unit": m.unit, "trusted": m.trusted, "unscored": samples - len(scores[m.name])},
            }
            for m in shown
        ],
    }


def _sample(plan: VariantPlan, example: Example, answer: Generation, scores: Scores) -> dict[str, Any]:
    reply = {"role": "assistant", "content": answer.text, "source": "generate", "model": plan.variant.name}
    stop = {"length": "max_tokens", "unknown": "unknown"}.get(answer.finish_reason, "stop")
    return {
        "id": example.id,
        "epoch": 1,
        "input": _asked(example),
        "target": example.output,
        "messages": [{"role": "user", "content": _asked(example), "source": "input"}, reply],
        "output": {"model": plan.variant.name, "choices": [{"message": reply, "stop_reason": stop}]},
        "scores": {
            measure: {"value": values[example.id], "answer": answer.text}
            for measure, values in scores.items()
            if example.id in values
        },
        "metadata": dict(example.meta),
    }


# ---------------------------------------------------------------- shared


def _scores(
    plan: VariantPlan, store: Store, result: Result, examples: Sequence[Example]
) -> dict[str, dict[str, float]]:
    """Of the items that the result counts."""
    found = {m.name: item_values(plan, store, m.name, result) for m in result.measures}
    counted = {name: {i: v for i, v in values.items() if i not in result.left_out} for name, values in found.items()}
    return {name: values for name, values in counted.items() if values}


def _figure(result: Result, plan: VariantPlan, measure: MeasureInfo, values: list[float]) -> float:
    """The variant's figure as the leaderboard forms it: a corpus measure's is that of its seed there, not a mean."""
    if measure.corpus:
        row = next((r for r in result.rows if r.cell == plan.variant.cell), None)
        score = next((s for s in row.scores if s.measure == measure.name), None) if row else None
        seeds = row.seeds or (None,) if row else ()
        pooled = plan.variant.fold is not None  # the board's figure is then one of all folds
        if score is not None and not pooled and plan.variant.seed in seeds and len(score.per_seed) == len(seeds):
            return score.per_seed[seeds.index(plan.variant.seed)]
    return fmean(values)


def _asked(example: Example) -> str:
    return f"{example.instruction}\n\n{example.input}" if example.input else example.instruction


def _result(run: MatrixRun) -> Result:
    assert run.result is not None  # noqa: S101 - the command looks for a finished run
    return run.result


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
