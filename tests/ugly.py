"""A result with ugly contents, made by hand: 12 cells, 30 variants, long names, an untrusted judge, a failed variant.

Figures are drawn from a seeded generator and compared by plain paired t tests: real enough to look at, true of nothing.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.records.data import AuditFinding, AuditSummary, Example, Place, SplitExample
from harness.records.plan import FailedVariant
from harness.records.result import (
    BoardRow,
    CellScore,
    Comparison,
    FactorEffect,
    Interaction,
    Interval,
    JudgeAgreement,
    MeasureInfo,
    ProbeResult,
    Purchase,
    Result,
    ScaleUse,
    ScoreCount,
    TestResult,
    TrustReport,
    VarianceTable,
)
from harness.records.variant import Cell, Variant

FloatArray = npt.NDArray[np.float64]
LONG = "example-org/a-model-with-a-really-very-long-name-0.6B-instruct-2026"
CHINESE = "千问-0.6b"
SCRIPT = "<script>alert(1)</script>"
BIDI = "abc \u202egnitirw drawkcab\u202c \x1b[31mred\x1b[0m"
SEEDS = (123, 124, 125)
CELLS = (
    Cell(model="smollm2-135m", prompt_style="alpaca", method="none", masking=None),
    Cell(model="smollm2-135m", prompt_style="alpaca", method="full", masking="none"),
    Cell(model="smollm2-135m", prompt_style="alpaca", method="full", masking="instruction"),
    Cell(model="smollm2-135m", prompt_style="alpaca", method="full", masking="prompt"),
    Cell(model="smollm2-135m", prompt_style="alpaca", method="lora", masking="prompt"),
    Cell(model="smollm2-135m", prompt_style="phi", method="none", masking=None),
    Cell(model="smollm2-135m", prompt_style="phi", method="full", masking="none"),
    Cell(model="smollm2-135m", prompt_style="phi", method="full", masking="prompt"),
    Cell(model="smollm2-135m", prompt_style="phi", method="lora", masking="prompt"),
    Cell(model=LONG, prompt_style="alpaca", method="none", masking=None),
    Cell(model=CHINESE, prompt_style="alpaca", method="full", masking="none"),
    Cell(model=CHINESE, prompt_style="alpaca", method="full", masking="prompt"),
)
LEVELS = (40.1, 61.4, 62.6, 63.6, 58.9, 24.2, 62.0, 64.3, 57.2, 46.3, 30.5, 33.0)
FAILED = FailedVariant(
    variant=f"{LONG}/alpaca/full/mask-prompt#123",
    stage="train",
    reason="out of memory in step 3: 5.1 GiB asked, 1.2 GiB left; set train.micro_batch_size: 2",
)
JUDGES = ("smollm2-judge", "keyword-judge")
MEASURES = (
    MeasureInfo(
        name="rougeL",
        label="ROUGE-L",
        kind="metric",
        unit="0–100",
        corpus=False,
        signature="rouge-score 0.1.2|type:rougeL|stemmer:yes",
        primary=True,
    ),
    MeasureInfo(
        name="bleu",
        label="BLEU",
        kind="metric",
        unit="0–100",
        corpus=True,
        signature="nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0",
    ),
    MeasureInfo(
        name="chrf",
        label="chrF",
        kind="metric",
        unit="0–100",
        corpus=True,
        signature="nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0",
    ),
    MeasureInfo(
        name="smollm2-judge",
        label="smollm2-judge",
        kind="judge",
        unit="0–100",
        corpus=False,
        signature="backend:llamacpp|rubric:score-0-100",
        trusted=False,
        ranks=False,
        untrusted_reason="cannot tell the reference from an empty answer: AUC 0.23, 95 % interval 0.14 to 0.33, "
        "needs at least 0.70",
    ),
    MeasureInfo(
        name="keyword-judge",
        label="keyword-judge",
        kind="judge",
        unit="1–5",
        corpus=False,
        signature="backend:scripted|rubric:keywords-1-5",
    ),
)
OFFSETS = {"rougeL": (0.0, 1.0), "bleu": (-21.0, 1.0), "chrf": (-3.0, 1.0), "smollm2-judge": (30.0, 0.2)}

ITEMS: tuple[tuple[str, str, str], ...] = (
    ("Rewrite the sentence using a simile.", "The car is very fast.", "The car is as fast as lightning."),
    ("What type of cloud is typically associated with thunderstorms?", "", "Cumulonimbus clouds."),
    ("把下面的句子改写成礼貌的请求。", "把文件发给我。", "麻烦您方便的时候把文件发给我,谢谢。"),
    ("用一句话介绍长城。", "", "长城是中国古代修建的军事防御工程,绵延万里,是世界文化遗产。"),
    ("Convert 45 kilometers to meters.", "", "45 kilometers is 45000 meters."),
    ("Name the author of 'Pride and Prejudice'.", "", "Jane Austen."),
    (
        "Edit the **sentence** for `grammar`: # not a heading",
        "He go to $x^2$ every day.",
        "He goes to $x^2$ every day.",
    ),
    ("What is the opposite of 'ancient'?", "", "The opposite of 'ancient' is 'modern'."),
    ("List three primary colours.", "", "Red, blue and yellow."),
    (
        "Summarise the paragraph in one sentence, keeping every figure that it names, and do not add opinions of your "
        "own or facts that are not in the paragraph; write for a reader who has never heard of the subject before.",
        "The committee met nine times. " * 12,
        "The committee met nine times.",
    ),
    ("Classify as verb or noun: 'run'.", "run", "Verb (and also a noun)."),
    ("Describe the function of the heart.", "", "The heart pumps blood around the body."),
    ("What is the chemical symbol of iron?", "", "The chemical symbol of iron is Fe."),
    ("Provide a synonym for 'bright'.", "", "A synonym for 'bright' is 'radiant'."),
)
AUDIT = AuditSummary(
    found={"leaks": 3},
    leaked=(f"{2:012x}", f"{3:012x}"),
    sentences=("3 entries held out from training stand in train (test 40, 99; validation 5).",),
)


def examples() -> tuple[SplitExample, ...]:
    """The test part, and two training rows before it."""
    rows = [
        SplitExample(
            split="train" if i < 2 else "test",
            index=i,
            example=Example(
                id=f"{i:012x}",
                instruction=instruction,
                input=extra,
                output=output,
                meta={"family": "language" if i % 2 else "<b>facts</b>", "id": str(i)},
            ),
        )
        for i, (instruction, extra, output) in enumerate((*ITEMS[:2], *ITEMS))
    ]
    return tuple(rows)


def audit_findings() -> tuple[AuditFinding, ...]:
    """Two leaks and an echo, one of them with a hostile text."""

    def place(position: int) -> Place:
        return Place(split="test", position=position, index=position + 2, example_id=f"{position + 2:012x}")

    first = Place(split="train", position=0, index=0, example_id=f"{0:012x}")
    return (
        AuditFinding(kind="leaks", place=place(0), others=(first,), detail=ITEMS[0][0]),
        AuditFinding(kind="near_leaks", place=place(1), others=(first,), similarity=0.953, detail=SCRIPT + BIDI),
        AuditFinding(kind="echoes", place=place(6), detail=ITEMS[6][0]),
    )


TEST = tuple(row.example for row in examples() if row.split == "test")


def seeds_of(cell: Cell) -> tuple[int | None, ...]:
    return (None,) if cell.method == "none" else SEEDS


def variants() -> tuple[Variant, ...]:
    return tuple(Variant(**c.model_dump(), seed=s) for c in CELLS for s in seeds_of(c))


# ---------------------------------------------------------------- values


def item_values(measure: str, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Per cell: (seeds, items), in the measure's points."""
    difficulty = rng.normal(0, 9, len(TEST))
    values = {}
    for cell, level in zip(CELLS, LEVELS, strict=True):
        shape = (len(seeds_of(cell)), len(TEST))
        noise = rng.normal(0, 4, shape) + rng.normal(0, 1, (shape[0], 1)) + difficulty
        if measure == "keyword-judge":
            values[cell.name] = np.clip(np.round(1 + (level + noise) / 20), 1, 5)
        else:
            shift, slope = OFFSETS[measure]
            values[cell.name] = np.clip(shift + slope * (level + noise), 0, 100)
    return values


