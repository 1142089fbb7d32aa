"""Weekdays, months and dates."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator

from computed.wording import Entry, Fact, Table, Tables, assemble, shuffled


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _weekday(days: list[str], index: int, n: int, sign: int) -> Fact:
    weeks, rest = divmod(n, 7)
    return {
        "day": days[index],
        "n": str(n),
        "result": days[(index + sign * n) % 7],
        "rest": _count(rest, "day"),
        "weeks_and_rest": f"{_count(weeks, 'week')} and {_count(rest, 'day')}",
        "tags": "weeks" if weeks else "short",
    }


def _neighbors(days: list[str], index: int) -> Fact:
    offsets = {"previous": -1, "day": 0, "following": 1, "overmorrow": 2}
    return {name: days[(index + offset) % 7] for name, offset in offsets.items()}


def _months(table: Table, index: int, n: int) -> Fact:
    months, lengths = table["months"], [int(length) for length in table["lengths"]]
    following = (index + 1) % 12
    return {
        "month": months[index],
        "n": str(n),
        "after": months[(index + n) % 12],
        "before": months[(index - n) % 12],
        "next_month": months[following],
        "length": "28 days, or 29 in a leap year" if index == 1 else f"{lengths[index]} days",
        "l_one": str(lengths[index]),
        "l_two": str(lengths[following]),
        "both": str(lengths[index] + lengths[following]),
    }


def _span(months: list[str], month: str, start: str, end: str) -> Fact:
    number = months.index(month) + 1
    span = (datetime.date(2023, number, int(end)) - datetime.date(2023, number, int(start))).days
    return {"month": month, "d_one": start, "d_two": end, "span": str(span), "span_both": str(span + 1)}


def day_arithmetic(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Weekdays, months and dates counted forward and back."""
    table = tables["day-arithmetic"]
    days = table["days"]
    later = [_weekday(days, i % 7, int(n), 1) for i, n in enumerate(shuffled(rng, table["steps"]))]
    earlier = [_weekday(days, i % 7, int(n), -1) for i, n in enumerate(shuffled(rng, table["steps"]))]
    months = [_months(table, rng.randrange(12), int(n)) for n in shuffled(rng, table["month_steps"])]
    lengths = [_months(table, index, 1) for index in (1, 8, 6, 10)]
    spans = [_span(table["months"], *row) for row in shuffled(rng, table["spans"])]
    neighbors = [_neighbors(days, index) for index in shuffled(rng, range(7))]
    kinds = {"later": later, "earlier": earlier, "months": months, "span": spans}
    return assemble("day-arithmetic", table, **kinds, neighbors=neighbors, length=lengths)
