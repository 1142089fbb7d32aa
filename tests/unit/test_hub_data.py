"""A Hub data set, read through the Hub's own client from a server on loopback that speaks the little API it takes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "train.jsonl": b'{"prompt": "q0", "completion": "a0"}\n{"prompt": "q1", "completion": "a1"}\n',
    "test.jsonl": '{"prompt": "问", "completion": "答"}\n'.encode(),
}
READ = """
import json, sys
from pathlib import Path
from harness.data.dataset import dataset
from harness.records.settings import SplitSettings
from harness.spec.data import DataSpec
from harness.errors import DataError
try:
    found = dataset(DataSpec.model_validate(json.loads(sys.argv[1])), SplitSettings(), Path())
    rows = [(row.split, row.index, row.example.instruction, row.example.output) for row in found]
    print(json.dumps([rows, [source.input.identity for source in found.sources]]))
except DataError as e:
    print(json.dumps(str(e)))
"""


class Hub(BaseHTTPRequestHandler):
    """The data set org/name at COMMIT, and nothing else."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        file = path.rsplit("/", 1)[-1]
        if path == f"/api/datasets/org/name/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in FILES.items()]
            content = json.dumps(tree).encode()
        elif path == f"/api/datasets/org/name/revision/{COMMIT}":
            siblings = [{"rfilename": name} for name in FILES]
            content = json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode()
        elif path == f"/datasets/org/name/resolve/{COMMIT}/{file}" and file in FILES:
            content = FILES[file]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def read(spec: dict[str, object], endpoint: str, home: Path) -> object:
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", READ, json.dumps(spec)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_parts_of_a_pinned_hub_data_set(endpoint: str, tmp_path: Path) -> None:
    spec = {"path": "org/name", "revision": COMMIT, "parts": {"train": "train", "test": "test"}}
    found = read(spec, endpoint, tmp_path)
    assert isinstance(found, list), found
    rows, identities = found
    assert rows == [["train", 0, "q0", "a0"], ["train", 1, "q1", "a1"], ["test", 0, "问", "答"]]
    assert identities == [f"org/name@{COMMIT}//train", f"org/name@{COMMIT}//test"]


def test_a_commit_that_is_not_there(endpoint: str, tmp_path: Path) -> None:
    said = read({"path": "org/name", "revision": "f" * 40}, endpoint, tmp_path)
    assert "Hub data set 'org/name' at ffffffffffff cannot be downloaded" in str(said)
