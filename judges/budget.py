"""What asking may cost, in calls and in money, and what it did cost."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import yaml

from harness.errors import BudgetSpent
from harness.records.settings import Price
from judges.base import Options

MILLION = 1e6
OF_A_BATCH = 0.5
"""Of OpenAI's price, what the Batch API takes."""

LITELLMS_LIST = "model_prices_and_context_window_backup.json"


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


FREE = ("human", "llamacpp", "ollama", "scripted", "transformers")
"""Backends that send no bill."""


def listed_price(backend: str, model: str, options: Options) -> Price | None:
    """The price of the shipped table, or of litellm's own; backends of one's own cost nothing; None: not known.

    `options`: the backend's; asking by batch has its own price.
    """
    if backend in FREE:
        return Price(input=0, output=0)
    if backend == "litellm":
        return _litellms().get(model) or _litellms().get(model.partition("/")[2])
    pair = _table().get(backend, {}).get(model)
    share = OF_A_BATCH if backend == "openai" and options.get("batch") else 1
    return None if pair is None else Price(input=pair[0] * share, output=pair[1] * share)


@cache
def _table() -> dict[str, dict[str, list[float]]]:
    raw: dict[str, dict[str, list[float]]] = yaml.safe_load(
        files("judges").joinpath("prices.yaml").read_text(encoding="utf-8")
    )
    return raw


@cache
def _litellms() -> dict[str, Price]:
    """The list that litellm's package carries, read without importing it; nothing where it is not installed."""
    spec = find_spec("litellm")
    path = Path(spec.origin).parent / LITELLMS_LIST if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        return {}
    found: dict[str, Price] = {}
    for model, entry in json.loads(path.read_text(encoding="utf-8")).items():
        pair = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
        if all(isinstance(each, int | float) for each in pair):
            found[model] = Price(input=pair[0] * MILLION, output=pair[1] * MILLION)
    return found


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

    def open_call(self, worst: float, *, wait: bool = True) -> None:
        """Set aside the most that a call may cost, once those under way leave room for it (at once, without `wait`).

        Raises BudgetSpent where it would pass a limit and nothing is waited for.
        """
        with self._lock:
            while wait and self._under_way and self._too_dear(worst):
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
