"""Fixtures of the unit tests: tiny models, made once."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models lose more in waiting threads than they gain

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from tests.tiny import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in Hugging Face layout."""
    from tests.tiny import save_tiny_folder

    return save_tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def open_judge() -> Iterator[Callable[..., Any]]:
    """Takes what `load_judge` takes; the judge is closed when the test ends."""
    from judges.base import load_judge

    with ExitStack() as opened:

        def open_one(backend: str, model: str, options: dict[str, Any]) -> Any:
            judge = load_judge(backend, model, options)
            opened.callback(judge.close)
            return judge

        yield open_one


@pytest.fixture(scope="session")
def engine(shallow: Path) -> Iterator[str]:
    """Address of a llama.cpp server."""
    from tests.servers.engine import start_engine

    server = start_engine(shallow)
    yield server.listening_address
