"""What asking may cost, in calls and in money, and what it did cost."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from harness.errors import JudgeError
from harness.records.settings import Price

MILLION = 1e6


class BudgetSpent(JudgeError):
    """A limit that the user set is reached; what was answered is kept."""


@dataclass(frozen=True, slots=True)
class Spent:
    """`cost`: US dollars, by the prices known; calls without a known price count as nothing."""

    calls: int
    cost: float


def cost_of(price: Price | None, prompt_tokens: int, completion_tokens: int) -> float:
    """US dollars; 0 where no price is known."""
    if price is None:
        return 0.0
    return (price.input * prompt_tokens + price.output * completion_tokens) / MILLION


def listed_price(backend: str, model: str) -> Price | None:
    """The price of the shipped table; local backends cost nothing; None where it is not known."""
    if backend in ("llamacpp", "ollama", "scripted"):
        return Price(input=0, output=0)
    return _table().get(model) if backend == "openai" else None


@cache
def _table() -> dict[str, Price]:
    raw = yaml.safe_load(files("judges").joinpath("prices.yaml").read_text(encoding="utf-8"))
    return {model: Price(input=pair[0], output=pair[1]) for model, pair in raw["openai"].items()}


class Budget:
    """Shared by everything that one run asks. Before a call its worst cost is set aside; then the true one counts.

    So the limits hold even with many calls under way. A call that failed is charged nothing but its call: services bill
    no tokens for refusals and time-outs that they did not answer.
    """

    def __init__(self, max_calls: int | None = None, max_cost: float | None = None) -> None:
        """`max_cost`: US dollars."""
        self._max_calls = max_calls
        self._max_cost = max_cost
        self._calls = 0
        self._cost = 0.0
        self._set_aside = 0.0
        self._under_way = 0
        self._lock = threading.Condition()

    @property
    def spent(self) -> Spent:
        """So far."""
        with self._lock:
            return Spent(self._calls, self._cost)

    def open_call(self, worst: float) -> None:
        """Set aside the most that a call may cost, once those under way leave room for it.

        Raises BudgetSpent where it would pass a limit although nothing is under way.
        """
        with self._lock:
            while self._under_way and self._too_dear(worst):
                self._lock.wait()
            if self._max_calls is not None and self._calls >= self._max_calls:
                raise BudgetSpent(
                    f"the limit of {self._max_calls} calls to judges is reached",
                    hint="every reply is kept; run again with a higher --max-calls to go on",
                )
            if self._too_dear(worst):
                raise BudgetSpent(
                    f"the limit of ${self._max_cost:g} for judges is reached: ${self._cost:.4f} spent, and the next "
                    f"call may cost ${worst:.4f}",
                    hint="every reply is kept; run again with a higher --max-cost to go on",
                )
            self._calls += 1
            self._under_way += 1
            self._set_aside += worst

    def _too_dear(self, worst: float) -> bool:
        return self._max_cost is not None and self._cost + self._set_aside + worst > self._max_cost

    def cancel_call(self, worst: float) -> None:
        """The call was not made after all."""
        with self._lock:
            self._calls -= 1
            self._settle(worst)

    def close_call(self, worst: float, cost: float) -> None:
        """The call has ended and cost this much."""
        with self._lock:
            self._cost += cost
            self._settle(worst)

    def _settle(self, worst: float) -> None:
        self._under_way -= 1
        self._set_aside = self._set_aside - worst if self._under_way else 0.0  # sums of fractions leave a rest
        self._lock.notify_all()
