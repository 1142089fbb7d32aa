"""Word problems, percentages, rounding and sequences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from computed.conversions import situated
from computed.numbers import dollars, plain_number
from computed.wording import Entry, Fact, Tables, assemble, mixed, phrase, shuffled, told


def _step(values: dict[str, Fraction], step: str) -> None:
    """Work one `x = a * b` line of a story."""
    name, _, left, sign, right = step.split()
    a, b = values[left], values[right]
    values[name] = {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b


def word_problems(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Each hand-written story once, with drawn numbers."""
    for story in shuffled(rng, tables["arithmetic-word-problem"]["stories"]):
        values = {name: Fraction(rng.choice(choices)) for name, choices in story["draw"].items()}
        for step in story["steps"]:
            _step(values, step)
        money = story.get("money", [])
        fact = {name: dollars(value) if name in money else plain_number(value) for name, value in values.items()}
        yield phrase("arithmetic-word-problem", story | {"instruction": story["text"]}, fact)


def _suited(percent: int, whole: int) -> str:
    """Say which situations the figures are plausible in."""
    fits = {"few": range(151), "price": range(80, 501), "large": range(600, 3000)}
    tags = [tag for tag, sizes in fits.items() if whole in sizes]
    return " ".join(tags + ["tip"] * (percent in range(21)))


def _percentage(percent: str, base: str) -> Fact:
    p, whole = int(percent), int(base)
    part = Fraction(whole * p, 100)
    figures = {"p": Fraction(p), "base": Fraction(whole), "part": part, "one": Fraction(whole, 100)}
    figures |= {"less": whole - part, "more": whole + part}
    return {name: plain_number(value) for name, value in figures.items()} | {"tags": _suited(p, whole)}


def percentages(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Parts, cuts, rises and shares; only pairs that come out whole."""
    table = tables["percentage"]
    pairs = [(p, base) for p in table["percents"] for base in table["bases"] if int(p) * int(base) % 100 == 0]
    facts = [_percentage(*pair) for pair in shuffled(rng, pairs)]
    modest = [fact for fact in facts if int(fact["p"]) in range(41)]
    kinds = {"of": facts[::2], "less": modest[:12:2], "more": modest[1:12:2], "share": facts[1::2]}
    return assemble("percentage", table, **kinds)


def _rounding(value: str, place: str, step: str) -> Fact:
    number, size = Fraction(value), Fraction(step)
    low = number // size * size
    up = number - low > size / 2
    shown = {"value": number, "low": low, "high": low + size, "rounded": low + size * up, "step": size}
    texts = {name: plain_number(figure, 5) for name, figure in shown.items()}
    return texts | {"place": place, "way": "up" if up else "down", "tags": "big" if size > 1 else ""}


def roundings(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Whole numbers and decimals, never exactly half-way."""
    table = tables["rounding"]
    rows = shuffled(rng, ((value, row["place"], row["step"]) for row in table["places"] for value in row["values"]))
    facts = [_rounding(*row) for row in rows]
    situations = situated("rounding", table, lambda row: _rounding(row["value"], row["place"], row["step"]))
    return mixed(told("rounding", table["wordings"]["plain"], facts + facts[::-1]), situations)


def _sequence(rng: random.Random, rule: str, terms: list[str]) -> Fact:
    gap = rng.randrange(1, len(terms) - 1)
    return {
        "rule": rule,
        "all": ", ".join(terms),
        "shown": ", ".join(terms[:-1]),
        "next": terms[-1],
        "gapped": ", ".join([*terms[:gap], "__", *terms[gap + 1 :]]),
        "hidden": terms[gap],
    }


def number_sequences(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Hand-picked sequences to be continued, mended or explained."""
    table = tables["number-sequence"]
    facts = [_sequence(rng, row["rule"], row["terms"]) for row in shuffled(rng, table["sequences"])]
    return assemble("number-sequence", table, next=facts, missing=facts[14:24] + facts[:14], rule=facts[23:])
