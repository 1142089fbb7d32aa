"""Renew the pictures of docs/leaderboard.md from a store that holds one matrix: `python docs/screenshot.py runs`."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from leaderboard.launch import ADDRESS, command

PORT = 8599
DOCS = Path(__file__).parent
PAGES = {
    "leaderboard": "",
    "images/answer": "answer",
    "images/compare": "compare",
    "images/items": "items",
    "images/judges": "judges",
    "images/training": "training",
    "images/masks": "masks",
    "images/data": "data",
    "images/runs": "runs",
}
PHONE = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Mobile Safari/537.36"
TALL = 1320
"""Pixels of the leaderboard's picture: down to its table."""
COLOURS = 256
"""Of a picture: plots and text need few, and the files stay small."""


def shoot(store: Path) -> None:
    """Serve the store, open every page in Chromium at 1280 × 800 and two on a phone, and keep the pictures."""
    server = subprocess.Popen(command(store, PORT), stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
            for name, path in PAGES.items():
                picture(browser, path, DOCS / f"{name}.png", server, scheme="light")
            for name, path in (("images/phone-leaderboard", ""), ("images/phone-answer", "answer")):
                picture(browser, path, DOCS / f"{name}.png", server, scheme="dark", phone=True)
            browser.close()
    finally:
        server.terminate()


def picture(
    browser: Browser, path: str, where: Path, server: subprocess.Popen[bytes], *, scheme: str, phone: bool = False
) -> None:
    """One page as a reader first sees it."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800 if path else TALL}
    page = browser.new_page(viewport=size, color_scheme=scheme, user_agent=PHONE if phone else None)
    for _ in range(60):
        if server.poll() is not None:
            sys.exit(f"the leaderboard did not start; is port {PORT} taken?")
        try:
            page.goto(f"http://{ADDRESS}:{PORT}/{path}")
            break
        except Exception:  # noqa: BLE001 - the server is not up yet
            page.wait_for_timeout(500)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0", timeout=60_000)
    page.wait_for_timeout(3_000)
    where.parent.mkdir(exist_ok=True)
    shot = Image.open(BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(where, optimize=True)
    page.close()


if __name__ == "__main__":
    shoot(Path(sys.argv[1]))
