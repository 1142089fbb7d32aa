"""OpenAI's Batch API, through the official client: files go up and down, a batch bears its object's name as metadata.

After the API's reference: a file of JSON lines (`custom_id`, `method`, `url`, `body`) goes to /v1/files, /v1/batches
takes it; a batch ends as completed, expired, cancelled or failed (not taken at all), with a file of what was answered
and a file of what was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.credentials import redact
from harness.errors import JudgeError
from judges.base import Request, RequestFailed
from judges.batches import BatchResult, State
from judges.completion import answer_of
from judges.service import HALF_REPLIES, Refused, names_parameter

if TYPE_CHECKING:
    from judges.openai_judge import OpenAIJudge

PATH = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""Of one file."""

NAME = "sft_harness_object"
"""The key of a batch's metadata under which it bears its object's name."""

LEFT_OUT = "sft_harness_left_out"
"""The key under which it says which parameters its requests were sent without, if any."""

AGAIN = ("batch_expired", "batch_cancelled", "request_timeout")
"""Codes of requests that another batch may answer."""

MOST_LINES_SHOWN = 3


class OpenAIBatches:
    """The batches of one judge (see judges.batches.Batches)."""

    def __init__(self, judge: OpenAIJudge, poll_seconds: float) -> None:
        self.poll_seconds = poll_seconds
        self._judge = judge

    def known(self, name: str) -> Sequence[str]:
        """Ids of the batches that were handed in under a name and taken, oldest first."""
        listed = self._call(lambda client: list(client.batches.list(limit=100)))
        mine = [each for each in listed if (each.metadata or {}).get(NAME) == name and each.status != "failed"]
        return [each.id for each in sorted(mine, key=lambda each: each.created_at)]

    def submit(self, name: str, requests: Mapping[str, Request]) -> Sequence[str]:
        """Hand in the requests, in as many files as it takes."""
        left_out = self._judge.refusals.left_out
        return [self._hand_in(name, file, left_out) for file in self._files(requests, left_out)]

    def state(self, batch: str) -> State:
        """How far a batch is. Raises JudgeError for one that the service did not take."""
        found = self._call(lambda client: client.batches.retrieve(batch))
        if found.status == "failed":
            errors = [f"line {each.line}: {each.message}" for each in (found.errors and found.errors.data) or ()]
            raise JudgeError(
                redact(f"batch {batch} was not taken: {'; '.join(errors[:MOST_LINES_SHOWN]) or 'no reason given'}"),
                hint="what was answered is kept; mend the cause, or ask without `batch: true`",
            )
        if found.status in ("completed", "expired"):
            return "ended"
        return "cancelled" if found.status == "cancelled" else "running"

    def results(self, batch: str) -> Iterator[BatchResult]:
        """What both files of an ended batch hold, if they are still there. Lines that cannot be read are left out."""
        found = self._call(lambda client: client.batches.retrieve(batch))
        left_out = frozenset((found.metadata or {}).get(LEFT_OUT, "").split())
        for file in (found.output_file_id, found.error_file_id):  # what was taken, then what was refused
            if file:
                text = self._call(partial(_content, file))
                yield from filter(None, (self._result(line, left_out) for line in text.split("\n")))

    def _files(self, requests: Mapping[str, Request], left_out: Set[str]) -> Iterator[bytes]:
        lines: list[bytes] = []
        size = 0
        for key, request in requests.items():
            body = self._judge.body(request, left_out)
            line = json.dumps({"custom_id": key, "method": "POST", "url": PATH, "body": body}).encode() + b"\n"
            if lines and (len(lines) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
                yield b"".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        yield b"".join(lines)

    def _hand_in(self, name: str, content: bytes, left_out: Set[str]) -> str:
        metadata = {NAME: name} | ({LEFT_OUT: " ".join(sorted(left_out))} if left_out else {})

        def create(client: Any) -> str:
            file = client.files.create(file=(f"{name[:12]}.jsonl", content), purpose="batch")
            batch = client.batches.create(
                input_file_id=file.id, endpoint=PATH, completion_window="24h", metadata=metadata
            )
            return str(batch.id)

        return str(self._call(create))

    def _call(self, what: Any) -> Any:
        try:
            return self._judge.call(what)
        except (Refused, RequestFailed) as e:
            raise JudgeError(f"the batch is refused: {e}", hint="does this server know the Batch API?") from None

    def _result(self, line: str, left_out: frozenset[str]) -> BatchResult | None:
        """A line of a result file; None for one that cannot be read. `left_out`: what the batch was sent without."""
        try:
            found = json.loads(line)
            key, response, error = found["custom_id"], found.get("response") or {}, found.get("error") or {}
            status = response.get("status_code")
        except HALF_REPLIES:
            return None
        refusals = self._judge.refusals
        if status == 200:
            try:
                answer = answer_of(self._completion(response["body"]))
                refusals.took(refusals.names - left_out, left_out)
                return BatchResult(key, answer)
            except HALF_REPLIES as e:
                return BatchResult(key, None, f"not a chat completion: {type(e).__name__}", again=True)
        inner = (response.get("body") or {}).get("error") or {}
        said = error.get("message") or str(inner.get("message", ""))
        code = error.get("code") or f"HTTP {status}"
        about = names_parameter(status or 0, said, inner.get("code"))
        learned = about and refusals.refused(said, left_out)
        again = code in AGAIN or status in (408, 409, 429) or (status or 0) >= 500
        return BatchResult(key, None, f"{code}: {said}", again=again, learned=learned)

    def _completion(self, body: Any) -> Any:
        from openai.types.chat import ChatCompletion

        return ChatCompletion.construct(**body)  # as the client does: servers take liberties


def _content(file: str, client: Any) -> str:
    """A file's text; none of one that was removed."""
    from openai import NotFoundError

    try:
        return str(client.files.content(file).text)
    except NotFoundError:
        return ""
