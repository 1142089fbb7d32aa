"""What a design could find before it is run: in seeds, in items that come in clusters, against a run of that design."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from harness.align import align, lay_out
from harness.compare import CompareInputs, compare
from harness.data.dataset import dataset
from harness.gate.decision import Rule, weigh
from harness.records.result import Result
from harness.samplesize import Line, SampleSize, Spread, pilot_spread, sample_size, spread_of
from harness.spec.reading import parse_spec
from reports.significance import print_sample_size
from tests.unit.test_compare import ROUGE, make_inputs, scored, variant
from tests.unit.test_plan import MATRIX, resolved

SIZE = 5
CLUSTERS = "compare: {clusters: source}\n"


def in_clusters(clusters: int) -> CompareInputs:
    """Three cells of three seeds; what tells two cells apart on an item is mostly shared within its cluster."""
    draw = np.random.default_rng(4)
    items = clusters * SIZE
    found = []
    for style in ("alpaca", "phi", "chatml"):
        own = 50 + np.repeat(draw.normal(0, 9, clusters), SIZE)
        for seed in (1, 2, 3):
            noise = np.repeat(draw.normal(0, 4, clusters), SIZE) + draw.normal(0, 8, items)
            found.append(scored(variant(style, seed=seed), own + noise + draw.normal(0, 0.5)))
    groups = {f"e{i:03}": f"source {i // SIZE}" for i in range(items)}
    return replace(make_inputs(*found), clusters=groups)


def half_widths(result: Result) -> list[float]:
    return [(c.interval.high - c.interval.low) / 2 for c in result.comparisons if c.interval]


def planned(folder: Path, spread: Spread, seeds: str, items: int, difference: float, compared: str = "") -> SampleSize:
    """Two trained cells with that many test items, five of a source."""
    lines = (json.dumps({"instruction": f"say {i}", "output": "x", "source": str(i // SIZE)}) for i in range(items + 5))
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = MATRIX.replace("starter-en", "rows.jsonl").replace("[none, lora]", "[lora]").replace("[1, 2]", seeds)
    text = text.replace("[prompt, none]", "[prompt]") + f"split: {{train: 5, test: {items}, validation: 0}}\n{compared}"
    spec = parse_spec(text, "m.yaml")
    known = replace(resolved(spec), data=dataset(spec.data, spec.split, folder))
    return sample_size(spec, known, difference, spread)


def planned_line(found: SampleSize) -> Line:
    return next(line for line in found.lines if line.planned)


# ---------------------------------------------------------------- items in clusters


def test_chance_of_items_in_clusters_is_counted_in_items() -> None:
    few, more = compare(in_clusters(60)), compare(in_clusters(160))
    table = few.variances[0]
    assert table.half_width == pytest.approx(np.mean(half_widths(few)), rel=0.03)
    bought = next(each for each in table.purchases if each.what == "500 more items")
    assert bought.half_width == pytest.approx(np.mean(half_widths(more)), rel=0.15)


def test_power_by_a_pilot_in_clusters_is_the_runs_own(tmp_path: Path) -> None:
    result = compare(in_clusters(80))
    found = planned(tmp_path, pilot_spread(result), "[1, 2, 3]", 400, 2.0, CLUSTERS)
    degrees = [c.tests[0].df for c in result.comparisons]
    errors = [half / stats.t.ppf(0.975, df) for half, df in zip(half_widths(result), degrees, strict=True)]
    line = planned_line(found)
    assert line.items == 400 and found.clusters == 80
    assert line.seen == pytest.approx(np.mean(errors) * 2.85, rel=0.06)


def test_without_a_pilot_a_cluster_counts_as_one_item(tmp_path: Path) -> None:
    spread = spread_of(10.0, 0.5, None)
    grouped = planned(tmp_path, spread, "[1, 2, 3]", 200, 5.0, CLUSTERS)
    alone = planned(tmp_path, spread, "[1, 2, 3]", 40, 5.0)
    assert planned_line(grouped).seen == pytest.approx(planned_line(alone).seen)
    assert grouped.clusters == 40 and alone.clusters is None and alone.items_needed is not None
    assert grouped.items_needed == pytest.approx(SIZE * alone.items_needed, rel=0.03)


def test_a_gate_over_clusters_asks_for_items() -> None:
    given = in_clusters(60)
    layout = lay_out(given.variants)
    [found] = weigh(ROUGE, align(layout, ROUGE, given.clusters), None, [(1, 0)], Rule(tolerance=2.0))
    assert found.contrast.items == 300 and found.enough is not None
    assert found.enough.items is not None and found.enough.items > 300


# ---------------------------------------------------------------- seeds


def test_one_seed_can_say_nothing_of_a_recipe(tmp_path: Path) -> None:
    found = planned(tmp_path, spread_of(20.0, 2.0, None), "[1]", 1000, 10.0)
    assert {line.seeds: line.recipe for line in found.lines} == {1: False, 2: True, 3: True, 5: True}
    # An item's spread alone: 20 / sqrt(1000), and 2.80 standard errors for 80 % power
    assert planned_line(found).seen == pytest.approx(20 / 1000**0.5 * 2.80, rel=0.01)
    assert found.seeds_needed == 3, "2 seeds: 79 %"
    console = Console(file=io.StringIO(), width=120)
    print_sample_size(found, console)
    assert "these checkpoints only" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_declared_seed_sd_lets_one_seed_speak_of_the_recipe(tmp_path: Path) -> None:
    found = planned(tmp_path, spread_of(20.0, 1.0, None), "[1]", 200, 10.0, "compare: {seed_sd: 1}\n")
    assert planned_line(found).recipe and found.seeds_needed == 1
    assert planned_line(found).seen == pytest.approx((400 / 200 + 2) ** 0.5 * 2.80, rel=0.01)


def test_the_fewest_items_are_found(tmp_path: Path) -> None:
    spread = spread_of(20.0, 1.0, None)
    needed = planned(tmp_path, spread, "[1, 2, 3]", 100, 4.0).items_needed
    assert needed is not None
    there, below = (planned(tmp_path, spread, "[1, 2, 3]", n, 4.0) for n in (needed, needed - needed // 50))
    assert planned_line(there).power >= 0.8 > planned_line(below).power
