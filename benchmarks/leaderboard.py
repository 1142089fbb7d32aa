"""How fast the leaderboard is in Chromium: `python benchmarks/leaderboard.py`. The last line is JSON.

A store of 1,000 variants (250 cells of 4 seeds) and 1,000 items with two measures, made for this run, or kept in the
folder that is given for the next.

first_paint_s       opening the leaderboard, to its answer, plot and table being drawn: a browser with an empty cache,
                    the store already read by this server
contentful_paint_s  the browser's own first contentful paint (W3C Paint Timing) of the same visits
returning_paint_s   the same for a browser that was here before: Streamlit's own files are in its cache
floor_s             an empty cache again, and a page of Streamlit's with one point in its plot and one row in its table
cold_first_paint_s  the first visitor of a new server, with an empty cache
filter_s            the slowest of: another measure and one level of an axis on the board, a search among the items,
                    who won on the page of two cells, from the click to the page being drawn anew
open_items_s        opening the items for the first time: a million values are read and kept; `open_items_kept_s`: by a
                    later server
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path

sys.path.pop(0)  # this folder: its file of that name would be taken for the package

import numpy as np
from playwright.sync_api import BrowserContext, Page, sync_playwright

from harness.records.data import Example, SplitExample
from harness.records.inputs import (
    BaseInput,
    DataInput,
    GenerateInput,
    ScoreInput,
    SourceInput,
    StageKey,
    TrainInput,
)
from harness.records.plan import Plan, VariantPlan
from harness.records.result import BoardRow, CellScore, Comparison, Interval, MeasureInfo, Result
from harness.records.rows import Generation, LossRow, MetricRow
from harness.records.seal import Facts, ScoreFacts, TrainFacts
from harness.records.settings import GenerateSettings, SplitSettings, TrainSettings
from harness.records.variant import Cell, Variant
from harness.store import Store, planned
from leaderboard.launch import ADDRESS, APP, command

MODELS, STYLES, WEIGHTS, SEEDS, ITEMS = 10, 5, 5, 4, 1_000
ROUNDS = 5
PORT = 8597
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning]"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
MEASURES = tuple(
    MeasureInfo(name=n, label=n, kind="metric", unit="0–100", corpus=False, signature="made", primary=n == "rougeL")
    for n in ("rougeL", "chrf")
)


LITTLE = """
import streamlit as st
st.write("This is the answer of this run.")
point = {"field": "a", "type": "quantitative"}
st.vega_lite_chart({"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": point, "y": point}})
st.dataframe({"a": [1]})
"""


def main() -> None:
    """Make the store, serve it twice, measure, and end with one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        store = Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/runs")
        if not store.exists():
            print(f"store made in {timed(lambda: make_store(store)):.0f} s")
        with sync_playwright() as tools:
            with served(store), browser(tools) as fresh:
                cold = timed(lambda: first_paint(fresh()))
                opened = timed(lambda: open_items(fresh()))
            with served(store), browser(tools) as fresh:
                first_paint(fresh())
                visits = [fresh() for _ in range(ROUNDS)]
                paints = [timed(lambda page=page: first_paint(page)) for page in visits]  # type: ignore[misc]
                contentful = [contentful_paint(page) for page in visits]
                again = fresh()
                first_paint(again)
                returning = [timed(lambda: first_paint(again)) for _ in range(ROUNDS)]
                kept = timed(lambda: open_items(fresh()))
                filters = filter_times(fresh())
            little = Path(folder) / "little.py"
            little.write_text(LITTLE)
            with served(store, little), browser(tools) as fresh:
                first_paint(fresh())
                floor = [timed(lambda: first_paint(fresh())) for _ in range(ROUNDS)]
    print(f"first paint {spread(paints)} s, of a new server {cold:.2f} s")
    print(f"first contentful paint {spread(contentful)} s")
    print(f"a browser that was here before {spread(returning)} s; a page with one point and one row {spread(floor)} s")
    for name, times in filters.items():
        print(f"{name} {spread(times)} s")
    print(f"items opened in {opened:.2f} s, by a later server in {kept:.2f} s")
    result = {
        "name": "leaderboard",
        "first_paint_s": round(statistics.median(paints), 2),
        "contentful_paint_s": round(statistics.median(contentful), 2),
        "returning_paint_s": round(statistics.median(returning), 2),
        "floor_s": round(statistics.median(floor), 2),
        "cold_first_paint_s": round(cold, 2),
        "filter_s": round(max(statistics.median(times) for times in filters.values()), 2),
        "open_items_s": round(opened, 2),
        "open_items_kept_s": round(kept, 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("streamlit", "pandas", "pyarrow", "playwright")},
    }
    print(json.dumps(result))


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(times: list[float]) -> str:
    """`0.41 (0.39 to 0.52)`."""
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


# ---------------------------------------------------------------- the browser


