"""Keys: refused in a matrix without being shown, and taken out of texts."""

from __future__ import annotations

import pytest

from harness.credentials import REMOVED, redact
from harness.errors import SpecError
from harness.spec.reading import parse_spec

MATRIX = """\
name: m
data: starter-en
axes: {model: smollm2-135m}
judges:
  - backend: openai
    model: gpt-4o-mini
    options: {OPTIONS}
"""
PLANTED = "sk-proj-abcdefghijklmnop1234567890"


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (f"{{api_key: {PLANTED}}}", "judges[0].options.api_key"),
        ("{api_key: short1}", "judges[0].options.api_key"),
        ("{Authorization: Bearer abcdefghijklmnop}", "judges[0].options.Authorization"),
        (f"{{seed: {PLANTED}}}", "judges[0].options.seed"),
        (f"{{{PLANTED}: 1}}", ""),
        (f"{{base_url: 'https://me:{PLANTED}@host/v1'}}", "judges[0].options.base_url"),
        (f"{{base_url: 'https://host/v1?api_key={PLANTED}'}}", "judges[0].options.base_url"),
        ("{token: hf_abcdefghijklmnopqrstuv}", "judges[0].options.token"),
        (f"{{base_url: 'http://h', extra: [{PLANTED}]}}", "judges[0].options.extra[0]"),
    ],
)
def test_a_key_in_a_matrix_is_refused_with_the_reason_and_not_shown(options: str, place: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(MATRIX.replace("{OPTIONS}", options), "m.yaml")
    message = str(caught.value)
    for secret in (PLANTED, "short1", "abcdefghijklmnop"):
        assert secret not in message
    if place:
        assert f"m.yaml:7: {place}: a key or password has no place in a matrix" in message
        assert "environment" in message


@pytest.mark.parametrize(
    "options", ["{api_key_env: MY_KEY}", "{base_url: 'http://127.0.0.1:8000/v1'}", "{seed: 3}", "{keep_alive: 10m}"]
)
def test_what_is_no_key_is_let_through(options: str) -> None:
    parse_spec(MATRIX.replace("{OPTIONS}", options), "m.yaml")


def test_texts_lose_keys_of_the_environment_and_what_looks_like_one() -> None:
    environment = {
        "MY_API_KEY": "planted-4711-value",
        "HOME": "/home/planted",
        "SHORT_KEY": "abc",
        "HF_TOKEN": "x" * 20,
    }
    text = f"key planted-4711-value at /home/planted, abc, {'x' * 20}, Bearer {PLANTED}, {PLANTED}"
    assert redact(text, environment) == (f"key {REMOVED} at /home/planted, abc, {REMOVED}, {REMOVED}, {REMOVED}")
    assert redact("nothing here, sk-short", {}) == "nothing here, sk-short"
