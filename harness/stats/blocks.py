"""Blocks of a big array, worked on by as many threads as there are processors; numpy lets them run side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_block(work: Callable[[int, slice], None], length: int, size: int) -> None:
    """Call `work(number, block)` for every block of `size` places; blocks must not depend on each other."""
    blocks = [(number, slice(start, start + size)) for number, start in enumerate(range(0, length, size))]
    if len(blocks) < 2 or processors() < 2:
        for number, block in blocks:
            work(number, block)
        return
    with ThreadPoolExecutor(processors()) as pool:
        for done in [pool.submit(work, number, block) for number, block in blocks]:
            done.result()
