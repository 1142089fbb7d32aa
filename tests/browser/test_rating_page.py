"""The rating page in a real Chromium: keys alone, blind, resumed, several raters, pairs, a typed score."""

# ruff: noqa: F401, F811 - pytest finds its fixtures by name
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

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
    expect(page.get_by_text(re.compile(rf"^{n} of \d+ rated$"))).to_be_visible(timeout=30_000)


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
    press(page, "9", "9", "9", "Enter")
    rated(page, 0)
    press(page, "7", "6", "Backspace", "5", "Enter")
    rated(page, 1)
    assert {row["text"] for row in said(root, "emil")} == {"75"}


def test_what_a_model_wrote_is_text(serve: Serve, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(serve("--rubric", "helpfulness-5", "--rater", "fay"))
    rated(page, 0)
    for _ in range(60):
        if page.get_by_text(SCRIPT).count():
            break
        press(page, "s")
    expect(page.get_by_text(SCRIPT).first).to_be_visible()
    expect(page.get_by_text("Reference", exact=True)).to_have_count(0)
    watched.check("rate-hostile")
