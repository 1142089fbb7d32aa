"""Units of length, mass, volume, time and temperature."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

from computed.numbers import about, plain_number
from computed.wording import Entry, Fact, Table, Tables, mixed, phrase, shuffled, told


class Unit(NamedTuple):
    """A unit of measurement and its size in the smallest unit of its table."""

    one: str
    many: str
    size: Fraction

    def amount(self, value: Fraction, hedge: str = "", places: int = 3) -> str:
        """Write an amount with the unit in the number it needs."""
        return f"{hedge}{plain_number(value, places)} {self.one if value == 1 else self.many}"


def _units(table: Table) -> dict[str, Unit]:
    return {many: Unit(one, many, Fraction(size)) for one, many, size in table["units"]}


def _working(value: Fraction, source: Unit, target: Unit) -> Fact:
    """Spell out the step where one unit holds a whole number of the other; nothing otherwise."""
    large, small = (source, target) if source.size > target.size else (target, source)
    ratio = large.size / small.size
    if ratio.denominator != 1 or ratio == 1:
        return {}
    sign, result = ("×", value * ratio) if source is large else ("÷", value / ratio)
    step = f"{plain_number(value)} {sign} {plain_number(ratio)} = {plain_number(result)}"
    return {"fact": f"1 {large.one} is {small.amount(ratio)}", "working": step}


def _conversion(value: str, source: Unit, target: Unit, tags: str = "") -> Fact:
    """Everything a conversion wording may ask for."""
    amount = Fraction(value)
    result = amount * source.size / target.size
    figure, hedge = about(result, 2)
    return {
        "given": source.amount(amount),
        "result": f"{hedge}{figure} {target.one if figure == '1' else target.many}",
        "from": source.many,
        "to": target.many,
        "tags": f"{tags} {'rounded' if hedge else 'exact'}",
    } | _working(amount, source, target)


def _conversion_facts(rng: random.Random, table: Table) -> list[Fact]:
    """All conversions of a table, the first value of each before the second of any."""
    units = _units(table)
    rows = shuffled(rng, table["conversions"])
    layers = itertools.zip_longest(*(shuffled(rng, row["values"]) for row in rows))
    return [
        _conversion(value, units[row["from"]], units[row["to"]], row.get("tags", ""))
        for layer in layers
        for row, value in zip(rows, layer, strict=True)
        if value is not None
    ]


def situated(family: str, table: Table, fact: Callable[[Table], Fact]) -> Iterator[Entry]:
    """Situations carry their own figures, since a wording such as a fish on a scale suits only one size."""
    return (phrase(family, row, fact(row)) for row in table["situations"])


def _unit_streams(family: str, rng: random.Random, table: Table) -> list[Iterator[Entry]]:
    units = _units(table)
    facts = _conversion_facts(rng, table)
    return [
        told(family, table["wordings"]["plain"], facts),
        told(family, table["wordings"]["worked"], [fact for fact in reversed(facts) if "working" in fact]),
        situated(family, table, lambda row: _conversion(row["value"], units[row["from"]], units[row["to"]])),
    ]


def length_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and customary lengths."""
    return mixed(*_unit_streams("length-conversion", rng, tables["length-conversion"]))


def mass_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and customary weights."""
    return mixed(*_unit_streams("mass-conversion", rng, tables["mass-conversion"]))


def volume_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and US liquid volumes."""
    return mixed(*_unit_streams("volume-conversion", rng, tables["volume-conversion"]))


def _span_facts(rng: random.Random, table: Table) -> list[Fact]:
    """Whole amounts of a small unit, and the same split over a larger one."""
    units = _units(table)
    facts = []
    for row in table["mixed"]:
        big, small = (units[name] for name in row["split"])
        for value in row["values"]:
            whole, rest = divmod(Fraction(value), big.size / small.size)
            parts = f"{big.amount(Fraction(whole))} and {small.amount(rest)}"
            total = small.amount(Fraction(value))
            facts.append({"total": total, "parts": parts, "big": big.many, "small": small.many, "tags": row["unit"]})
    return shuffled(rng, facts)


def time_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Single units, and spans split into two units or put together again."""
    family = "time-conversion"
    table = tables[family]
    spans = _span_facts(rng, table)
    half = len(spans) // 2
    together = told(family, table["wordings"]["together"], spans[:half])
    return mixed(*_unit_streams(family, rng, table), together, told(family, table["wordings"]["total"], spans[half:]))


TEMPERATURES: dict[tuple[str, str], tuple[Callable[[Fraction], Fraction], str, str]] = {
    ("Celsius", "Fahrenheit"): (lambda t: t * 9 / 5 + 32, "Multiply by 9/5 and add 32.", "{0} × 9/5 + 32"),
    ("Fahrenheit", "Celsius"): (lambda t: (t - 32) * 5 / 9, "Subtract 32 and multiply by 5/9.", "({0} - 32) × 5/9"),
    ("Celsius", "Kelvin"): (lambda t: t + Fraction("273.15"), "Add 273.15.", "{0} + 273.15"),
    ("Kelvin", "Celsius"): (lambda t: t - Fraction("273.15"), "Subtract 273.15.", "{0} - 273.15"),
}


def _temperature(value: str, source: str, target: str, scales: Table) -> Fact:
    change, method, formula = TEMPERATURES[source, target]
    figure, hedge = about(change(Fraction(value)), 1)
    given = plain_number(Fraction(value))
    return {
        "given": f"{given} {scales[source]['long']}",
        "short": f"{given} {scales[source]['short']}",
        "result": f"{hedge}{figure} {scales[target]['long']}",
        "result_short": f"{hedge}{figure} {scales[target]['short']}",
        "to": scales[target]["long"],
        "scale": target,
        "to_short": scales[target]["short"],
        "method": method,
        "working": f"{formula.format(given)} {'≈' if hedge else '='} {figure}",
        "tags": "rounded" if hedge else "exact",
    }


def temperature_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Celsius, Fahrenheit and Kelvin."""
    family = "temperature-conversion"
    table = tables[family]
    pairs = shuffled(rng, ((row, value) for row in table["conversions"] for value in row["values"]))
    facts = [_temperature(value, row["from"], row["to"], table["scales"]) for row, value in pairs]
    return mixed(
        told(family, table["wordings"]["plain"], facts),
        told(family, table["wordings"]["worked"], facts[::-1]),
        situated(family, table, lambda row: _temperature(row["value"], row["from"], row["to"], table["scales"])),
    )
