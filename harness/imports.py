"""Importing large libraries."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_modules() -> Iterator[None]:
    """Within the context no garbage is collected.

    What an import makes stays, and torch and transformers make so much of it that looking through it again and again
    takes a seventh of their time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
