"""How tests are spread over processes: one by one, but for those that share what their module makes once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
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
