"""What services behind HTTP have in common: their keys, and what a status means for asking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Set
from itertools import chain
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator

from harness.credentials import SERVICE, redact, secret
from harness.errors import JudgeError
from judges.base import Answer, Busy, Forbidden, RequestFailed
from judges.retry_after import retry_after

NO_KEY = "no-key"
"""Sent where a server of one's own asks for none: clients insist on something."""

REFUSED = (400, 415, 422, 501)
"""Statuses by which servers say that they do not know a parameter."""

GENERATING = ("json_validate_failed",)
"""Codes of Groq's by which one reply, not a parameter, is refused by 400."""

BROKE = "credit balance is too low"
"""What Anthropic says, by 400, to an account without money."""

NOT_FOUND = (
    "is the model's name right? base_url: servers of OpenAI's protocol mostly end in /v1, Anthropic's do not; "
    "with `batch: true`: does it know batches?"
)

OVERLOADED = (408, 429, 503, 504, 529)
"""Statuses that fewer requests at once would mend."""

HALF_REPLIES = (ValueError, TypeError, AttributeError, KeyError, IndexError)
"""What reading a broken reply raises: not JSON, or JSON of another shape."""

MOST_MESSAGE = 500
"""Characters of a server's message that are kept."""


def _address(url: str) -> str:
    """Raises ValueError for what no client can call."""
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or split.port == 0:
        raise ValueError("no address such as http://127.0.0.1:8000/v1")
    return url


BaseUrl = Annotated[str, AfterValidator(_address)]
"""A server's address, with its scheme."""


class Refused(Exception):
    """A refusal that may name a parameter; `meaning`: what it is where it names none that can be left out."""

    def __init__(self, message: str, meaning: Exception) -> None:
        super().__init__(message)
        self.meaning = meaning


class Refusals:
    """Which parameters a server has refused, and which it has taken. Shared by all threads.

    One question may be refused in words that name a parameter. So a parameter is left out for all only where a question
    was answered without it, and none that any was answered with.
    """

    def __init__(self, unwanted: Iterable[str], words: Mapping[str, tuple[str, ...]]) -> None:
        """`unwanted`: parameters left out from the start; `words`: of a message about a parameter, by its name."""
        self.left_out = self._unwanted = frozenset(unwanted)
        self.names = words.keys()
        self._words = words
        self._taken: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def answer(self, body: Callable[[Set[str]], dict[str, Any]], call: Callable[[dict[str, Any]], Answer]) -> Answer:
        """What `call` gives for the `body` without what is left out. Raises as `call`, a Refused as what it means."""
        known = left_out = self.left_out
        otherwise: Exception | None = None
        while True:
            sent = body(left_out)
            try:
                answer = call(sent)
            except Refused as e:
                otherwise = e.meaning
                if known != self.left_out:
                    known = left_out = self.left_out
                    continue
                name = self._named(str(e), left_out)
                if name is None:
                    raise otherwise from None
                left_out |= {name}
                continue
            inner = (value for value in sent.values() if isinstance(value, dict))
            if self.took({*sent, *chain.from_iterable(inner)}, left_out) or otherwise is None:
                return answer
            raise otherwise

    def took(self, names: Set[str], left_out: Set[str]) -> bool:
        """A question with these parameters was answered; False where others are answered with what it left out."""
        with self._lock:
            self._taken |= names - self._unwanted
            alike = self._taken.isdisjoint(left_out - self.left_out)
            self.left_out = (self.left_out | left_out) - self._taken
            return alike

    def refused(self, message: str, left_out: Set[str]) -> bool:
        """Whether to ask again, without what this refusal names or what was learned since `left_out`."""
        with self._lock:
            if self.left_out == left_out and (name := self._named(message, left_out)) is not None:
                self.left_out |= {name}
            return self.left_out != left_out

    def _named(self, message: str, left_out: Set[str]) -> str | None:
        """The parameter that a refusal is about, if it may be."""
        said = message.lower()
        found = (
            name for name, words in self._words.items() if name not in left_out and any(word in said for word in words)
        )
        name = next(found, None)
        return None if name in self._taken else name


def key_for(backend: str, name: str, base_url: str, official: str) -> str:
    """The key of this name. A server that is not the `official` one may need none.

    Raises JudgeError where the official server is asked and there is no key.
    """
    found = secret(name)
    if found:
        return found
    if urlsplit(base_url).hostname == urlsplit(official).hostname:
        raise JudgeError(
            f"judge backend {backend!r}: the environment variable {name} holds no key",
            hint=f"export {name}=… or `keyring set {SERVICE} {name}` (never in the matrix file), or give a base_url of "
            "your own server",
        )
    return NO_KEY


def names_parameter(status: int, message: str, code: object = None) -> bool:
    """Whether a failed call may be about one parameter. OpenAI forbids a reasoning model's log-probabilities by 403."""
    return (status in REFUSED and code not in GENERATING) or (status == 403 and "logprob" in message.lower())


def meaning(status: int, message: str, headers: Mapping[str, str], *, server: str, model: str, key: str) -> Exception:
    """What a failed call means for its request, or for the whole judge. Never carries the request: it has the key.

    `key`: the environment variable of the key, for the hint.
    """
    told = redact(f"HTTP {status}: {message}")[:MOST_MESSAGE]
    refused = JudgeError(f"{server} refuses the key: {told}", hint=f"set {key}")
    if status == 401:
        return refused
    if status == 402 or BROKE in message.lower():
        return JudgeError(f"{server}: {told}", hint="what was answered is kept; run again later")
    if status == 403:
        return Forbidden(told, refused)
    if status == 404:
        return JudgeError(f"{server} has no model {model!r}, or no such path: {told}", hint=NOT_FOUND)
    if status in (408, 409, 429) or status >= 500:
        return Busy(told, retry_after(headers), overloaded=status in OVERLOADED)
    return RequestFailed(told)
