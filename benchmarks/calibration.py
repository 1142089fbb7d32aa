"""How often the statistics cry wolf: `python benchmarks/calibration.py [--matrices 2000]`. The last line is JSON.

Matrices without any true difference pass through the tests that `harness run` uses. The tables are those of
docs/statistics.md. `worst_false_alarm`: the largest share of wrong verdicts on one pair at alpha = 0.05;
`worst_family`: of any wrong verdict in a family of five pairs; `worst_coverage`: the share of headline intervals that
hold the truth, furthest below 95 %; `by_method`: the largest share of false alarms of each method, over settings of its
own scope in which it is shown without a word of doubt; `worst_equivalence`: of wrong claims at the margin itself;
`worst_stopping`: of wrong decisions of a judge that stops when it is decided.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Literal

import numpy as np

from harness.selfcheck import EQUIVALENCE, FULL, LOSS, RARE, Rates, equivalence_table, simulate, table
from harness.stats.betting import betting
from harness.stats.bradley_terry import strengths
from harness.stats.panel import FloatArray
from harness.stats.prediction import corrected_mean
from judges.win_rate import win_rates

RESAMPLES = 500
"""Of the bootstrap and of permutations, in each simulated matrix."""
LOOK = 20
"""Items that a judge is asked about before it is looked again whether all is decided."""


def main() -> None:
    """Simulate, print each table line by line, and end with one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--matrices", type=int, default=2000, help="matrices a setting (default: 2000)")
    matrices = parser.parse_args().matrices
    began, cpu = time.perf_counter(), time.process_time()
    found: list[Rates] = []
    for number, setting in enumerate(FULL):
        found.append(simulate(setting, matrices, seed=number, resamples=RESAMPLES))
        lines = table(found).splitlines()
        print("\n".join(lines if number == 0 else lines[-1:]), flush=True)
    equal = [
        simulate(each, matrices, seed=100 + number, resamples=RESAMPLES) for number, each in enumerate(EQUIVALENCE)
    ]
    print("\n" + equivalence_table(equal), flush=True)
    stops = [stopping(each, matrices, np.random.default_rng(number)) for number, each in enumerate(STOPPING)]
    print("\n" + stopping_table(stops), flush=True)
    rates = list(intervals(matrices))
    print("\n" + interval_table(rates), flush=True)
    result = {
        "name": "calibration",
        "worst_false_alarm": max(each.verdicts for each in found),
        "worst_family": max(each.family for each in found),
        "worst_coverage": min(each.covered for each in found),
        "by_method": by_method(found),
        "worst_equivalence": max(max(each.equivalent, each.not_better) for each in equal),
        "worst_stopping": max(each.wrong for each in stops),
        "matrices": matrices,
        "settings": len(found),
        "seconds": round(time.perf_counter() - began),
        "cpu_seconds": round(time.process_time() - cpu),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("numpy", "scipy")},
    }
    print(json.dumps(result))


def by_method(found: Sequence[Rates]) -> dict[str, float]:
    """Largest share of false alarms of each method. Those that know nothing of seeds are judged where none vary."""
    worst: dict[str, float] = {}
    for rates in found:
        for name, (alarms, shown) in rates.believed.items():
            own_scope = "recipe" in name or rates.setting.seed_ratio == 0
            if own_scope and shown >= rates.matrices / 2:
                worst[name] = max(worst.get(name, 0.0), round(alarms / shown, 4))
    return worst


# ---------------------------------------------------------------- judging until it is decided


@dataclass(frozen=True, slots=True)
class Stop:
    """One kind of pair that is judged until it is decided. `gap`: its true difference, points; `sd` of an item's."""

    shape: Literal["plain", "skewed", "pass or fail"]
    items: int
    gap: float = 0.0
    sd: float = 20.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """Shares of pairs. `decided`: by the end; `wrong`: for the side that is not better; `covered`: the interval as of
    stopping holds the truth; `asked`: of the items. `width`: of the interval, over that of as many items fixed before.
    """

    kind: Stop
    decided: float
    wrong: float
    covered: float
    asked: float
    width: float


STOPPING = (
    *(Stop(shape, items) for shape in ("plain", "skewed", "pass or fail") for items in (200, 1000)),  # type: ignore[arg-type]
    *(Stop("plain", 1000, gap) for gap in (4.0, 8.0, 16.0)),
)