@contextmanager
def served(store: Path, app: Path = APP) -> Iterator[None]:
    """The leaderboard, or another app, over the store, ready to answer."""
    server = subprocess.Popen(command(store, PORT, app=app), stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        for _ in range(200):
            if server.poll() is not None:
                sys.exit(f"the leaderboard did not start; is port {PORT} taken?")
            with suppress(OSError):
                urllib.request.urlopen(f"http://{ADDRESS}:{PORT}/_stcore/health", timeout=1).close()  # noqa: S310
                break
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        server.wait()


@contextmanager
def browser(tools: object) -> Iterator[Callable[[], Page]]:
    """Gives pages, each in a profile of its own: nothing is cached."""
    chromium = tools.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)  # type: ignore[attr-defined]
    contexts: list[BrowserContext] = []

    def fresh() -> Page:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 800}))
        return contexts[-1].new_page()

    try:
        yield fresh
    finally:
        chromium.close()


def first_paint(page: Page) -> None:
    """Open the leaderboard; its answer, plot and table are there."""
    page.goto(f"http://{ADDRESS}:{PORT}/", wait_until="commit")
    page.get_by_text("the answer of this run").wait_for(timeout=120_000)
    page.locator("[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas").first.wait_for()
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()


def contentful_paint(page: Page) -> float:
    """Seconds from the navigation to the first text or picture, as the browser has it."""
    milliseconds = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return float(milliseconds) / 1000


def open_items(page: Page) -> None:
    """Open the items; the one where cells differ most is there."""
    page.goto(f"http://{ADDRESS}:{PORT}/items", wait_until="commit")
    page.get_by_text(f"Item 1 of {ITEMS}").wait_for(timeout=300_000)
    page.get_by_text("Every cell on this item").wait_for(timeout=120_000)


def filter_times(page: Page) -> dict[str, list[float]]:
    """What is filtered -> seconds of each round."""
    found: dict[str, list[float]] = {}
    first_paint(page)
    for name in ("chrf", "rougeL") * 2:
        choose(page, "Measure", name)
        found.setdefault("measure", []).append(
            timed(lambda name=name: page.get_by_role("heading", name=f"Ranked by {name}").wait_for())  # type: ignore[misc]
        )
        page.wait_for_selector(DRAWN)
    for count, name in enumerate(("style-0", "style-1", "style-2"), start=1):
        if not page.get_by_role("combobox", name="Prompt style").is_visible():
            page.get_by_role("button", name="Filter").click()
        choose(page, "Prompt style", name)
        said = f"{count * MODELS * WEIGHTS} of {MODELS * STYLES * WEIGHTS} cells are left"
        found.setdefault("level", []).append(timed(lambda text=said: page.get_by_text(text).wait_for()))  # type: ignore[misc]
        page.wait_for_selector(DRAWN)
        page.keyboard.press("Escape")
    open_items(page)
    for word in ("7", "77", "777"):
        page.get_by_role("textbox", name="Search").fill(word)
        page.keyboard.press("Enter")
        hits = sum(word in str(i) for i in range(ITEMS))
        found.setdefault("search", []).append(
            timed(lambda n=hits: page.get_by_text(f"Item 1 of {n}", exact=True).wait_for())  # type: ignore[misc]
        )
        page.wait_for_selector(DRAWN)
    page.goto(f"http://{ADDRESS}:{PORT}/compare")
    page.get_by_text(f"{ITEMS} of {ITEMS} items are left").wait_for(timeout=120_000)
    page.wait_for_selector(DRAWN)
    for winner in ("A better", "B better", "A better"):
        before = page.get_by_text("items are left").inner_text()
        page.get_by_role("radio", name=winner).click()
        gone = f"document.body.innerText.includes({json.dumps(before)}) === false"
        found.setdefault("who won", []).append(timed(lambda js=gone: page.wait_for_function(js)))  # type: ignore[misc]
        page.wait_for_selector(DRAWN)
    return found


