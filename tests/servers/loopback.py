"""An HTTP server on loopback whose answers a function gives; it keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `nth`: how often this very body has come, from 1. An upload's body is `{"raw": bytes}`."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    nth: int
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Said:
    """One response. `promised`: Content-Length where it lies; `cut`: close the connection without any response."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    cut: bool = False

    @classmethod
    def of(cls, body: Any, status: int = 200, **headers: str) -> Said:
        """A JSON response."""
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


@dataclass(slots=True)
class Loopback:
    """A running server."""

    address: str
    asked: list[Asked]


@contextmanager
def serve(answer: Callable[[Asked], Said]) -> Iterator[Loopback]:
    """Serve on a free port until the block ends."""
    asked: list[Asked] = []
    counts: dict[bytes, int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: else each answer waits 40 ms for an ACK

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            if len(raw) < length:  # the client was killed while it asked
                self.close_connection = True
                return
            is_json = "multipart" not in self.headers.get("Content-Type", "")
            with lock:
                counts[raw] = counts.get(raw, 0) + 1
                one = Asked(
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(raw or b"{}") if is_json else {"raw": raw},
                    counts[raw],
                    self.command,
                )
                asked.append(one)
            said = answer(one)
            if said.cut:
                self.close_connection = True
                self.connection.close()
                return
            try:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(said.promised or len(said.content)))
                self.end_headers()
                self.wfile.write(said.content)
            except OSError:
                pass  # the client has gone, as clients that time out do
            if said.promised:
                self.close_connection = True

        do_GET = do_PUT = do_PATCH = do_POST

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None: ...  # clients are killed here

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Loopback(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