@cache
def all_values(seed: int = 7) -> dict[str, dict[str, FloatArray]]:
    """measure -> cell -> (seeds, items)."""
    rng = np.random.default_rng(seed)
    return {m.name: item_values(m.name, rng) for m in MEASURES}


def interval(values: FloatArray) -> Interval:
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(low=float(values.mean()) - half, high=float(values.mean()) + half)


def cell_score(measure: MeasureInfo, cell: Cell, values: dict[str, FloatArray]) -> CellScore:
    mine = interval(values[cell.name].mean(0))
    others = [interval(v.mean(0)) for name, v in values.items() if name != cell.name]
    best = 1 + sum(o.low > mine.high for o in others)
    worst = 1 + sum(o.high > mine.low for o in others)
    return CellScore(
        measure=measure.name,
        mean=float(values[cell.name].mean()),
        interval=mine,
        interval_scope="checkpoint" if cell.method == "none" else "recipe",
        per_seed=tuple(values[cell.name].mean(1).tolist()),
        rank_low=best if measure.trusted else None,
        rank_high=worst if measure.trusted else None,
        n_items=len(TEST),
        unscored=3 if measure.name == "smollm2-judge" and cell.prompt_style == "phi" else 0,
    )


def compare(a: str, b: str, measure: str, d: FloatArray, means: tuple[float, float], m: int) -> Comparison:
    test = stats.ttest_1samp(d, 0)
    p, delta = float(test.pvalue), float(d.mean())
    adjusted = min(1.0, p * m)
    verdict: Any = "not shown" if adjusted > 0.05 else ("better" if delta > 0 else "worse")
    return Comparison(
        a=a,
        b=b,
        measure=measure,
        scope="recipe",
        n_items=len(d),
        seeds_a=3,
        seeds_b=3,
        mean_a=means[0],
        mean_b=means[1],
        delta=delta,
        interval=interval(d),
        p=p,
        p_adjusted=adjusted,
        family=f"Holm over {m} comparisons",
        effect_size=delta / float(d.std(ddof=1)),
        wins=int((d > 0).sum()),
        ties=int((d == 0).sum()),
        losses=int((d < 0).sum()),
        mde=float(2.9 * d.std(ddof=1) / np.sqrt(len(d))),
        tipping_point=None,
        verdict=verdict,
        tests=(TestResult(name="Wilcoxon", p=p, statistic=1.0, df=None, assumes="items"),),
    )


