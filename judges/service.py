"""What services behind HTTP have in common: their keys, and what a status means for asking."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from harness.credentials import SERVICE, redact, secret
from harness.errors import JudgeError
from judges.base import Busy, Forbidden, RequestFailed
from judges.retry_after import retry_after

NO_KEY = "no-key"
"""Sent where a server of one's own asks for none: clients insist on something."""

REFUSED = (400, 415, 422, 501)
"""Statuses by which servers say that they do not know a parameter."""

BROKE = "credit balance is too low"
"""What Anthropic says, by 400, to an account without money."""

OVERLOADED = (408, 429, 503, 504, 529)
"""Statuses that fewer requests at once would mend."""

HALF_REPLIES = (ValueError, TypeError, AttributeError, KeyError, IndexError)
"""What reading a broken reply raises: not JSON, or JSON of another shape."""

MOST_MESSAGE = 500
"""Characters of a server's message that are kept."""


class Refused(Exception):
    """A refusal that may name a parameter; `meaning`: what it is where it names none that can be left out."""

    def __init__(self, message: str, meaning: Exception) -> None:
        super().__init__(message)
        self.meaning = meaning


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


def names_parameter(status: int, message: str) -> bool:
    """Whether a failed call may be about one parameter. OpenAI forbids a reasoning model's log-probabilities by 403."""
    return status in REFUSED or (status == 403 and "logprob" in message.lower())


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
        return JudgeError(f"{server} has no model {model!r}: {told}")
    if status in (408, 409, 429) or status >= 500:
        return Busy(told, retry_after(headers), overloaded=status in OVERLOADED)
    return RequestFailed(told)
