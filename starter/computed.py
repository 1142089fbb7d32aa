"""The computed entries of the English starter set: one generator a family, fed by the hand-written tables.

Every generator offers more entries than are needed, in an order that alternates between the kinds of wording,
so that the builder can drop those that come too near to another prompt and still keep a varied family.
"""

from __future__ import annotations

import datetime
import itertools
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

T = TypeVar("T")
Table = dict[str, Any]
Tables = Mapping[str, Table]
Fact = dict[str, str]
Wording = dict[str, str]

ROUNDS = 40
VOWELS = "aeiou"
SMALL_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
ROMAN_DIGITS = (("", "M", "MM", "MMM"),) + tuple(
    ("", a, a * 2, a * 3, a + b, b, b + a, b + a * 2, b + a * 3, a + c)
    for a, b, c in (("C", "D", "M"), ("X", "L", "C"), ("I", "V", "X"))
)
FIRST_FILM = 1900
SILENT_H = ("honest", "hour")


class Entry(NamedTuple):
    """One prompt with its answer."""

    instruction: str
    input: str
    output: str
    family: str


def read_tables(folder: Path) -> dict[str, Table]:
    """Read every table as plain strings, so that YAML never takes `No` for a truth value or 2.50 for a float."""
    paths = sorted(folder.glob("*.yaml"))
    return {path.stem: yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader) for path in paths}  # noqa: S506


# --- wording -------------------------------------------------------------------------------------------------------


def _capital(text: str) -> str:
    """Upper-case the first letter only, because `str.capitalize` would flatten names further on."""
    return text[:1].upper() + text[1:]


def _listed(items: Sequence[str], word: str = "and") -> str:
    """Join as English prose does, with the serial comma."""
    *most, last = items
    return f"{', '.join(most)}{',' if most[1:] else ''} {word} {last}"


def _fill(sentence: str, word: str) -> str:
    """Put the word into the gap and let a preceding article follow its first sound."""
    article = "an" if word[0] in VOWELS or word.startswith(SILENT_H) else "a"
    return _capital(re.sub(r"\ban? ____", f"{article} ____", sentence, flags=re.IGNORECASE).replace("____", word))


def _phrase(family: str, wording: Wording, fact: Fact) -> Entry:
    """Fill a wording; an upper-cased field name asks for the value as it opens a sentence."""
    fields = fact | {_capital(key): _capital(value) for key, value in fact.items() if key[0].islower()}
    instruction, given, output = (wording.get(key, "").format_map(fields) for key in ("instruction", "input", "output"))
    return Entry(instruction, given, output, family)


def _told(family: str, wordings: Iterable[Wording], facts: Iterable[Fact]) -> Iterator[Entry]:
    """Give each fact the suitable wording that has rested longest, so that none is worn out."""
    rested = deque(wordings)
    for fact in facts:
        tags = set(fact.get("tags", "").split())
        wording = next((one for one in rested if set(one.get("only", "").split()) <= tags), None)
        if wording is not None:
            rested.remove(wording)
            rested.append(wording)
            yield _phrase(family, wording, fact)


def _mixed(*streams: Iterator[Entry]) -> Iterator[Entry]:
    """Alternate between the streams until all are used up."""
    for row in itertools.zip_longest(*streams):
        yield from (entry for entry in row if entry is not None)


def _family(name: str, table: Table, /, **facts: Iterable[Fact]) -> Iterator[Entry]:
    """Phrase the facts of each kind with the wordings of the same name, kinds in turn."""
    return _mixed(*(_told(name, table["wordings"][kind], rows) for kind, rows in facts.items()))


def _shuffled(rng: random.Random, items: Iterable[T]) -> list[T]:
    pool = list(items)
    return rng.sample(pool, len(pool))


# --- numbers -------------------------------------------------------------------------------------------------------


