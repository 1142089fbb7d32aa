"""How often the gate is wrong, by simulation: candidates with a known fall go through the real rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from harness.align import Aligned
from harness.gate.decision import Rule, decide, weigh
from harness.records.check import Outcome
from harness.records.result import MeasureInfo
from harness.stats.components import Replicates
from harness.stats.crossed import seed_variance, variance_and_df
from harness.stats.panel import FloatArray, Panel, contrast_weights, item_contrasts
from harness.stats.power import power

ITEM_SD, RUN_SD, JUDGE_SD = 20.0, 17.0, 10.0
"""Points: between items, whatever the run; what a run adds to an item; what a judge adds to an answer each time."""
HIT = 0.25
"""Share of the items that a fall hits, each by fall / HIT: recipes do not get worse by the same amount everywhere."""
RARE, STEADY_SD = 60.0, 5.0
"""Points that an item loses where losses are rare and deep (a fall of 4 points hits one item in 15), and what a run
adds there: nothing hides them, so that the differences are as lopsided as they come."""
RIGHT, CHURN = 0.7, 0.1
"""Pass or fail: chance that an item is answered right, and that a run answers it anew."""
NONE = "–"
Kind = Literal["graded", "rare losses", "pass or fail"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of gate. `fall`: true, points. `seed_ratio`: sd between seeds over the error that items give one seed.

    `seeds`: of candidate and of every baseline cell; `cells`: of the baseline, over which the seed variance is pooled;
    `shared`: so many of those cells stand in the candidate's matrix too, unchanged: the same runs, so no more is known.
    `checks`: independent measures in one gate. `kind`: how the scores lie; of "pass or fail" a fall turns so many more
    right answers wrong, and seeds vary by the runs' churn alone.
    """

    items: int = 100
    seeds: tuple[int, int] = (1, 3)
    cells: int = 2
    seed_ratio: float = 1.0
    fall: float = 0.0
    tolerance: float = 4.0
    checks: int = 1
    judge_repeats: int = 0
    strict: bool = False
    kind: Kind = "graded"
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Stated:
    """Chance of a regression, with the standard error that the number of gates leaves it."""

    power: float
    error: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of `gates` gates. `outcomes`: of the first check; `alarms`: any check called a regression.

    `stated`: chance of a regression that the noncentral t gives for this fall, for a V as large and as uncertain as in
    `STATED_GATES` gates of their own; None for a fall within the tolerance, which may pass instead though it is shown,
    for several checks, and for scores that are no t's.
    """

    setting: Setting
    gates: int
    outcomes: dict[Outcome, float]
    alarms: float
    all_passed: float
    stated: Stated | None

    @property
    def passed(self) -> float:
        """Passes, improvements among them."""
        return self.outcomes.get("pass", 0.0) + self.outcomes.get("improved", 0.0)

    @property
    def regressed(self) -> float:
        """Of the first check."""
        return self.outcomes.get("regression", 0.0)


STATED_GATES, BATCHES = 2000, 20
"""Gates from which V is known, and the parts of them whose spread is the error of the stated power."""


def simulate(setting: Setting, gates: int, seed: int, resamples: int = 400, stated_gates: int = STATED_GATES) -> Rates:
    """Rates of one setting; every check passes through `weigh`, every gate through `decide`."""
    generator = np.random.default_rng(seed)
    first: Counter[Outcome] = Counter()
    alarms = all_passed = 0
    rule = Rule(tolerance=setting.tolerance, strict=setting.strict, resamples=resamples)
    pair = (setting.cells, 0)
    again = np.arange(setting.cells + 1 + setting.shared) > setting.cells
    for _ in range(gates):
        family = [
            weigh(_INFO, _aligned(setting, generator), None, [pair], rule, again)[0] for _ in range(setting.checks)
        ]
        decisions = decide(family)
        first[decisions[0].outcome] += 1
        alarms += any(each.outcome == "regression" for each in decisions)
        all_passed += all(each.outcome in ("pass", "improved") for each in decisions)
    return Rates(
        setting=setting,
        gates=gates,
        outcomes={outcome: count / gates for outcome, count in first.items()},
        alarms=alarms / gates,
        all_passed=all_passed / gates,
        stated=stated(setting, stated_gates),
    )


def stated(setting: Setting, gates: int, alpha: float = 0.05) -> Stated | None:
    """From the variances of so many gates, whose tests themselves are left out; see `Rates`."""
    if not gates or setting.fall < setting.tolerance or setting.checks > 1 or setting.kind != "graded":
        return None
    alike = replace(setting, fall=0.0, tolerance=0.0, strict=False, shared=0)
    # What a fall that hits some items only adds to T_item; it varies little beside the rest.
    variances = _variances(alike, gates) + setting.fall**2 * (1 - HIT) / HIT / setting.items
    parts = [_power(part, setting, alpha) for part in np.array_split(variances, BATCHES)]
    return Stated(_power(variances, setting, alpha), float(np.std(parts, ddof=1) / np.sqrt(BATCHES)))


@lru_cache
def _variances(setting: Setting, gates: int) -> FloatArray:
    """(gates,): V of candidates that did not fall."""
    generator = np.random.default_rng(gates)
    weights = contrast_weights([[(setting.cells, 0)]], setting.cells + 1)
    variances = np.empty(gates)
    for number in range(gates):
        panel = _aligned(setting, generator).panel
        found = seed_variance(panel)
        assert found is not None  # noqa: S101 - every setting has a cell of two seeds
        variances[number] = variance_and_df(item_contrasts(panel, weights).moments, found, "recipe")[0][0]
    return variances


def _power(variances: FloatArray, setting: Setting, alpha: float) -> float:
    """A V with f degrees of freedom has the variance 2 V² / f, which gives f."""
    beyond = setting.fall - (setting.tolerance if setting.strict else 0.0)
    mean = float(variances.mean())
    return power(beyond, mean, 2 * mean**2 / float(variances.var(ddof=1)), 2 * alpha) if beyond > 0 else alpha


_INFO = MeasureInfo(
    name="score", label="score", kind="judge", unit="0–100", corpus=False, signature="simulated", primary=True
)


def _aligned(setting: Setting, generator: np.random.Generator) -> Aligned:
    values = _scores(setting, generator)
    cells, seeds, items = values.shape
    present = np.ones(values.shape, dtype=np.bool_)
    present[-1, setting.seeds[0] :] = False
    present[:-1, setting.seeds[1] :] = False
    values[~present] = 0.0
    own = slice(setting.cells - setting.shared, setting.cells)  # the last of the baseline's: the first is held against
    values, present = np.concatenate((values, values[own])), np.concatenate((present, present[own]))
    cells += setting.shared
    panel = Panel(values, present, np.ones(cells, dtype=np.bool_))
    lost = np.zeros(cells, dtype=np.int64)
    return Aligned(tuple(map(str, range(items))), panel, None, lost, ((),) * cells, Replicates(None, 1.0, None, 1.0))


def _scores(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n): scores in steps of 5 on 0–100, the candidate last; its fall is taken off at the end, to be exact."""
    if setting.kind == "pass or fail":
        return _right_or_wrong(setting, generator)
    cells, seeds, items = setting.cells + 1, max(setting.seeds), setting.items
    run_sd = STEADY_SD if setting.kind == "rare losses" else RUN_SD
    spread = setting.seed_ratio * np.sqrt(2 / items) * run_sd
    truth = 60 + generator.normal(0, ITEM_SD, items)
    runs = generator.normal(0, run_sd, (cells, seeds, items)) + generator.normal(0, spread, (cells, seeds, 1))
    judgings = max(1, setting.judge_repeats)
    noise = generator.normal(0, JUDGE_SD if setting.judge_repeats else 0.0, (judgings, cells, seeds, items))
    told = 5 * np.round(np.clip(truth + runs + noise, 0, 100) / 5)
    scores = np.asarray(told.mean(axis=0))
    deep = RARE if setting.kind == "rare losses" else setting.fall / HIT
    if deep > 0:
        scores[-1] -= deep * (generator.random(items) < setting.fall / deep)
    return scores