def comparisons(values: dict[str, dict[str, FloatArray]]) -> tuple[Comparison, ...]:
    pairs = list(itertools.combinations([c.name for c in CELLS], 2))
    out = []
    for measure, cells in values.items():
        for a, b in pairs:
            d = cells[a].mean(0) - cells[b].mean(0)
            out.append(compare(a, b, measure, d, (float(cells[a].mean()), float(cells[b].mean())), len(pairs)))
    return tuple(out)


def effects(values: dict[str, dict[str, FloatArray]]) -> tuple[FactorEffect, ...]:
    levels = (("prompt_style", "alpaca", "phi"), ("masking", "prompt", "none"), ("method", "full", "lora"),
              ("method", "full", "none"))  # fmt: skip
    return tuple(effect(axis, a, b, m, cells) for m, cells in values.items() for axis, a, b in levels)


def effect(axis: str, a: str, b: str, measure: str, values: dict[str, FloatArray]) -> FactorEffect:
    def mean_of(level: str) -> FloatArray:
        chosen = [values[c.name].mean(0) for c in CELLS if c.level(axis) == level and c.model == CELLS[0].model]
        return np.asarray(np.mean(chosen, axis=0))

    x, y = mean_of(a), mean_of(b)
    comparison = compare(a, b, measure, x - y, (float(x.mean()), float(y.mean())), 4)
    return FactorEffect(axis=axis, a=a, b=b, measure=measure, pairs=3, comparison=comparison)


