"""How many requests may be under way at one endpoint: as many as it bears, found out while asking."""

from __future__ import annotations

import math
import threading
import time

START = 8
"""Requests at once at first."""


class Window:
    """Additive increase, multiplicative decrease, with slow start (Jacobson 1988, "Congestion avoidance and control").

    Until the first trouble every answer opens the window by one, so that it doubles each round; afterwards a whole
    round of answers opens it by one. Trouble halves it, once for all requests that were under way together.
    """

    def __init__(self, most: int) -> None:
        """`most`: never more than this at once."""
        self.limit = float(min(START, most))
        self._most = most
        self._threshold = math.inf
        self._under_way = 0
        self._sent = 0
        self._cut_at = 0
        self._hold_until = 0.0
        self._closed = False
        self._change = threading.Condition()

    def enter(self) -> int | None:
        """Wait for a place; gives the request's number, to be handed to `leave`. None once the window is closed."""
        with self._change:
            while not self._closed:
                wait = self._hold_until - time.monotonic()
                if wait <= 0 and self._under_way < int(self.limit):
                    self._under_way += 1
                    self._sent += 1
                    return self._sent
                self._change.wait(wait if wait > 0 else None)
            return None

    def leave(self, number: int, *, trouble: bool, hold: float | None = None) -> None:
        """A request has ended. `trouble`: the endpoint was overloaded; `hold`: seconds in which nothing is sent."""
        with self._change:
            full = self._under_way >= int(self.limit)
            self._under_way -= 1
            if trouble and number > self._cut_at:
                self.limit = self._threshold = max(1.0, self.limit / 2)
                self._cut_at = self._sent
            elif not trouble and full:
                step = 1.0 if self.limit < self._threshold else 1 / self.limit
                self.limit = min(float(self._most), self.limit + step)
            if hold is not None:
                self._hold_until = max(self._hold_until, time.monotonic() + hold)
            self._change.notify_all()

    def close(self) -> None:
        """Nobody enters any more; whoever waits is sent away."""
        with self._change:
            self._closed = True
            self._change.notify_all()