def choose(page: Page, label: str, option: str) -> None:
    """Open a choice and click one of its options."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


# ---------------------------------------------------------------- the store


def make_store(root: Path) -> None:
    """Write every object that the leaderboard reads."""
    rng = np.random.default_rng(5)
    store = Store(root)
    examples = [
        Example(id=f"{i:012x}", instruction=f"Say number {i} in words.", output=f"This is {i} in words, as asked.")
        for i in range(ITEMS)
    ]
    data_input = DataInput(sources=(SourceInput(format="jsonl", identity="5" * 64),), split=SplitSettings())
    data = put(store, data_input, [SplitExample(split="test", index=i, example=e) for i, e in enumerate(examples)])
    cells = [
        Cell(model=f"model-{m}", prompt_style=f"style-{s}", method="full", masking="prompt", prompt_loss_weight=w / 10)
        for m, s, w in product(range(MODELS), range(STYLES), range(WEIGHTS))
    ]
    easy = rng.normal(50, 15, ITEMS)
    plans, means = [], {}
    for cell in cells:
        values = easy + rng.normal(0, 3) + rng.normal(0, 12, (SEEDS, len(MEASURES), ITEMS))
        means[cell.name] = values.mean(2)
        for seed in range(SEEDS):
            plans.append(variant_plan(store, Variant(**cell.model_dump(), seed=seed), data, values[seed], examples))
    stages = tuple(planned(each) for each in INPUTS)
    plan = Plan(matrix="big", matrix_digest="b" * 64, data=data, stages=stages, variants=tuple(plans), judges=())
    store.write_matrix(plan, "name: big\n")
    store.write_result(plan, result(cells, means))


INPUTS: list[object] = []


def put(store: Store, stage_input: object, rows: list[object], facts: Facts | None = None) -> StageKey:
    """Seal one object."""
    stage = planned(stage_input)
    INPUTS.append(stage_input)
    with store.making(stage) as writer:
        writer.append(rows)  # type: ignore[arg-type]
        writer.finish(facts=facts)
    return stage.key


def variant_plan(
    store: Store, variant: Variant, data: StageKey, values: np.ndarray, examples: list[Example]
) -> VariantPlan:
    """Training, responses and scores of one variant."""
    base = planned(BaseInput(kind="folder", identity=variant.model)).key
    train_input = TrainInput(
        base=base.digest, data=data.digest, style_sha256=variant.prompt_style, masking="prompt", method="full",
        prompt_loss_weight=variant.prompt_loss_weight, settings=TrainSettings(), seed=variant.seed or 0,
    )  # fmt: skip
    steps = range(1, 101)
    curve = [LossRow(step=s, loss=3 / s**0.3, loss_tokens=150, lr=1e-5, grad_norm=1.0) for s in steps]
    facts = TrainFacts(
        examples=8000, steps=100, kept_step=100, loss_tokens=15_000, tokens_seen=46_000, parameters=10**8,
        trained_parameters=10**8, precision="bf16", micro_batch_size=8, first_loss=3.0, last_loss=0.9,
        validation_loss=1.0, train_seconds=200.0 + len(variant.name), flops=1e14, peak_memory_bytes=3 * 10**9,
        energy_joules=None,
    )  # fmt: skip
    train = put(store, train_input, list(curve), facts)
    style = variant.prompt_style
    generate_input = GenerateInput(
        weights=train.digest, base=base.digest, data=data.digest, style_sha256=style, settings=GenerateSettings()
    )
    answers = [
        Generation(example_id=e.id, sample=0, text=f"{e.output} {variant.name}", finish_reason="eos", tokens=20,
                   seconds=0.1)
        for e in examples
    ]  # fmt: skip
    generated = put(store, generate_input, list(answers))
    scores = {
        m.name: put(
            store,
            ScoreInput(generations=generated.digest, data=data.digest, metric=m.name, signature="made"),
            [MetricRow(example_id=e.id, sample=0, value=float(v)) for e, v in zip(examples, row, strict=True)],
            ScoreFacts(corpus=float(row.mean()), signature="made"),
        )
        for m, row in zip(MEASURES, values, strict=True)
    }
    return VariantPlan(
        variant=variant, base=base, train=train, generate=generated, scores=scores, asks={}, judgments={}
    )


def result(cells: list[Cell], means: dict[str, np.ndarray]) -> Result:
    """A comparison of all pairs; its figures are near enough to look real."""
    rows = [
        BoardRow(
            cell=cell,
            seeds=tuple(range(SEEDS)),
            scores=tuple(score(m.name, means[cell.name][:, i]) for i, m in enumerate(MEASURES)),
        )
        for cell in cells
    ]
    rows.sort(key=lambda row: -(row.scores[0].mean or 0))
    pairs = [
        pair(m.name, a.name, b.name, float(means[a.name][:, i].mean()), float(means[b.name][:, i].mean()))
        for i, m in enumerate(MEASURES)
        for a, b in combinations(cells, 2)
    ]
    return Result(
        matrix="big", matrix_digest="b" * 64, data_name="numbers", n_test=ITEMS, alpha=0.05, primary="rougeL",
        baseline=cells[0].name, measures=MEASURES, rows=tuple(rows), comparisons=tuple(pairs), effects=(), trust=(),
        failed=(), answer=("This is the answer of this run.",), warnings=(),
    )  # fmt: skip


def score(measure: str, seeds: np.ndarray) -> CellScore:
    """A cell's line."""
    mean = float(seeds.mean())
    return CellScore(
        measure=measure, mean=mean, interval=Interval(low=mean - 1, high=mean + 1), interval_scope="recipe",
        per_seed=tuple(seeds.tolist()), rank_low=1, rank_high=250, n_items=ITEMS, unscored=0,
    )  # fmt: skip


def pair(measure: str, a: str, b: str, mean_a: float, mean_b: float) -> Comparison:
    """A pair's line."""
    delta = mean_a - mean_b
    return Comparison(
        a=a, b=b, measure=measure, scope="recipe", n_items=ITEMS, seeds_a=SEEDS, seeds_b=SEEDS, mean_a=mean_a,
        mean_b=mean_b, delta=delta, interval=Interval(low=delta - 1, high=delta + 1), p=0.2, p_adjusted=1.0,
        family="Holm over 31125", effect_size=0.1, wins=500, ties=0, losses=500, mde=1.5, tipping_point=None,
        verdict="not shown", tests=(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
