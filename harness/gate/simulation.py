"""How often the gate is wrong, by simulation: candidates with a known fall go through the real rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.align import Aligned
from harness.gate.decision import Rule, decide, weigh
from harness.records.check import Outcome
from harness.records.result import MeasureInfo
from harness.stats.components import Replicates
from harness.stats.panel import FloatArray, Panel
from harness.stats.power import power

ITEM_SD, RUN_SD, JUDGE_SD = 20.0, 17.0, 10.0
"""Points: between items, whatever the run; what a run adds to an item; what a judge adds to an answer each time."""
HIT = 0.25
"""Share of the items that a fall hits, each by fall / HIT: recipes do not get worse by the same amount everywhere."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of gate. `fall`: true, points. `seed_ratio`: sd between seeds over the error that items give one seed.

    `seeds`: of candidate and of every baseline cell; `cells`: of the baseline, over which the seed variance is pooled;
    `checks`: independent measures in one gate.
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


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of `gates` gates. `outcomes`: of the first check; `alarms`: any check called a regression.

    `stated`: chance of a regression that the noncentral t gives for this fall, for a V as large and as uncertain as the
    gates' own; None for a fall within the tolerance, which may pass instead though it is shown, and for several checks.
    """

    setting: Setting
    gates: int
    outcomes: dict[Outcome, float]
    alarms: float
    all_passed: float
    stated: float | None

    @property
    def passed(self) -> float:
        """Passes, improvements among them."""
        return self.outcomes.get("pass", 0.0) + self.outcomes.get("improved", 0.0)

    @property
    def regressed(self) -> float:
        """Of the first check."""
        return self.outcomes.get("regression", 0.0)


def simulate(setting: Setting, gates: int, seed: int, resamples: int = 400) -> Rates:
    """Rates of one setting; every check passes through `weigh`, every gate through `decide`."""
    generator = np.random.default_rng(seed)
    first: Counter[Outcome] = Counter()
    alarms = all_passed = 0
    variances = []
    rule = Rule(tolerance=setting.tolerance, strict=setting.strict, resamples=resamples)
    pair = (setting.cells, 0)
    for _ in range(gates):
        family = [weigh(_INFO, _aligned(setting, generator), None, [pair], rule)[0] for _ in range(setting.checks)]
        decisions = decide(family)
        first[decisions[0].outcome] += 1
        alarms += any(each.outcome == "regression" for each in decisions)
        all_passed += all(each.outcome in ("pass", "improved") for each in decisions)
        test = family[0].contrast.headline
        if test is not None:
            variances.append(test.variance)
    return Rates(
        setting=setting,
        gates=gates,
        outcomes={outcome: count / gates for outcome, count in first.items()},
        alarms=alarms / gates,
        all_passed=all_passed / gates,
        stated=_stated(np.array(variances), setting, rule.alpha),
    )


def _stated(variances: FloatArray, setting: Setting, alpha: float) -> float | None:
    """A V with f degrees of freedom has the variance 2 V² / f, which gives f."""
    if setting.fall < setting.tolerance or setting.checks > 1 or len(variances) < 2:
        return None
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
    panel = Panel(values, present, np.ones(cells, dtype=np.bool_))
    lost = np.zeros(cells, dtype=np.int64)
    return Aligned(tuple(map(str, range(items))), panel, None, lost, ((),) * cells, Replicates(None, 1.0, None, 1.0))


def _scores(setting: Setting, generator: np.random.Generator) -> FloatArray:
    """(C, S, n): scores in steps of 5 on 0–100, the candidate last; its fall is taken off at the end, to be exact."""
    cells, seeds, items = setting.cells + 1, max(setting.seeds), setting.items
    spread = setting.seed_ratio * np.sqrt(2 / items) * RUN_SD
    truth = 60 + generator.normal(0, ITEM_SD, items)
    runs = generator.normal(0, RUN_SD, (cells, seeds, items)) + generator.normal(0, spread, (cells, seeds, 1))
    judgings = max(1, setting.judge_repeats)
    noise = generator.normal(0, JUDGE_SD if setting.judge_repeats else 0.0, (judgings, cells, seeds, items))
    told = 5 * np.round(np.clip(truth + runs + noise, 0, 100) / 5)
    scores = np.asarray(told.mean(axis=0))
    scores[-1] -= (setting.fall / HIT) * (generator.random(items) < HIT)
    return scores


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
)
"""What `benchmarks/gate.py` goes through, each with several true falls."""


def table(found: Sequence[Rates]) -> str:
    """Markdown: a row a setting, in per cent."""
    header = ["items", "seeds", "pooled over", "seed sd", "judge", "checks", "tolerance", "true fall"]
    header += ["pass", "inconclusive", "regression", "stated", "any regression", "all pass"]
    lines = [header, ["---:"] * len(header), *map(_row, found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(rates: Rates) -> list[str]:
    setting = rates.setting
    several = setting.checks > 1
    shares = (rates.passed, rates.outcomes.get("inconclusive", 0.0), rates.regressed, rates.stated)
    tail = (rates.alarms, rates.all_passed) if several else (None, None)
    return [
        str(setting.items),
        f"{setting.seeds[0]} against {setting.seeds[1]}",
        f"{setting.cells} cells" if setting.cells > 1 else "1 cell",
        f"{setting.seed_ratio:g}",
        f"{setting.judge_repeats}×" if setting.judge_repeats else "–",
        str(setting.checks),
        f"{setting.tolerance:g}" + (" strict" if setting.strict else ""),
        f"{setting.fall:g}",
        *("–" if share is None else f"{100 * share:.1f}" for share in (*shares, *tail)),
    ]