def trust() -> tuple[TrustReport, ...]:
    bad, good = MEASURES[3], MEASURES[4]

    def probes(means: tuple[float | None, ...]) -> tuple[ProbeResult, ...]:
        names: Any = ("reference", "other_reference", "empty")
        pairs = zip(names, means, strict=True)
        return tuple(ProbeResult(probe=n, n=14, mean=m, unscored=14 if m is None else 0) for n, m in pairs)

    return (
        TrustReport(
            judge=bad.name,
            trusted=False,
            reason=bad.untrusted_reason,
            probes=probes((52.1, 51.7, None)),
            auc_other_reference=0.50,
            auc_empty=0.23,
            interval_other_reference=Interval(low=0.39, high=0.61),
            interval_empty=Interval(low=0.14, high=0.33),
            threshold=0.7,
            scale_use=ScaleUse(
                histogram=tuple(ScoreCount(score=s, count=n) for s, n in ((0, 3), (50, 80), (60, 12), (100, 40))),
                heaping=0.59,
                distinct=4,
            ),
        ),
        TrustReport(
            judge=good.name,
            trusted=True,
            reason="tells the reference from both bad answers",
            probes=probes((4.9, 1.4, 1.0)),
            auc_other_reference=0.97,
            auc_empty=1.0,
            interval_other_reference=Interval(low=0.91, high=0.99),
            interval_empty=Interval(low=0.96, high=1.0),
            threshold=0.7,
        ),
    )


VARIANCE = VarianceTable(
    measure="rougeL", pairs=21, half_width=2.4, items=0.71, seeds=0.2, seeds_by_items=0.09, samples=None, judge=None,
    item_sd=4.1, run_sd=3.9, seed_sd=0.8, judge_sd=None,
    purchases=(
        Purchase(what="3 more seeds", half_width=2.1, shrinks_by=0.13),
        Purchase(what="14 more items", half_width=1.8, shrinks_by=0.25),
    ),
)  # fmt: skip
INTERACTION = Interaction(
    axis="masking", a="prompt", b="none", other_axis="prompt_style", c="alpaca", d="phi", measure="rougeL", at_c=2.2,
    at_d=2.3, delta=-0.1, interval=Interval(low=-2.0, high=1.8), p=0.9, p_adjusted=0.9, family="Holm over 1",
    scope="recipe", shown=False,
)  # fmt: skip
AGREEMENT = JudgeAgreement(a=JUDGES[0], b=JUDGES[1], n=300, alpha=-0.12, spearman=0.05, kendall=0.04)


@cache
def result(matrix: str = "starter-ablation", matrix_digest: str = "d" * 64, failed: bool = True) -> Result:
    """The comparison of the ugly store."""
    values = all_values()
    rows = [
        BoardRow(
            cell=cell,
            seeds=tuple(s for s in seeds_of(cell) if s is not None),
            scores=tuple(cell_score(m, cell, values[m.name]) for m in MEASURES),
        )
        for cell in CELLS
    ]
    rows.sort(key=lambda r: -(r.scores[0].mean or 0))
    return Result(
        matrix=matrix,
        matrix_digest=matrix_digest,
        data_name="starter-en",
        n_test=len(TEST),
        audit=AUDIT,
        alpha=0.05,
        primary="rougeL",
        baseline=CELLS[3].name,
        measures=MEASURES,
        rows=tuple(rows),
        comparisons=comparisons(values),
        effects=effects(values),
        interactions=(INTERACTION,),
        variances=(VARIANCE,),
        trust=trust(),
        agreement=(AGREEMENT,),
        failed=(FAILED,) if failed else (),
        answer=(
            "Fine-tuning helps: method full beats none by 30.1 ROUGE-L points, 95 % CI [26.7, 33.5], p < 0.001.",
            "Method full beats lora by 5.2 ROUGE-L points, 95 % CI [3.6, 6.8], p = 0.002.",
            "Masking: no difference found between prompt and none; this run could have seen 2.6 points.",
            "Judge smollm2-judge is untrusted: it cannot tell the reference from an empty answer.",
        ),
        warnings=("14 test items are few: intervals below 50 items lean on the normal shape of the scores.",),
    )