def _rounded(value: Fraction, places: int) -> Fraction:
    """Round half up, as is taught in school; the tables hold no exact halves for the rounding family."""
    scale = 10**places
    return Fraction((value * scale + Fraction(1, 2)).__floor__(), scale)


def _is_short(value: Fraction) -> bool:
    return (value * 1000).denominator == 1


def _number(value: Fraction | int, places: int = 3) -> str:
    """Write with thousands commas and without trailing zeros."""
    whole, rest = divmod(abs(_rounded(Fraction(value), places)), 1)
    decimals = f"{int(rest * 10**places):0{places}d}".rstrip("0")
    return ("-" if value < 0 else "") + f"{int(whole):,}" + (f".{decimals}" if decimals else "")


def _dollars(value: Fraction) -> str:
    return f"${int(value):,}" if value.denominator == 1 else f"${float(value):,.2f}"


def _about(value: Fraction, places: int) -> tuple[str, str]:
    """Return the figure and the hedge it needs: none if it is exact, "about " if it had to be rounded."""
    return (_number(value), "") if _is_short(value) else (_number(_rounded(value, places)), "about ")


# --- conversions ---------------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """A unit of measurement and its size in the smallest unit of its table."""

    one: str
    many: str
    size: Fraction

    def amount(self, value: Fraction, hedge: str = "", places: int = 3) -> str:
        """Write an amount with the unit in the number it needs."""
        return f"{hedge}{_number(value, places)} {self.one if value == 1 else self.many}"


def _units(table: Table) -> dict[str, Unit]:
    return {many: Unit(one, many, Fraction(size)) for one, many, size in table["units"]}


def _working(value: Fraction, source: Unit, target: Unit) -> Fact:
    """Spell out the step where one unit holds a whole number of the other; nothing otherwise."""
    large, small = (source, target) if source.size > target.size else (target, source)
    ratio = large.size / small.size
    if ratio.denominator != 1 or ratio == 1:
        return {}
    sign, result = ("×", value * ratio) if source is large else ("÷", value / ratio)
    step = f"{_number(value)} {sign} {_number(ratio)} = {_number(result)}"
    return {"fact": f"1 {large.one} is {small.amount(ratio)}", "working": step}


def _conversion(value: str, source: Unit, target: Unit, tags: str = "") -> Fact:
    """Everything a conversion wording may ask for."""
    amount = Fraction(value)
    result = amount * source.size / target.size
    figure, hedge = _about(result, 2)
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
    rows = _shuffled(rng, table["conversions"])
    layers = itertools.zip_longest(*(_shuffled(rng, row["values"]) for row in rows))
    return [
        _conversion(value, units[row["from"]], units[row["to"]], row.get("tags", ""))
        for layer in layers
        for row, value in zip(rows, layer, strict=True)
        if value is not None
    ]


def _situations(family: str, table: Table, fact: Callable[[Table], Fact]) -> Iterator[Entry]:
    """Situations carry their own figures, since a wording such as a fish on a scale suits only one size."""
    return (_phrase(family, row, fact(row)) for row in table["situations"])


def _unit_streams(family: str, rng: random.Random, table: Table) -> list[Iterator[Entry]]:
    units = _units(table)
    facts = _conversion_facts(rng, table)
    return [
        _told(family, table["wordings"]["plain"], facts),
        _told(family, table["wordings"]["worked"], [fact for fact in reversed(facts) if "working" in fact]),
        _situations(family, table, lambda row: _conversion(row["value"], units[row["from"]], units[row["to"]])),
    ]


def length_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and customary lengths."""
    return _mixed(*_unit_streams("length-conversion", rng, tables["length-conversion"]))


def mass_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and customary weights."""
    return _mixed(*_unit_streams("mass-conversion", rng, tables["mass-conversion"]))


