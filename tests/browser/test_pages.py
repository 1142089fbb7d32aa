"""Every page in a real Chromium, over an ugly and an empty store: no exception box, console error or network."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from leaderboard.launch import command
from reports.publish import publish
from tests.ugly import CELLS, SCRIPT, TEST, all_values, result
from tests.ugly_store import ugly_store

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SHOTS = Path(__file__).parent / "shots"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

PHONE = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Mobile Safari/537.36"


@dataclass
class Watched:
    """A page and all that went wrong on it."""

    page: Page
    troubles: list[str] = field(default_factory=list)

    def check(self, shot: str) -> None:
        """Take a screenshot, then fail on any trouble so far."""
        settle(self.page)
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{shot}.png")
        assert self.page.locator("[data-testid=stException]").count() == 0
        assert self.troubles == []


def settle(page: Page) -> None:
    """Wait until Streamlit has run its script and the page draws nothing more."""
    if page.url.startswith("http"):
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=30_000)
    page.wait_for_timeout(500)


def is_probe(url: str) -> bool:
    """Streamlit looks for its server below the page's own path first; that 404 is how it learns better."""
    return "/_stcore/" in url and not urlsplit(url).path.startswith("/_stcore/")


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], BrowserContext]]:
    """colour scheme -> a Chromium with an empty profile."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("the browser tests need Debian's chromium: apt-get install -y chromium fonts-noto-cjk")
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:

        def start(scheme: str, *, phone: bool = False) -> BrowserContext:
            handheld = {"viewport": {"width": 390, "height": 844}, "user_agent": PHONE} if phone else {}
            given = {"viewport": {"width": 1280, "height": 800}, "color_scheme": scheme} | handheld
            context = playwright.chromium.launch_persistent_context(
                tmp_path_factory.mktemp("profile"),
                executable_path=chromium,
                headless=True,
                args=FLAGS,
                **given,
            )
            stack.callback(context.close)
            return context

        yield start


@pytest.fixture(scope="module")
def light(contexts: Callable[[str], BrowserContext]) -> BrowserContext:
    return contexts("light")


@pytest.fixture(scope="module")
def dark(contexts: Callable[[str], BrowserContext]) -> BrowserContext:
    return contexts("dark")


@pytest.fixture(scope="module")
def phone(contexts: Callable[..., BrowserContext]) -> BrowserContext:
    return contexts("dark", phone=True)


@pytest.fixture
def watch() -> Iterator[Callable[[BrowserContext], Watched]]:
    """Opens watched pages: console errors, script errors, dialogs and requests to other machines are troubles."""
    pages = []

    def start(context: BrowserContext) -> Watched:
        watched = Watched(context.new_page())
        page, troubles = watched.page, watched.troubles
        page.on("console", lambda m: note_console(m.type, m.text, m.location.get("url", ""), troubles))
        page.on("pageerror", lambda e: troubles.append(f"script error: {e}"))
        page.on("dialog", lambda d: (troubles.append(f"dialog: {d.message}"), d.dismiss()))
        page.on("request", lambda r: note_request(r.url, troubles))
        pages.append(page)
        return watched

    yield start
    for page in pages:
        page.close()


def note_console(kind: str, text: str, url: str, troubles: list[str]) -> None:
    if kind == "error" and not is_probe(url):
        troubles.append(f"console: {text} {url}")


def note_request(url: str, troubles: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("file", "data", "blob") and parts.hostname != "127.0.0.1":
        troubles.append(f"asked the network for {url}")


@contextlib.contextmanager
def served(store: Path, log: Path, **app: Any) -> Iterator[str]:
    """The leaderboard, or another app, over a store; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(command(store, port, **app), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/_stcore/health", process, log)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"the leaderboard did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def ugly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ugly") / "runs"
    ugly_store(root)
    return root


@pytest.fixture(scope="module")
def address(ugly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(ugly, tmp_path_factory.mktemp("log") / "streamlit.log") as where:
        yield where


Watch = Callable[[BrowserContext], Watched]


# ---------------------------------------------------------------- Streamlit


def test_board(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(address)
    expect(page.get_by_role("heading", name="starter-ablation")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Fine-tuning helps")).to_be_visible()
    watched.check("board")
    page.get_by_text("Failed variants").scroll_into_view_if_needed()
    expect(page.get_by_text("out of memory in step 3")).to_be_visible()
    watched.check("board-end")


def test_board_link_reopens_an_untrusted_measure(address: str, dark: BrowserContext, watch: Watch) -> None:
    watched = watch(dark)
    watched.page.goto(f"{address}/?measure=smollm2-judge%20(untrusted)&prompt_style=phi")
    expect(watched.page.get_by_text("cannot tell the reference from an empty answer: AUC")).to_be_visible(
        timeout=30_000
    )
    watched.check("board-untrusted-dark")


def test_items(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/items")
    expect(page.get_by_text("Item 1 of 14")).to_be_visible(timeout=30_000)
    watched.check("items")
    first = page.url
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Item 2 of 14")).to_be_visible()
    settle(page)
    assert "item=" in page.url and page.url != first
    page.reload()
    expect(page.get_by_text("Item 2 of 14")).to_be_visible(timeout=30_000)
    page.get_by_role("textbox", name="Search").fill("长城")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Item 1 of 1", exact=True)).to_be_visible()
    watched.check("items-chinese")


def test_items_show_the_prompt_as_the_model_saw_it(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/items?item={TEST[12].id}")
    page.get_by_text("The prompt as the models saw it").click(timeout=30_000)
    expect(page.get_by_text("Below is an instruction that describes a task.").first).to_be_visible()
    expect(page.get_by_text("### Response:").first).to_be_visible()
    watched.check("items-prompt")


def test_hostile_texts_are_text(address: str, dark: BrowserContext, watch: Watch) -> None:
    watched = watch(dark)
    page = watched.page
    page.goto(f"{address}/items?item={TEST[1].id}")
    shown = page.get_by_text(SCRIPT).filter(visible=True)  # judges' replies are folded away, and may come first
    expect(shown.first).to_be_visible(timeout=30_000)
    page.get_by_text("What the judges replied").first.click()
    expect(page.get_by_text("**Score:** $5$").filter(visible=True).first).to_be_visible(timeout=15_000)
    expect(page.get_by_text("⟨U+202E⟩").filter(visible=True).first).to_be_visible()
    runs_nothing(page)
    watched.check("items-hostile-dark")
    page.goto(f"{address}/data")
    expect(page.get_by_text(f"a.jsonl:7: {SCRIPT}")).to_be_visible(timeout=30_000)
    runs_nothing(page)
    watched.check("data-hostile-dark")


def test_a_hostile_response_beside_another_is_text(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/compare?a=smollm2-135m/alpaca/full/mask-prompt&b=smollm2-135m/phi/untuned&most=25")
    expect(page.locator("mark", has_text="script").first).to_be_visible(timeout=30_000)
    expect(page.locator(".diff", has_text="⟨U+202E⟩").first).to_be_visible()
    expect(page.get_by_text("1,030,000 more characters")).to_be_visible()
    runs_nothing(page)
    watched.check("compare-hostile")


def runs_nothing(page: Page) -> None:
    """No element of what a model wrote: neither its image, nor its link, nor its heading."""
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("a[href*=evil]").count() == 0
    assert page.get_by_role("heading", name="heading").count() == 0


def test_compare_filters_and_its_link(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    a, b = (all_values()["chrf"][CELLS[i].name].mean(0) for i in (7, 3))
    left = f"{(a > b).sum()} of 14 items are left"
    page.goto(f"{address}/compare?measure=chrF")
    expect(page.get_by_text("14 of 14 items are left")).to_be_visible(timeout=30_000)
    page.get_by_role("radio", name="A better").click()
    expect(page.get_by_text(left)).to_be_visible()
    settle(page)
    assert "won=" in page.url and "measure=chrF" in page.url
    page.reload()
    expect(page.get_by_text(left)).to_be_visible(timeout=30_000)
    watched.check("compare-filtered")


def test_downloads_hold_the_table(address: str, light: BrowserContext, watch: Watch, tmp_path: Path) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/training")
    expect(page.get_by_text("27 trainings took")).to_be_visible(timeout=30_000)
    settle(page)
    for kind, read in (("CSV", pd.read_csv), ("Parquet", pd.read_parquet)):
        with page.expect_download(timeout=30_000) as waited:
            page.get_by_role("button", name=kind).last.click(timeout=30_000)
        path = tmp_path / waited.value.suggested_filename
        waited.value.save_as(path)
        assert len(read(path)) == 27, kind
    watched.check("training-downloaded")


def test_a_plot_is_kept_as_png_and_svg(address: str, light: BrowserContext, watch: Watch, tmp_path: Path) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/answer")
    expect(page.get_by_text("One choice changed")).to_be_visible(timeout=30_000)
    for kind, begins in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with page.expect_download(timeout=30_000) as waited:
            page.get_by_role("button", name=kind, exact=True).first.click(timeout=30_000)
        path = tmp_path / waited.value.suggested_filename
        waited.value.save_as(path)
        assert path.read_bytes().startswith(begins), kind
    watched.check("answer-downloaded")


def test_the_board_by_keyboard(address: str, light: BrowserContext, watch: Watch) -> None:
    """Without a mouse: another measure, a filter, the seeds unfolded; the link reopens what was chosen."""
    watched = watch(light)
    page = watched.page
    page.goto(address)
    expect(page.get_by_role("heading", name="Ranked by ROUGE-L")).to_be_visible(timeout=30_000)
    settle(page)
    reach(page, "Measure")
    choose(page, "chrF")
    expect(page.get_by_role("heading", name="Ranked by chrF")).to_be_visible(timeout=30_000)
    settle(page)
    reach(page, "Filter")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stPopoverBody")).to_be_visible(timeout=30_000)
    settle(page)
    reach(page, "Prompt style")
    choose(page, "phi")
    expect(page.get_by_text("4 of 12 cells are left")).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    settle(page)
    reach(page, "Unfold the seeds of every cell")
    page.keyboard.press("Space")
    settle(page)
    assert all(part in page.url for part in ("measure=chrF", "prompt_style=phi", "unfold=true")), page.url
    page.reload()
    expect(page.get_by_text("4 of 12 cells are left")).to_be_visible(timeout=30_000)
    watched.check("board-keyboard")


def choose(page: Page, option: str) -> None:
    """Type into the choice that has the focus what it is to hold."""
    page.keyboard.press("Control+a")
    page.keyboard.type(option)
    expect(page.get_by_role("option", name=option, exact=True)).to_be_visible(timeout=30_000)
    page.keyboard.press("Enter")


def reach(page: Page, name: str) -> None:
    """Press Tab until the element of that name has the focus."""
    js = """() => { const e = document.activeElement;
      const ids = (e.getAttribute('aria-labelledby') || '').split(' ');
      const by = ids.map((id) => document.getElementById(id)?.innerText);
      const own = e.tagName === 'BUTTON' ? e.innerText : '';
      return [e.getAttribute('aria-label'), e.labels?.[0]?.innerText, ...by, own].join('|'); }"""
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(js))
        if name in seen[-1]:
            return
    pytest.fail(f"Tab does not reach {name}: {seen}")


PAGES = ("", "answer", "compare", "items", "judges", "training", "masks", "data", "runs")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "board")
@pytest.mark.parametrize("device", ["light", "phone"])
def test_every_page(address: str, path: str, device: str, request: pytest.FixtureRequest, watch: Watch) -> None:
    """The whole page in one picture; nothing stands out of its width."""
    watched = watch(request.getfixturevalue(device))
    page = watched.page
    page.goto(f"{address}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
    settle(page)
    width = page.viewport_size["width"] if page.viewport_size else 0
    height = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(max(800, height), 4000)})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    watched.check(f"whole-{path or 'board'}-{device}")


def test_judges(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    watched.page.goto(f"{address}/judges")
    expect(watched.page.get_by_text("smollm2-judge: untrusted.")).to_be_visible(timeout=30_000)
    watched.check("judges")


def test_masks(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(f"{address}/masks")
    expect(page.get_by_role("heading", name="Masks")).to_be_visible(timeout=30_000)
    expect(page.locator(".mask").first).to_be_visible()
    cards = page.locator(".mask").count()
    assert cards == 7, "each style and policy of a model once, those without a record left out"
    watched.check("masks")
    with page.expect_download(timeout=30_000) as waited:
        page.get_by_role("button", name="CSV").click()
    tokens = pd.read_csv(waited.value.path(), keep_default_na=False)
    assert tokens.groupby(["model", "prompt style", "masking"]).ngroups == 7 and set(tokens["weight"]) >= {0.0, 1.0}
    page.get_by_text("Show token ids").click()
    expect(page.locator(".mask small").first).to_be_visible()
    watched.check("masks-ids")
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    watched.check("masks-narrow")


def test_walk_by_the_sidebar(address: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(address)
    for name, heading in (("Items", "Items"), ("Judges", "Judges"), ("Runs", "Runs"), ("Leaderboard", "starter")):
        page.get_by_role("link", name=name, exact=True).click(timeout=30_000)
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        watched.check(f"walk-{name.lower()}")


def test_empty_store(light: BrowserContext, watch: Watch, tmp_path: Path) -> None:
    with served(tmp_path / "runs", tmp_path / "streamlit.log") as where:
        watched = watch(light)
        for path in PAGES:
            watched.page.goto(f"{where}/{path}")
            expect(watched.page.get_by_text("harness run matrix.yaml --store")).to_be_visible(timeout=30_000)
        watched.check("empty")


def test_a_run_that_is_going_on(light: BrowserContext, watch: Watch, tmp_path: Path) -> None:
    store = ugly_store(tmp_path / "runs")
    (folder,) = store.matrix_folders()
    (folder / "comparison.json").rename(tmp_path / "comparison.json")
    with served(tmp_path / "runs", tmp_path / "streamlit.log") as where:
        watched = watch(light)
        page = watched.page
        page.goto(f"{where}/runs")
        expect(page.get_by_text("is not finished")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("stages sealed")).to_be_visible()
        watched.check("runs-going-on")
        (tmp_path / "comparison.json").rename(folder / "comparison.json")
        expect(page.get_by_text("is not finished")).to_be_hidden(timeout=30_000)


# ---------------------------------------------------------------- report.html


@pytest.fixture(scope="module")
def report(ugly: Path) -> str:
    from harness.store import Store

    store = Store(ugly)
    return publish(store, store.matrices()[0]).html.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report(report: str, scheme: str, request: pytest.FixtureRequest, watch: Watch) -> None:
    watched = watch(request.getfixturevalue(scheme))
    page = watched.page
    page.goto(report)
    watched.check(f"report-{scheme}")
    for section in ("leaderboard", "effects", "judges", "ledger", "masks", "responses"):
        page.locator(f"#{section}").evaluate("e => e.scrollIntoView()")
        watched.check(f"report-{scheme}-{section}")


def test_report_s_plots_answer_the_reader(report: str, light: BrowserContext, watch: Watch, tmp_path: Path) -> None:
    """Drawn by Vega from the one file: another measure by its menu, figures when pointed at, a picture to keep."""
    watched = watch(light)
    page = watched.page
    page.goto(report)
    board = page.locator("#board-plot")
    expect(board.locator(".live svg.marks")).to_be_visible(timeout=30_000)
    expect(board.locator(".still")).to_be_hidden()
    expect(page.locator(".drawn")).to_have_count(3)
    board.get_by_label("Measure").select_option("BLEU")
    board.locator(".mark-symbol path").first.hover()
    expect(page.locator("#vg-tooltip-element")).to_contain_text("95 % from")
    watched.check("report-plot")
    board.locator("summary").click()
    with page.expect_download() as waited:
        board.get_by_text("Save as SVG").click()
    waited.value.save_as(tmp_path / "board.svg")
    assert "千问" in (tmp_path / "board.svg").read_text()
    page.emulate_media(media="print")
    expect(board.locator(".still svg")).to_be_visible()
    expect(board.locator(".live")).to_be_hidden()


def test_report_sorts(report: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    page = watched.page
    page.goto(report)
    board = page.locator("table").first
    page.get_by_role("button", name="chrF").first.click()
    means = sorted(f"{score.mean:.1f}" for row in result().rows for score in row.scores if score.measure == "chrf")
    expect(board.locator("tbody tr").first).to_contain_text(means[-1])
    page.get_by_role("button", name="chrF").first.click()
    expect(board.locator("tbody tr").first).to_contain_text(means[0])
    watched.check("report-sorted")


def test_report_fits_its_width(report: str, light: BrowserContext, watch: Watch) -> None:
    watched = watch(light)
    watched.page.goto(report)
    assert watched.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    clipped = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert watched.page.evaluate(clipped) == 0