def stopping(kind: Stop, pairs: int, draw: np.random.Generator) -> Stopped:
    """Look after every 20 items, stop at once when nil is left out, and see what was said."""
    decided = wrong = covered = asked = 0
    widths = []
    for _ in range(pairs):
        scores = _differences(kind, draw)
        looks = range(LOOK, kind.items + 1, LOOK)
        # What is decided stays decided, so the first look that decides is found by halving.
        seen = looks[min(bisect_left(looks, True, key=lambda n, s=scores: _decided(s[:n])), len(looks) - 1)]
        found = betting(scores[:seen], -100, 100)
        low, high = found.interval
        decided += found.p <= 0.05
        wrong += found.p <= 0.05 and (kind.gap == 0 or scores[:seen].mean() < 0)
        covered += low <= kind.gap <= high
        asked += seen
        fixed = 2 * 1.96 * scores[:seen].std(ddof=1) / seen**0.5
        widths.append((high - low) / max(fixed, 1e-9))
    n = float(pairs)
    return Stopped(kind, decided / n, wrong / n, covered / n, asked / n / kind.items, float(np.median(widths)))


def _decided(scores: FloatArray) -> bool:
    return betting(scores, -100, 100).p <= 0.05


def _differences(kind: Stop, draw: np.random.Generator) -> FloatArray:
    """(n,) differences of two 0–100 scores."""
    if kind.shape == "pass or fail":
        return np.asarray(100.0 * (draw.integers(0, 2, kind.items) - draw.integers(0, 2, kind.items)))
    if kind.shape == "skewed":
        rare = draw.random(kind.items) < 1 / RARE
        return np.asarray(np.where(rare, LOSS, -LOSS / (RARE - 1)) + draw.normal(0, 2, kind.items) + kind.gap)
    return np.asarray(np.clip(draw.normal(0, kind.sd, kind.items), -80, 80) + kind.gap)


def stopping_table(found: Sequence[Stopped]) -> str:
    """Markdown, in per cent; the last column is a ratio."""
    header = ["differences", "items", "true", "decided", "wrongly", "interval covers", "items asked", "width"]
    rows = [
        [each.kind.shape, str(each.kind.items), f"{each.kind.gap:g}",
         *(f"{100 * share:.1f}" for share in (each.decided, each.wrong, each.covered, each.asked)), f"{each.width:.2f}"]
        for each in found
    ]  # fmt: skip
    return _markdown(header, rows)


# ---------------------------------------------------------------- win rates, strengths, corrected means


def intervals(times: int) -> Iterator[tuple[str, int, float, int]]:
    """(method, items, share of 95 % intervals that hold the truth, how often it was tried)."""
    draw = np.random.default_rng(7)
    fewer = max(1, times // 5)
    tried: list[tuple[str, int, int, Callable[[], bool]]] = []
    for n in (50, 100, 400):
        tried.append(("win rate", n, times, partial(_win_rate, n, draw, controlled=False)))
        tried.append(("win rate at equal length", n, times, partial(_win_rate, n, draw, controlled=True)))
    tried += [("Bradley–Terry chance", n, fewer, partial(_strengths, n, draw)) for n in (50, 200)]
    tried += [(f"mean corrected by {m} labels", 400, times, partial(_corrected, m, draw)) for m in (30, 100)]
    for name, items, often, holds in tried:
        yield name, items, float(np.mean([holds() for _ in range(often)])), often


def _win_rate(items: int, draw: np.random.Generator, *, controlled: bool) -> bool:
    """Longer answers win more often, and one side writes longer ones: at equal length the chance is one half."""
    longer = draw.normal(0, 100, items) + (0 if not controlled else 40)
    spread = np.sqrt(100.0**2 + (40.0**2 if controlled else 0.0))
    chance = 1 / (1 + np.exp(-(1.0 if controlled else 0.0) * np.tanh(longer / spread)))
    won = (draw.random(items) < chance).astype(np.float64)
    rates = win_rates(won.tolist(), longer.tolist())
    low, high = (rates.controlled_low, rates.controlled_high) if controlled else (rates.low, rates.high)
    return low is not None and high is not None and low <= 50 <= high


def _strengths(items: int, draw: np.random.Generator) -> bool:
    """Three equally good cells: each beats an average one half of the time."""
    found = strengths(draw.normal(0, 1, (3, items)), 200, draw)
    return found is not None and bool(found.interval[0, 0] <= 0.5 <= found.interval[0, 1])


def _corrected(labels: int, draw: np.random.Generator) -> bool:
    """A judge that is 8 points too kind and noisy; people rate a random part of 400 items."""
    truth = draw.normal(60, 15, 400)
    judge = truth + 8 + draw.normal(0, 10, 400)
    people = truth[:labels] + draw.normal(0, 5, labels)
    found = corrected_mean(people, judge[:labels], judge[labels:])
    return found.low <= 60 <= found.high


def interval_table(found: Sequence[tuple[str, int, float, int]]) -> str:
    """Markdown, coverage in per cent."""
    return _markdown(
        ["interval of", "items", "covers", "simulations"],
        [[name, str(items), f"{100 * share:.1f}", str(times)] for name, items, share, times in found],
    )


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


if __name__ == "__main__":
    main()
