"""The rating page in a real Chromium: keys alone, blind, resumed, several raters, pairs, a typed score."""

# ruff: noqa: F401, F811 - pytest finds its fixtures by name
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from harness.sitting import rubric_of, sit_down
from harness.store import Store
from leaderboard.launch import RATING
from tests.browser.test_pages import Watch, contexts, light, served, settle, watch
from tests.ugly import SCRIPT
from tests.ugly_store import ugly_store

pytestmark = pytest.mark.browser
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rating") / "runs"
    ugly_store(root)
    return root


@pytest.fixture
def serve(root: Path, tmp_path: Path) -> Iterator[Serve]:
    """rubric -> address of its page."""
    open_ones = []

    def start(*more: str) -> str:
        [run] = Store(root).matrices()
        where = ("--matrix", str(run.folder), "--against", run.plan.variants[0].generate.digest)
        serving = served(root, tmp_path / "streamlit.log", app=RATING, more=(*where, *more))
        open_ones.append(serving)
        return serving.__enter__()

    yield start
    for serving in open_ones:
        serving.__exit__(None, None, None)


def said(root: Path, rater: str) -> list[dict[str, object]]:
    """What a rater's replies hold, in the order in which they were given."""
    rows = []
    for spec in root.glob("objects/ask/*/spec.json"):
        if json.loads(spec.read_text())["model_identity"] == f"human:{rater}":
            rows += [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    return rows


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        settle(page)


def rated(page: Page, n: int) -> None:
    """Wait until a turn is drawn: before that, what is left of the last one (its focused field, too) takes the keys."""
    expect(page.get_by_text(re.compile(rf"^{n} of \d+ rated$"))).to_be_visible(timeout=30_000)
    settle(page)


def test_keys_alone_rate_undo_and_skip_and_a_reload_goes_on(
    root: Path,
    serve: Serve,
    light: BrowserContext,
    watch: Watch,
) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(serve("--rubric", "correctness-5", "--rater", "anna", "--items", "4"))
    rated(page, 0)
    names = [each.variant.name for each in Store(root).matrices()[0].plan.variants]
    assert not [name for name in names if name in page.content()], "blind"
    watched.check("rate")
    press(page, "4", "2")
    rated(page, 2)
    assert {row["text"] for row in said(root, "anna")} == {'{"score": 4}', '{"score": 2}'}
    press(page, "u")
    rated(page, 1)
    assert {row["text"] for row in said(root, "anna")} == {'{"score": 4}'}
    press(page, "s", "5")
    rated(page, 2)
    page.reload()
    rated(page, 2)
    watched.check("rate-resumed")


def test_raters_name_themselves_and_have_ratings_and_an_order_of_their_own(
    root: Path,
    serve: Serve,
    light: BrowserContext,
    watch: Watch,
) -> None:
    address, first = serve("--rubric", "correctness-5"), []
    for name in ("ben", "chloé"):
        page = watch(light).page
        page.goto(address)
        page.get_by_role("textbox", name="Your name").fill(name)
        page.keyboard.press("Enter")
        rated(page, 0)
        first.append(page.get_by_test_id("stCode").first.inner_text())
        press(page, "3")
        rated(page, 1)
        assert said(root, name)
    assert first[0] != first[1]


def test_pairs_and_typed_scores(root: Path, serve: Serve, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(serve("--rubric", "pairwise", "--rater", "dora", "--items", "5"))
    rated(page, 0)
    expect(page.get_by_text("Answer A")).to_be_visible()
    expect(page.get_by_text("Answer B")).to_be_visible()
    watched.check("rate-pair")
    press(page, "b", "t")
    rated(page, 2)
    assert {row["text"] for row in said(root, "dora")} == {'{"better": "B"}', '{"better": "tie"}'}
    page.goto(serve("--rubric", "correctness-100", "--rater", "emil"))
    rated(page, 0)
    line = page.get_by_role("textbox", name="0 to 100, then Enter")
    expect(line).to_be_focused()
    page.keyboard.type("999\n")  # at once: no letter waits for the server
    expect(page.get_by_text("“999” is not a rating.")).to_be_visible()
    watched.check("rate-typed")
    expect(line).to_be_empty()
    page.keyboard.type("76")
    page.keyboard.press("Backspace")
    page.keyboard.type("7\n")
    rated(page, 1)
    expect(line).to_be_empty()
    page.keyboard.type("u")
    rated(page, 0)
    page.get_by_text("How to rate").click()  # and typing goes on from anywhere on the page
    page.keyboard.type("100\n")
    rated(page, 1)
    assert {row["text"] for row in said(root, "emil")} == {"100"}


def test_what_a_model_wrote_is_text(root: Path, serve: Serve, light: BrowserContext, watch: Watch) -> None:
    store = Store(root)
    plan = store.matrices()[0].plan

    def skips(rater: str) -> int:
        """How many questions stand before the one with a script in it."""
        left = sit_down(plan, plan.variants[0].generate, store, rubric_of("helpfulness-5"), rater).left()
        return next(number for number, question in enumerate(left) if SCRIPT in question.texts[0])

    rater = min((f"fay {number}" for number in range(20)), key=skips)
    watched = watch(light)
    page = watched.page
    page.goto(serve("--rubric", "helpfulness-5", "--rater", rater))
    rated(page, 0)
    press(page, *"s" * skips(rater))
    expect(page.get_by_text(SCRIPT).first).to_be_visible()
    expect(page.get_by_text("Reference", exact=True)).to_have_count(0)
    watched.check("rate-hostile")
