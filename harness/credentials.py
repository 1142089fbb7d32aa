"""Keys and passwords: where they may come from (environment, keyring), and how they are kept out of everything else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|apikey|key|secret|password|passwd|credentials?|authorization|bearer"
    r"|(?:access|auth|hf|api)[_-]?token|token)$",
    re.IGNORECASE,
)
"""Names of keys, options and environment variables whose value is a secret; `api_key_env` and `max_tokens` are none."""

SECRET_VALUE = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|\b(?:gsk|xai|hf|ghp|gho|glpat|r8|nvapi|pplx)[_-][A-Za-z0-9_-]{16,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}|\bAKIA[A-Z0-9]{16}\b|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\."
    r"|\bBearer\s+[A-Za-z0-9._~+/-]{12,}|://[^/\s:@]*:[^/\s:@]+@|[?&](?:api[_-]?key|key|token)=[^&\s]{8,}"
)
"""What the well-known services' keys look like, and addresses that carry a password or a key."""

SHORTEST = 8
"""A shorter value of an environment variable is not replaced in texts: it may be a word."""

REMOVED = "[key removed]"
SERVICE = "sft-harness"
"""The keyring's name for us: `keyring set sft-harness OPENAI_API_KEY` keeps a key there."""

_from_keyring: set[str] = set()
"""Secrets read from the keyring: they stand in no environment variable by which they could be found in a text."""

_NOTHING = ("", "null", "~")


def found_in(node: Any, place: str = "") -> Iterator[tuple[int, str]]:
    """(line, place) of everything in composed YAML that is, or looks like, a key or a password; never its value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            inside = f"{place}.{name}" if place else name
            named = isinstance(value, yaml.ScalarNode) and SECRET_NAME.search(name) and value.value not in _NOTHING
            if named or SECRET_VALUE.search(name):
                yield key.start_mark.line + 1, _shown(inside)
            else:
                yield from found_in(value, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from found_in(value, f"{place}[{index}]")
    elif isinstance(node, yaml.ScalarNode) and SECRET_VALUE.search(str(node.value)):
        yield node.start_mark.line + 1, _shown(place)


def _shown(place: str) -> str:
    return SECRET_VALUE.sub(REMOVED, place)


def secret(name: str) -> str | None:
    """A key by the name of its environment variable: from there, else from the system's keyring; None where in neither.

    The keyring needs the package `keyring`; one that is locked, broken or not there holds nothing.
    """
    if os.environ.get(name):
        return os.environ[name]
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        found = keyring.get_password(SERVICE, name)
    except KeyringError:
        return None
    if found:
        _from_keyring.add(found)
    return found or None


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without any secret of the environment or the keyring, and without what looks like a key."""
    for name, value in environment.items():
        if len(value) >= SHORTEST and SECRET_NAME.search(name):
            text = text.replace(value, REMOVED)
    for value in _from_keyring:
        text = text.replace(value, REMOVED)
    return SECRET_VALUE.sub(REMOVED, text)