def volume_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Metric and US liquid volumes."""
    return _mixed(*_unit_streams("volume-conversion", rng, tables["volume-conversion"]))


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
    return _shuffled(rng, facts)


def time_conversions(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Single units, and spans split into two units or put together again."""
    family = "time-conversion"
    table = tables[family]
    spans = _span_facts(rng, table)
    half = len(spans) // 2
    together = _told(family, table["wordings"]["together"], spans[:half])
    return _mixed(*_unit_streams(family, rng, table), together, _told(family, table["wordings"]["total"], spans[half:]))


TEMPERATURES: dict[tuple[str, str], tuple[Callable[[Fraction], Fraction], str, str]] = {
    ("Celsius", "Fahrenheit"): (lambda t: t * 9 / 5 + 32, "Multiply by 9/5 and add 32.", "{0} × 9/5 + 32"),
    ("Fahrenheit", "Celsius"): (lambda t: (t - 32) * 5 / 9, "Subtract 32 and multiply by 5/9.", "({0} - 32) × 5/9"),
    ("Celsius", "Kelvin"): (lambda t: t + Fraction("273.15"), "Add 273.15.", "{0} + 273.15"),
    ("Kelvin", "Celsius"): (lambda t: t - Fraction("273.15"), "Subtract 273.15.", "{0} - 273.15"),
}


def _temperature(value: str, source: str, target: str, scales: Table) -> Fact:
    change, method, formula = TEMPERATURES[source, target]
    figure, hedge = _about(change(Fraction(value)), 1)
    given = _number(Fraction(value))
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
    pairs = _shuffled(rng, ((row, value) for row in table["conversions"] for value in row["values"]))
    facts = [_temperature(value, row["from"], row["to"], table["scales"]) for row, value in pairs]
    return _mixed(
        _told(family, table["wordings"]["plain"], facts),
        _told(family, table["wordings"]["worked"], facts[::-1]),
        _situations(family, table, lambda row: _temperature(row["value"], row["from"], row["to"], table["scales"])),
    )


# --- arithmetic ----------------------------------------------------------------------------------------------------