def _right_or_wrong(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n): 0 or 100, the candidate last."""
    shape = (setting.cells + 1, max(setting.seeds), setting.items)
    right = np.broadcast_to(generator.random(setting.items) < RIGHT, shape)
    right = np.where(generator.random(shape) < CHURN, generator.random(shape) < RIGHT, right)
    right[-1] &= generator.random(setting.items) >= setting.fall / 100 / RIGHT
    return np.asarray(100.0 * right, dtype=np.float64)


def falls(setting: Setting, shares: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0)) -> list[Setting]:
    """The setting with true falls of these shares of its tolerance."""
    return [replace(setting, fall=share * setting.tolerance) for share in shares]


SEVERAL: Sequence[Setting] = (
    Setting(seeds=(3, 3), seed_ratio=0.0),
    Setting(seeds=(3, 3), seed_ratio=1.0),
    Setting(seeds=(3, 3), seed_ratio=2.0),
    Setting(seeds=(1, 3), seed_ratio=0.0),
    Setting(seeds=(1, 3), seed_ratio=1.0),
    Setting(seeds=(1, 3), seed_ratio=2.0),
    Setting(seeds=(1, 3), seed_ratio=1.0, cells=1),
    Setting(seeds=(1, 3), seed_ratio=1.0, cells=5),
    Setting(seeds=(1, 3), seed_ratio=1.0, judge_repeats=1),
    Setting(seeds=(1, 3), seed_ratio=1.0, judge_repeats=3),
    Setting(items=40, seeds=(2, 2), cells=1, seed_ratio=1.0, tolerance=8.0),
    Setting(items=40, seeds=(1, 3), seed_ratio=1.0, tolerance=8.0),
    Setting(items=200, seeds=(3, 3), cells=5, seed_ratio=0.5),
    Setting(items=300, seeds=(1, 3), seed_ratio=1.0),
    Setting(items=300, seeds=(3, 3), seed_ratio=1.0, tolerance=2.0),
    Setting(seeds=(3, 3), seed_ratio=1.0, checks=3),
    Setting(seeds=(1, 3), seed_ratio=1.0, checks=3),
    Setting(seeds=(3, 3), seed_ratio=1.0, strict=True),
    Setting(items=40, seeds=(1, 3), tolerance=8.0, kind="rare losses"),
    Setting(items=100, seeds=(1, 3), kind="rare losses"),
    Setting(items=300, seeds=(3, 3), kind="rare losses"),
    Setting(items=40, seeds=(1, 3), tolerance=8.0, kind="pass or fail"),
    Setting(items=100, seeds=(3, 3), kind="pass or fail"),
    Setting(items=300, seeds=(1, 3), tolerance=2.0, kind="pass or fail"),
    Setting(items=1000, seeds=(3, 3), tolerance=2.0, kind="pass or fail"),
    Setting(items=200, seeds=(1, 2), shared=1, seed_ratio=2.0),
)
"""What `benchmarks/gate.py` goes through, each with several true falls."""


def table(found: Sequence[Rates]) -> str:
    """Markdown: a row a setting, in per cent."""
    header = ["scores", "items", "seeds", "pooled over", "seed sd", "judge", "checks", "tolerance", "true fall"]
    header += ["pass", "inconclusive", "regression", "stated", "any regression", "all pass"]
    lines = [header, [":---", *["---:"] * (len(header) - 1)], *map(_row, found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(rates: Rates) -> list[str]:
    setting = rates.setting
    several = setting.checks > 1
    shares = (rates.passed, rates.outcomes.get("inconclusive", 0.0), rates.regressed)
    said = rates.stated
    tail = (rates.alarms, rates.all_passed) if several else (None, None)
    return [
        setting.kind,
        str(setting.items),
        f"{setting.seeds[0]} against {setting.seeds[1]}",
        (f"{setting.cells} cells" if setting.cells > 1 else "1 cell")
        + (f", {setting.shared} of both sides" if setting.shared else ""),
        NONE if setting.kind == "pass or fail" else f"{setting.seed_ratio:g}",
        f"{setting.judge_repeats}×" if setting.judge_repeats else NONE,
        str(setting.checks),
        f"{setting.tolerance:g}" + (" strict" if setting.strict else ""),
        f"{setting.fall:g}",
        *(f"{100 * share:.1f}" for share in shares),
        NONE if said is None else f"{100 * said.power:.1f} ± {100 * said.error:.1f}",
        *(NONE if share is None else f"{100 * share:.1f}" for share in tail),
    ]
