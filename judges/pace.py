"""A limit per minute (requests, tokens) as even spacing, so that no minute ever holds more than the limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MINUTE = 60.0


class Pace:
    """Generic cell rate algorithm without a burst (ITU-T I.371): each cost books its share of the minute."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, monotonic."""
        self._seconds_each = MINUTE / per_minute
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def book(self, cost: float) -> float:
        """Seconds to wait before something of this cost may start."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + cost * self._seconds_each
            return start - now

    def correct(self, difference: float) -> None:
        """Something cost this much more (less, where negative) than was booked."""
        with self._lock:
            self._free_at += difference * self._seconds_each
