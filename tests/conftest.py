"""How tests are spread over processes: one by one, but for those that share what their module makes; and a model."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Spread(config, log)


class Spread(LoadScopeScheduling):
    """Largest groups first, so that single tests fill the end."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", maxsplit=1)[0]
        return path if _shares(path) else nodeid


@cache
def _shares(path: str) -> bool:
    return 'scope="module"' in (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first layers of SmolLM2 as a GGUF file, written once for all processes."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shallow.gguf"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            from tests.shallow_gguf import write_shallow

            write_shallow(path)
    return path
