"""OpenAI's documented Batch API: /v1/files, /v1/batches, output and error files, batches that expire.

After the API's reference: files are uploaded as multipart with the purpose `batch`; a batch goes from validating over
in_progress and finalizing to completed (expired where its day is over, cancelled, or failed where its file is bad);
each line of the files says `custom_id`, `response` and `error`.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
from collections.abc import Callable
from typing import Any

from tests.servers.loopback import Asked, Said

ROAD = ("validating", "in_progress", "finalizing")


class BatchServer:
    """Answers requests by `respond(body, nth)`: (status, body), or None for one that the day was too short for.

    `nth`: how often the same question has come. `looks`: how many times a batch is looked at before it has ended.
    """

    def __init__(self, respond: Callable[[dict[str, Any], int], tuple[int, Any] | None], looks: int = 3) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.ends: dict[str, str] = {}
        self.looks = looks
        self._respond = respond
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Said:
        path = asked.path.partition("?")[0].removeprefix("/v1")
        with self._lock:
            match path.strip("/").split("/"):
                case ["files"]:
                    return Said.of(self._upload(asked))
                case ["files", name, "content"]:
                    return Said(200, self.files[name], {"Content-Type": "application/octet-stream"})
                case ["batches"] if asked.body:
                    return Said.of(self._create(asked.body))
                case ["batches"]:
                    newest = list(reversed(self.batches.values()))
                    return Said.of({"object": "list", "data": newest, "has_more": False})
                case ["batches", name]:
                    return Said.of(self._look(name))
                case _:
                    return Said.of({"error": {"message": f"no such path {path}"}}, 404)

    def cancel(self, name: str) -> None:
        """As a user would in the dashboard."""
        self.ends[name] = "cancelled"

    def _upload(self, asked: Asked) -> dict[str, Any]:
        head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + asked.body["raw"])
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        assert parts["purpose"].get_content().strip() == "batch"
        return self._store(parts["file"].get_payload(decode=True))

    def _store(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return {
            "id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "b.jsonl",
            "purpose": "batch", "status": "processed",
        }  # fmt: skip

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"],
            "completion_window": "24h", "status": "validating", "created_at": len(self.batches),
            "metadata": body.get("metadata"), "looks": 0,
        }  # fmt: skip
        return self.batches[name]

    def _look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["looks"] += 1
        if batch["status"] in ROAD:
            batch["status"] = ROAD[min(len(ROAD) - 1, batch["looks"])]
            if batch["looks"] > self.looks or name in self.ends:
                self._end(name, batch)
        return batch

    def _end(self, name: str, batch: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        twice = len({line["custom_id"] for line in lines}) < len(lines)
        if twice or self.ends.get(name) == "failed" or any(line["method"] != "POST" for line in lines):
            batch |= {"status": "failed", "errors": {"object": "list", "data": [{"line": 1, "message": "bad line"}]}}
            return
        good, bad, late = [], [], False
        for line in lines:
            question = line["body"]["messages"][-1]["content"]
            cancelled = self.ends.get(name) == "cancelled"
            said = None if cancelled else self._respond(line["body"], 1 + self.asked.count(question))
            if not cancelled:
                self.asked.append(question)
            late |= said is None
            row: dict[str, Any] = {"id": "batch_req", "custom_id": line["custom_id"], "response": None, "error": None}
            if said is None:
                code = "batch_cancelled" if cancelled else "batch_expired"
                row["error"] = {"code": code, "message": "This request could not be executed in time."}
            else:
                row["response"] = {"status_code": said[0], "request_id": "r", "body": said[1]}
            (good if said is not None and said[0] == 200 else bad).append(row)
        batch["status"] = self.ends.get(name, "expired" if late else "completed")
        for key, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[key] = self._store("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())[
                    "id"
                ]