def _step(values: dict[str, Fraction], step: str) -> None:
    """Work one `x = a * b` line of a story."""
    name, _, left, sign, right = step.split()
    a, b = values[left], values[right]
    values[name] = {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b


def word_problems(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Each hand-written story once, with drawn numbers."""
    for story in _shuffled(rng, tables["arithmetic-word-problem"]["stories"]):
        values = {name: Fraction(rng.choice(choices)) for name, choices in story["draw"].items()}
        for step in story["steps"]:
            _step(values, step)
        money = story.get("money", [])
        fact = {name: _dollars(value) if name in money else _number(value) for name, value in values.items()}
        yield _phrase("arithmetic-word-problem", story | {"instruction": story["text"]}, fact)


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
    return {name: _number(value) for name, value in figures.items()} | {"tags": _suited(p, whole)}


def percentages(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Parts, cuts, rises and shares; only pairs that come out whole."""
    table = tables["percentage"]
    pairs = [(p, base) for p in table["percents"] for base in table["bases"] if int(p) * int(base) % 100 == 0]
    facts = [_percentage(*pair) for pair in _shuffled(rng, pairs)]
    modest = [fact for fact in facts if int(fact["p"]) in range(41)]
    kinds = {"of": facts[::2], "less": modest[:12:2], "more": modest[1:12:2], "share": facts[1::2]}
    return _family("percentage", table, **kinds)


def _rounding(value: str, place: str, step: str) -> Fact:
    number, size = Fraction(value), Fraction(step)
    low = number // size * size
    up = number - low > size / 2
    shown = {"value": number, "low": low, "high": low + size, "rounded": low + size * up, "step": size}
    texts = {name: _number(figure, 5) for name, figure in shown.items()}
    return texts | {"place": place, "way": "up" if up else "down", "tags": "big" if size > 1 else ""}


def roundings(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Whole numbers and decimals, never exactly half-way."""
    table = tables["rounding"]
    rows = _shuffled(rng, ((value, row["place"], row["step"]) for row in table["places"] for value in row["values"]))
    facts = [_rounding(*row) for row in rows]
    situations = _situations("rounding", table, lambda row: _rounding(row["value"], row["place"], row["step"]))
    return _mixed(_told("rounding", table["wordings"]["plain"], facts + facts[::-1]), situations)


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
    facts = [_sequence(rng, row["rule"], row["terms"]) for row in _shuffled(rng, table["sequences"])]
    return _family("number-sequence", table, next=facts, missing=facts[14:24] + facts[:14], rule=facts[23:])


# --- numerals ------------------------------------------------------------------------------------------------------


def _roman_pieces(number: int) -> list[tuple[int, str]]:
    """Split into digits, largest first, without the empty places."""
    digits = f"{number:04d}"
    pieces = [(int(digit) * 10 ** (3 - i), ROMAN_DIGITS[i][int(digit)]) for i, digit in enumerate(digits)]
    return [(value, numeral) for value, numeral in pieces if value]


def _roman(number: str) -> Fact:
    pieces = _roman_pieces(int(number))
    return {
        "number": number,
        "roman": "".join(numeral for _, numeral in pieces),
        "sum": " + ".join(str(value) for value, _ in pieces),
        "pieces": " + ".join(numeral for _, numeral in pieces),
        "tags": "parts " * (len(pieces) > 1) + "film" * (int(number) > FIRST_FILM),
    }


def roman_numerals(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Both directions, with dates, chapters and kings where the size suits."""
    table = tables["roman-numeral"]
    numbers = [_roman(number) for number in _shuffled(rng, table["numbers"])]
    half = len(numbers) // 2
    kinds = {key: [_roman(number) for number in _shuffled(rng, table[key])] for key in ("years", "small", "kings")}
    return _family("roman-numeral", table, to=numbers[:half], **{"from": numbers[half:]}, **kinds)


def _words(number: int) -> str:
    """Spell a number below a billion the American way, without "and"."""
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            many, rest = divmod(number, size)
            return f"{_words(many)} {name}" + (f" {_words(rest)}" if rest else "")
    if number < len(SMALL_NUMBERS):
        return SMALL_NUMBERS[number]
    ten, one = divmod(number, 10)
    return TENS[ten] + (f"-{SMALL_NUMBERS[one]}" if one else "")


def numbers_in_words(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Digits to words and back."""
    table = tables["number-in-words"]
    numbers, sums = (
        [{"digits": _number(int(number)), "words": _words(int(number))} for number in _shuffled(rng, table[key])]
        for key in ("numbers", "sums")
    )
    half = len(numbers) // 2
    return _family("number-in-words", table, to=numbers[:half], **{"from": numbers[half:]}, sums=sums)


# --- words ---------------------------------------------------------------------------------------------------------


def _batches(rng: random.Random, items: Sequence[T], *sizes: int) -> Iterator[list[T]]:
    """Random groups of the given sizes in turn."""
    for size in itertools.islice(itertools.cycle(sizes), ROUNDS):
        yield rng.sample(items, size)


def _side_by_side(names: Sequence[str], columns: Iterable[Sequence[str]]) -> Fact:
    """Name each column as a plain list and, with `_and`, as a list in prose."""
    fact: Fact = {}
    for name, column in zip(names, columns, strict=True):
        fact |= {name: ", ".join(column), f"{name}_and": _listed(column)}
    return fact


def _word_lists(rng: random.Random, rows: Sequence[Sequence[str]], *names: str) -> Iterator[Fact]:
    """Three or four table rows at a time, read column by column."""
    for batch in _batches(rng, rows, 3, 4):
        yield _side_by_side(names, zip(*batch, strict=True))


def _noun_gap(word: str, plural: str, gap: str) -> Fact:
    return {"word": word, "plural": plural, "gap": gap.replace("____", f"____ ({word})"), "full": _fill(gap, plural)}


def plurals(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Regular and irregular nouns."""
    table = tables["plural"]
    rows = [(word, plural, group["rule"]) for group in table["groups"] for word, plural in group["words"].items()]
    plural_of = {word: plural for word, plural, _ in rows}
    ones = [{"word": word, "plural": plural, "rule": rule} for word, plural, rule in _shuffled(rng, rows)]
    frames = [_noun_gap(word, plural_of[word], gap) for word, gap in _shuffled(rng, table["frames"].items())]
    singular = [fact for fact in ones[::-1] if fact["word"] != fact["plural"]]
    lists = _word_lists(rng, [row[:2] for row in rows], "words", "plurals")
    return _family("plural", table, one=ones, list=lists, frame=frames, singular=singular[:6])


def _verb(base: str, past: str, sentence: str) -> Fact:
    regular = past.endswith("ed")
    return {
        "base": base,
        "past": past,
        "gap": sentence,
        "present": _fill(sentence, base),
        "full": _fill(sentence, past),
        "regular": "yes, it is regular" if regular else "no, it is irregular",
        "tags": "" if regular or base == past else "irregular",
    }


def past_tenses(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Regular and irregular verbs, alone and in sentences."""
    table = tables["past-tense"]
    facts = [_verb(*row) for row in _shuffled(rng, table["verbs"])]
    lists = _word_lists(rng, [row[:2] for row in table["verbs"]], "bases", "pasts")
    return _family("past-tense", table, one=facts, frame=facts[::-1], list=lists, base=facts[3:16])


def _antonym(rng: random.Random, row: Sequence[str], others: Sequence[str]) -> Fact:
    word, opposite, sentence = row
    options = _shuffled(rng, [opposite, *rng.sample(others, 2)])
    return {
        "word": word,
        "opposite": opposite,
        "count": str(len(opposite)),
        "sentence": _fill(sentence, word),
        "other": _fill(sentence, opposite),
        "options": _listed(options, "or"),
        "options_list": f"{word}: {', '.join(options)}",
    }


def _unrelated(pair: Sequence[str], table: Table) -> list[str]:
    """List the words that cannot be taken for an opposite, so that a choice has one right answer."""
    near = {word for group in table["groups"] if not set(group).isdisjoint(pair) for word in group} | set(pair)
    return [word for row in table["pairs"] for word in row[:2] if word not in near]


def antonyms(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Opposites alone, to be chosen, in lists and in sentences."""
    table = tables["antonym"]
    turned = [rng.choice((row, [row[1], row[0], row[2]])) for row in _shuffled(rng, table["pairs"])]
    facts = [_antonym(rng, row, _unrelated(row[:2], table)) for row in turned]
    lists = _word_lists(rng, [row[:2] for row in table["pairs"]], "words", "opposites")
    return _family("antonym", table, one=facts, frame=facts[::-1], list=lists, choice=facts[10:22])


def _comparative(rng: random.Random, word: str, more: str, most: str, sentence: str) -> Fact:
    """Include the form a learner is likely to get wrong."""
    wrong = word + ("r" if word.endswith("e") else "er") if more.startswith("more ") else f"more {word}"
    tags = "" if word in ("many", "little") else "adjective"
    texts = {"word": word, "more": more, "most": most, "wrong": wrong, "tags": tags}
    choice = _listed(_shuffled(rng, (f'"{wrong}"', f'"{more}"')), "or")
    return texts | {"choice": choice, "gap": sentence, "full": _fill(sentence, more)}


def comparatives(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Degrees of adjectives, alone, in lists and in sentences."""
    table = tables["comparative"]
    rows = table["adjectives"]
    facts = [_comparative(rng, *row) for row in _shuffled(rng, rows)]
    lists = _word_lists(rng, [row[:3] for row in rows], "words", "mores", "mosts")
    return _family("comparative", table, one=facts, frame=facts[::-1], list=lists)


def _capital_city(rng: random.Random, row: Sequence[str], rows: Sequence[Sequence[str]]) -> Fact:
    """Take the wrong answers from the same continent, so that they are worth thinking about."""
    country, city, continent = row
    near = [other for other in rows if other[2] == continent and other[0] != country]
    strangers = rng.sample(near, 2)
    options = _listed(_shuffled(rng, [country, strangers[0][0], strangers[1][0]]), "or")
    claim = rng.choice((city, strangers[0][1]))
    texts = {"country": country, "city": city, "continent": continent, "options": options}
    return texts | {"claim": claim, "verdict": "true" if claim == city else "false"}


def _capital_lists(rng: random.Random, rows: Sequence[Sequence[str]]) -> Iterator[Fact]:
    for batch in _batches(rng, rows, 3, 4):
        one, two = batch[:2]
        pair = {"country_one": one[0], "city_one": one[1], "country_two": two[0], "city_two": two[1]}
        yield pair | _side_by_side(("countries", "cities", "_"), zip(*batch, strict=True))


def capital_cities(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Capitals from the country and the other way round."""
    table = tables["capital-city"]
    rows = table["capitals"]
    facts = [_capital_city(rng, row, rows) for row in _shuffled(rng, rows)]
    return _family("capital-city", table, capital=facts, country=facts[::-1], list=_capital_lists(rng, rows))


def element_symbols(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Symbols, names, atomic numbers and the origin of odd symbols."""
    table = tables["element-symbol"]
    rows = table["elements"]
    facts = [{"name": name, "symbol": symbol, "number": number} for name, symbol, number in _shuffled(rng, rows)]
    origins = [fact | {"origin": table["origins"][fact["name"]]} for fact in facts if fact["name"] in table["origins"]]
    lists = _word_lists(rng, [row[:2] for row in rows], "names", "symbols")
    return _family("element-symbol", table, symbol=facts, name=facts[::-1], list=lists, origin=origins)


def _room(guest: str, *hosts: str) -> Fact:
    """Say whether a word belongs between two others."""
    left, right = sorted(hosts, key=str.casefold)
    before, after = guest.casefold() < left.casefold(), guest.casefold() > right.casefold()
    yes = f'yes, "{guest}" comes after "{left}" and before "{right}".'
    no = f'no, "{guest}" comes {"before" if before else "after"} "{left if before else right}".'
    return {"left": left, "right": right, "room": no if before or after else yes}


def _order(category: str, words: list[str]) -> Fact:
    ranked = sorted(words, key=str.casefold)
    one, two = words[:2]
    return {
        "category": category,
        "mixed": ", ".join(words),
        "mixed_and": _listed(words),
        "mixed_or": _listed(words, "or"),
        "sorted": ", ".join(ranked),
        "reversed": ", ".join(reversed(ranked)),
        "first": ranked[0],
        "last": ranked[-1],
        "one": one,
        "two": two,
        "side": "before" if ranked.index(one) < ranked.index(two) else "after",
    } | _room(*words[:3])


def _orders(rng: random.Random, categories: Mapping[str, list[str]], *sizes: int) -> Iterator[Fact]:
    """Draw lists that are not in order yet, from each category in turn."""
    for (name, members), size in zip(itertools.cycle(_shuffled(rng, categories.items())), itertools.cycle(sizes)):
        words = rng.sample(members, size)
        if sorted(words) not in (words, words[::-1]):
            yield _order(name, words)


def alphabetical_orders(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Offer lists to be sorted either way, and single words to be placed."""
    table = tables["alphabetical-order"]
    sizes = {"sort": (4, 5, 3, 6), "reverse": (4, 3), "ends": (3, 4, 5), "pair": (3,)}
    kinds = {kind: itertools.islice(_orders(rng, table["categories"], *row), ROUNDS) for kind, row in sizes.items()}
    return _family("alphabetical-order", table, **kinds)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _letters(rng: random.Random, word: str) -> Fact:
    """Prefer a repeated letter to ask about, since a single one is easily found."""
    vowels = [char for char in word if char in VOWELS]
    skeleton = "".join(char for char in word if char not in VOWELS)
    letter = rng.choice([char for char in word if word.count(char) > 1] or list(word))
    count, guess, row = word.count(letter), word.count(letter) + rng.choice((0, 1)), len(word) + rng.choice((-1, 0, 1))
    numbers = {"letters": len(word), "count": count, "row": row, "vowels": len(vowels), "consonants": len(skeleton)}
    texts = {name: str(number) for name, number in numbers.items()}
    return texts | {
        "word": word,
        "fits": "yes" if row == len(word) else "no",
        "enough": "yes" if row >= len(word) else "no",
        "spelled": "-".join(word.upper()),
        "are_vowels": "is 1 vowel" if len(vowels) == 1 else f"are {len(vowels)} vowels",
        "vowel_list": ", ".join(vowels),
        "skeleton": skeleton,
        "letter": f'"{letter}"',
        "times": _times(count),
        "guess": _times(guess),
        "verdict": "yes" if guess == count else "no",
    }


def _longer(one: str, two: str) -> Fact:
    shorter, longer = sorted((one, two), key=len)
    sizes = {"more": str(len(longer)), "fewer": str(len(shorter))}
    return {"word": one, "other": two, "longer": longer, "shorter": shorter} | sizes


def letter_counts(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Letters, vowels and consonants of words, and words of sentences."""
    table = tables["letter-count"]
    words = _shuffled(rng, table["words"])
    facts = [_letters(rng, word) for word in words]
    pairs = (_longer(one, two) for one, two in _batches(rng, words, 2) if len(one) != len(two))
    phrases = [{"phrase": phrase, "size": str(len(phrase.split()))} for phrase in table["phrases"]]
    repeated = [fact for fact in facts if fact["count"] != "1"]
    kinds = {"letters": facts, "letter": repeated, "vowels": facts[::-1], "longer": pairs, "consonants": facts[9:]}
    return _family("letter-count", table, **kinds, phrase=phrases)


# --- days ----------------------------------------------------------------------------------------------------------


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
    later = [_weekday(days, i % 7, int(n), 1) for i, n in enumerate(_shuffled(rng, table["steps"]))]
    earlier = [_weekday(days, i % 7, int(n), -1) for i, n in enumerate(_shuffled(rng, table["steps"]))]
    months = [_months(table, rng.randrange(12), int(n)) for n in _shuffled(rng, table["month_steps"])]
    lengths = [_months(table, index, 1) for index in (1, 8, 6, 10)]
    spans = [_span(table["months"], *row) for row in _shuffled(rng, table["spans"])]
    neighbors = [_neighbors(days, index) for index in _shuffled(rng, range(7))]
    kinds = {"later": later, "earlier": earlier, "months": months, "span": spans}
    return _family("day-arithmetic", table, **kinds, neighbors=neighbors, length=lengths)


FAMILIES: Mapping[str, Callable[[random.Random, Tables], Iterator[Entry]]] = {
    "length-conversion": length_conversions,
    "mass-conversion": mass_conversions,
    "volume-conversion": volume_conversions,
    "temperature-conversion": temperature_conversions,
    "time-conversion": time_conversions,
    "arithmetic-word-problem": word_problems,
    "percentage": percentages,
    "rounding": roundings,
    "number-sequence": number_sequences,
    "roman-numeral": roman_numerals,
    "number-in-words": numbers_in_words,
    "plural": plurals,
    "past-tense": past_tenses,
    "antonym": antonyms,
    "comparative": comparatives,
    "capital-city": capital_cities,
    "element-symbol": element_symbols,
    "alphabetical-order": alphabetical_orders,
    "letter-count": letter_counts,
    "day-arithmetic": day_arithmetic,
}
