"""BLEU in the gate: a corpus figure, a mean of nothing. Golden figures are sacrebleu's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU as SacreBleu

from harness.gate.report import Files, check
from harness.metrics.base import Item
from harness.metrics.registry import load_metric
from harness.records.baseline import Baseline, SnapshotVariant
from harness.records.check import CheckResult
from harness.records.policy import MeasureCheck, Policy
from tests.snapshots import baseline, snapshot, variant

STARTER = Path(__file__).parents[2] / "harness" / "data" / "starter-en.jsonl"
ROWS = [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines()]
REFERENCES = [row["output"] for row in ROWS if len(row["output"].split()) > 5][:120]


def answers(lost: float, seed: int) -> list[str]:
    """The references with a share of their words left out."""
    rng = np.random.default_rng(seed)
    return [" ".join(w for w in text.split() if rng.random() >= lost) for text in REFERENCES]


def scored(lost: float, seed: int, digest: str = "") -> SnapshotVariant:
    references = [(text,) for text in REFERENCES]
    rows = load_metric("bleu").rows([Item(*pair) for pair in zip(answers(lost, seed), references, strict=True)])
    values = [row.value for row in rows]  # type: ignore[union-attr]
    counts = {"bleu": tuple(row.counts for row in rows)}  # type: ignore[union-attr]
    return variant(seed, {"bleu": values}, digest=digest and f"{digest}-{seed}", counts=counts)


def sacrebleus(lost: float, seeds: tuple[int, ...]) -> float:
    return float(np.mean([SacreBleu().corpus_score(answers(lost, s), [REFERENCES]).score for s in seeds]))


@pytest.fixture(scope="module")
def before() -> Baseline:
    return baseline(snapshot([scored(0.05, seed) for seed in (1, 2, 3)], primary="bleu"))


def held(before: Baseline, lost: float, seeds: tuple[int, ...], **policy: object) -> CheckResult:
    now = snapshot([scored(lost, seed, "changed") for seed in seeds], primary="bleu")
    rules = Policy.model_validate({"checks": (MeasureCheck(measure="bleu", tolerance=3),), **policy})
    [found] = check(before, now, rules, Files("matrix.yaml", "main.json")).checks
    return found


def test_both_sides_are_the_seeds_mean_corpus_bleu(before: Baseline) -> None:
    found = held(before, 0.15, (4, 5))
    assert found.baseline == pytest.approx(sacrebleus(0.05, (1, 2, 3)), abs=1e-9)
    assert found.candidate == pytest.approx(sacrebleus(0.15, (4, 5)), abs=1e-9)
    assert found.delta == pytest.approx(sacrebleus(0.15, (4, 5)) - sacrebleus(0.05, (1, 2, 3)), abs=1e-9)
    assert (found.outcome, found.seeds, found.scope) == ("regression", (2, 3), "recipe")
    alike = held(before, 0.05, (4, 5, 6))
    assert (
        alike.outcome in ("pass", "inconclusive") and alike.lower is not None and alike.lower < 0 < (alike.upper or 0)
    )


def test_bounds_are_those_of_sacrebleus_resampled_corpora() -> None:
    """One seed a side: V is the variance of the difference when sacrebleu scores 2,000 resamples of the items."""
    one = baseline(snapshot([scored(0.05, 1)], primary="bleu"))
    found = held(one, 0.08, (4,), scope="checkpoint")
    metric = SacreBleu()
    stats = [np.array(metric._extract_corpus_statistics(answers(*of), [REFERENCES])) for of in ((0.08, 4), (0.05, 1))]
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(2000):
        drawn = rng.integers(0, len(REFERENCES), len(REFERENCES))
        now, then = (metric._compute_score_from_stats(each[drawn].sum(axis=0).tolist()).score for each in stats)
        differences.append(now - then)
    assert found.upper is not None and found.delta is not None
    error = (found.upper - found.delta) / 1.658  # t of 119 degrees of freedom, one-sided 5 %
    assert error == pytest.approx(np.std(differences, ddof=1), rel=0.08)


def test_a_changed_tokenizer_is_another_measurement(before: Baseline) -> None:
    now = snapshot([scored(0.05, 4, "changed")], primary="bleu")
    measure = now.measures[0]
    info = measure.info.model_copy(update={"signature": "sacrebleu's|tok:char"})
    changed = now.model_copy(update={"measures": (measure.model_copy(update={"info": info}),)})
    report = check(before, changed, Policy(checks=(MeasureCheck(measure="bleu"),)), Files("m.yaml", "main.json"))
    assert report.exit_status == 2 and "tok nothing → char" in report.checks[0].reason


def test_seeds_that_both_sides_share_are_known_once() -> None:
    kept = [scored(0.05, seed, "kept") for seed in (2, 3)]
    kept = [
        each.model_copy(update={"variant": each.variant.model_copy(update={"prompt_style": "phi"})}) for each in kept
    ]
    before = baseline(snapshot([scored(0.05, 1), *kept], primary="bleu"))
    policy = Policy(checks=(MeasureCheck(measure="bleu", tolerance=3),), missing_cells="warn")
    alone, beside = (
        check(before, snapshot([scored(0.07, 4, "changed"), *more], primary="bleu"), policy, Files("m.yaml", "b.json"))
        for more in ((), kept)
    )
    assert (beside.checks[0].lower, beside.checks[0].upper) == pytest.approx(
        (alone.checks[0].lower, alone.checks[0].upper)
    )
