"""Start the leaderboard: Streamlit in its own process, bound to this machine only."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError

ADDRESS = "127.0.0.1"
APP = Path(__file__).parent / "pages" / "entry.py"
RATING = Path(__file__).parent / "pages" / "rate.py"
"""The page at which people rate: an app of its own, so that nothing beside it gives the variants away."""
SETTINGS = {
    "server.address": ADDRESS,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.light.primaryColor": "#0068a8",
    "theme.dark.primaryColor": "#2478b5",
}


def command(
    store: Path, port: int, *, open_browser: bool = False, app: Path = APP, more: Sequence[str] = ()
) -> list[str]:
    """The command line that serves an app on `store` on http://127.0.0.1:`port`. `more`: arguments of the app's own."""
    settings = SETTINGS | {"server.port": str(port), "server.headless": "false" if open_browser else "true"}
    flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(app), *flags, "--", "--store", str(store), *more]


def launch(store: Path, port: int, *, open_browser: bool = False, app: Path = APP, more: Sequence[str] = ()) -> int:
    """Serve until interrupted; gives the server's exit status (0 after Ctrl-C).

    Raises HarnessError where the port is taken.
    """
    require_free(port)
    try:
        line = command(store, port, open_browser=open_browser, app=app, more=more)
        return subprocess.run(line, check=False).returncode  # noqa: S603
    except KeyboardInterrupt:
        return 0


def require_free(port: int) -> None:
    """Raises HarnessError where something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as e:
            raise HarnessError(
                f"port {port} is taken", where="harness leaderboard", hint=f"give another, e.g. --port {port + 1}"
            ) from e
