"""Renew docs/leaderboard.png from a store that holds one matrix: `python docs/screenshot.py runs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from leaderboard.launch import ADDRESS, command

PORT = 8599
PICTURE = Path(__file__).parent / "leaderboard.png"


def shoot(store: Path) -> None:
    """Serve the store, open the leaderboard in Chromium at 1280 × 800, and keep the picture."""
    server = subprocess.Popen(command(store, PORT), stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            for _ in range(60):
                if server.poll() is not None:
                    sys.exit(f"the leaderboard did not start; is port {PORT} taken?")
                try:
                    page.goto(f"http://{ADDRESS}:{PORT}")
                    break
                except Exception:  # noqa: BLE001 - the server is not up yet
                    page.wait_for_timeout(500)
            page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
            page.wait_for_timeout(1_500)
            page.screenshot(path=PICTURE)
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    shoot(Path(sys.argv[1]))
