"""Checks of the committed starter data; the figures are worked out anew here, without the builder's code."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, str]


def _load(name: str) -> list[Row]:
    lines = (ROOT / "harness" / "data" / name).read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


ENGLISH = _load("starter-en.jsonl")
CHINESE = _load("starter-zh.jsonl")
COMPUTED = [row for row in ENGLISH if row["origin"] == "computed"]
BOTH = pytest.mark.parametrize("rows", [ENGLISH, CHINESE], ids=["en", "zh"])


def _prompt(row: Row) -> str:
    return f"{row['instruction']}\n{row['input']}"


def _plain(row: Row) -> str:
    return re.sub(r"\s+", " ", _prompt(row).casefold()).strip()


# --- the sets as a whole -------------------------------------------------------------------------------------------


def test_counts() -> None:
    """The sets are as large and as varied as the harness relies on."""
    assert len(ENGLISH) >= 1000
    assert len({row["family"] for row in ENGLISH}) >= 40
    assert len(CHINESE) >= 200


def test_computed_share() -> None:
    """At most half of the English entries come from the program, spread over many families."""
    families = Counter(row["family"] for row in COMPUTED)
    assert 440 <= len(COMPUTED) <= 520
    assert 2 * len(COMPUTED) <= len(ENGLISH)
    assert len(families) >= 16
    assert all(25 <= size <= 35 for size in families.values())
    assert not any(row["origin"] == "computed" for row in CHINESE)


@BOTH
def test_shape(rows: list[Row]) -> None:
    """Each entry has the agreed keys in the agreed order, all strings, the needed ones not empty."""
    for row in rows:
        assert list(row) == ["instruction", "input", "output", "family", "origin"]
        assert all(isinstance(value, str) for value in row.values())
        assert row["instruction"].strip()
        assert row["output"].strip()
        assert row["family"].strip()
        assert row["origin"] in ("written", "computed")


@BOTH
def test_text_is_clean(rows: list[Row]) -> None:
    """No control characters but line breaks, no leftover template fields, no long answers."""
    for row in rows:
        text = _prompt(row) + row["output"]
        assert not [char for char in text if unicodedata.category(char).startswith("C") and char != "\n"]
        assert len(row["output"].split()) <= 80
    assert not [row for row in COMPUTED if re.search(r"[{}]", _prompt(row) + row["output"])]


def _highest_similarity(rows: list[Row], size: int) -> float:
    """Compare all pairs at once as products of gram indicator vectors."""
    texts = [_plain(row) for row in rows]
    sets = [{text[i : i + size] for i in range(max(1, len(text) - size + 1))} for text in texts]
    column = {gram: i for i, gram in enumerate(sorted(set().union(*sets)))}
    matrix = np.zeros((len(sets), len(column)), dtype=np.float32)
    for i, grams in enumerate(sets):
        matrix[i, [column[gram] for gram in grams]] = 1
    shared = matrix @ matrix.T
    sizes = matrix.sum(axis=1)
    similarity = shared / (sizes[:, None] + sizes[None, :] - shared)
    np.fill_diagonal(similarity, 0)
    return float(similarity.max())


@pytest.mark.parametrize(("rows", "size", "limit"), [(ENGLISH, 5, 0.7), (CHINESE, 2, 0.6)], ids=["en", "zh"])
def test_no_near_duplicates(rows: list[Row], size: int, limit: float) -> None:
    """No two prompts share too many character n-grams."""
    assert _highest_similarity(rows, size) < limit


@BOTH
def test_cut_in_file_order(rows: list[Row]) -> None:
    """A cut at 85 and 95 percent separates the prompts, and training and testing see every family.

    The last 5 percent are too few for every family, but should hold most of them once.
    """
    cuts = [0, len(rows) * 85 // 100, len(rows) * 95 // 100, len(rows)]
    parts = [rows[start:end] for start, end in itertools.pairwise(cuts)]
    prompts = [{_plain(row) for row in part} for part in parts]
    assert all(one.isdisjoint(two) for one, two in itertools.combinations(prompts, 2))
    train, test, validation = ({row["family"] for row in part} for part in parts)
    assert train == test == {row["family"] for row in rows}
    assert 2 * len(validation) > len(train)


def test_builder_agrees() -> None:
    """The committed files are what the builder writes."""
    command = [sys.executable, str(ROOT / "starter" / "build.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


# --- reading figures -----------------------------------------------------------------------------------------------

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?"
TERM = rf"-?\$?(?:{NUMBER})(?:/\d+)?"
EQUATION = re.compile(rf"(\(?{TERM}(?: [-+×÷] {TERM}\)?)+) ([=≈]) ({TERM})")


def _value(text: str) -> Fraction:
    return Fraction(re.sub(r"[$,]", "", text))


def _numbers(text: str) -> list[Fraction]:
    return [_value(found) for found in re.findall(NUMBER, text)]


def _apply(left: Fraction, sign: str, right: Fraction) -> Fraction:
    return {"+": left + right, "-": left - right, "×": left * right}[sign] if sign != "÷" else left / right


def _evaluate(text: str) -> Fraction:
    """Work out a term, products before sums."""
    inner = re.search(r"\((.*?)\)", text)
    if inner:
        return _evaluate(text.replace(inner[0], str(_evaluate(inner[1]))))
    tokens = text.split(" ")
    for signs in ("×÷", "+-"):
        while (at := next((i for i, token in enumerate(tokens) if token in signs), 0)) > 0:
            result = _apply(_value(tokens[at - 1]), tokens[at], _value(tokens[at + 1]))
            tokens[at - 1 : at + 2] = [str(result)]
    return _value(tokens[0])


def _precision(figure: str) -> Fraction:
    """Half of the last decimal place shown."""
    return Fraction(1, 2 * 10 ** len(figure.partition(".")[2]))


def _check_equations(text: str) -> str:
    """Recalculate every equation, and return the text without them."""
    for left, sign, right in EQUATION.findall(text):
        gap = abs(_evaluate(left) - _value(right))
        assert gap <= (_precision(right) if sign == "≈" else 0), f"{left} {sign} {right}"
    return EQUATION.sub("", text)


@pytest.mark.parametrize("text", ["2 × 3 + 1 = 7", "(212 - 32) × 5/9 = 100", "1,200 ÷ 60 = 20", "-10 + 2.5 = -7.5"])
def test_evaluation(text: str) -> None:
    """The checker reads the notation of the entries."""
    assert _check_equations(text) == ""


# --- conversions ---------------------------------------------------------------------------------------------------

INCH, POUND, GALLON = Fraction("2.54"), Fraction("453.59237"), Fraction("3785.411784")
Units = Mapping[str, Fraction | int]
UNITS: dict[str, Units] = {
    "length-conversion": {
        "kilometer": 100_000, "meter": 100, "centimeter": 1, "millimeter": Fraction(1, 10),
        "mile": INCH * 63_360, "yard": INCH * 36, "foot": INCH * 12, "inch": INCH,
    },
    "mass-conversion": {
        "metric ton": 1_000_000, "kilogram": 1000, "gram": 1, "milligram": Fraction(1, 1000),
        "pound": POUND, "ounce": POUND / 16,
    },
    "volume-conversion": {
        "liter": 1000, "centiliter": 10, "milliliter": 1, "cubic meter": 1_000_000, "cubic centimeter": 1,
        "US gallon": GALLON, "US quart": GALLON / 4, "US pint": GALLON / 8, "US cup": GALLON / 16,
        "US fluid ounce": GALLON / 128,
    },
    "time-conversion": {
        "week": 168, "day": 24, "hour": 1, "minute": Fraction(1, 60), "second": Fraction(1, 3600),
        "century": 1_200_000, "decade": 120_000, "year": 12_000, "month": 1000,
    },
}  # fmt: skip
IRREGULAR = {"feet": "foot", "inches": "inch", "centuries": "century"}
CALENDAR = {"century", "decade", "year", "month"}


class Amount(NamedTuple):
    """An amount as written: its size in the base unit, how far it may be off, and its units."""

    size: Fraction
    slack: Fraction
    units: frozenset[str]


def _singular(name: str, units: Units) -> str:
    return IRREGULAR.get(name, name if name in units else name.removesuffix("s"))


def _amount(hedge: str, parts: list[tuple[str, str]], units: Units) -> Amount:
    """Add up the parts, minding that only a single unit is written in the singular."""
    size = slack = Fraction(0)
    for figure, name in parts:
        assert (name in units) == (figure == "1"), f"{figure} {name}"
        size += _value(figure) * units[_singular(name, units)]
        slack += _precision(figure) * units[_singular(name, units)]
    return Amount(size, slack if hedge else Fraction(0), frozenset(_singular(name, units) for _, name in parts))


def _amounts(text: str, units: Units) -> list[Amount]:
    """Find all amounts; two units joined by "and" make one."""
    names = "|".join(sorted([*(f"{unit}s?" for unit in units), *IRREGULAR], key=len, reverse=True))
    one = rf"(?:{NUMBER}) (?:{names})\b"
    found = re.findall(rf"(about )?({one}(?: and {one})?)", text, re.IGNORECASE)
    return [_amount(hedge, re.findall(rf"({NUMBER}) ({names})\b", parts), units) for hedge, parts in found]


def _check_facts(text: str, units: Units) -> str:
    """Check the statements of the kind `1 foot is 12 inches`, and return the text without them."""
    fact = re.compile(rf"(?<![\d,.])1 (?:{'|'.join(units)}) is (?:{NUMBER}) [a-zA-Z ]+")
    for stated in fact.findall(text):
        one, many = _amounts(stated, units)
        assert one.size == many.size, stated
    return fact.sub("", text)


def _check_conversion(row: Row) -> None:
    units = UNITS[row["family"]]
    (given,) = _amounts(_prompt(row), units)
    told = _amounts(_check_facts(_check_equations(row["output"]), units), units)
    asked = {_singular(name, units) for name in re.findall(r"[a-z]+", _prompt(row))}
    assert {unit.split()[-1] for one in told for unit in one.units} <= asked
    assert {one.units for one in told} - {given.units}
    assert len({unit in CALENDAR for one in (given, *told) for unit in one.units}) == 1
    assert all(abs(one.size - given.size) <= one.slack for one in told)


SCALES: dict[str, Callable[[Fraction], Fraction]] = {
    "C": lambda t: t + Fraction(27315, 100),
    "F": lambda t: (t - 32) * 5 / 9 + Fraction(27315, 100),
    "K": lambda t: t,
}


METHODS = ("Multiply by 9/5 and add 32.", "Subtract 32 and multiply by 5/9.", "Add 273.15.", "Subtract 273.15.")


def _temperatures(text: str) -> list[tuple[str, str, str]]:
    found = re.findall(rf"(about )?(-?(?:{NUMBER})) (?:degrees |°)?([CFKk])", text, re.IGNORECASE)
    return [(hedge, figure, scale.upper()) for hedge, figure, scale in found]


def _check_temperature(row: Row) -> None:
    ((_, figure, scale),) = _temperatures(_prompt(row))
    size = SCALES[scale](Fraction(figure))
    told = _temperatures(EQUATION.sub(lambda match: match[3], row["output"]))
    method = re.match(r"(?:Multiply|Subtract|Add) .*?\d\.(?!\d)", row["output"])
    assert method is None or method[0] in METHODS
    _check_equations(row["output"])
    assert {one[2] for one in told} - {scale}
    for hedge, shown, target in told:
        slack = _precision(shown) if hedge else Fraction(0)
        low, high = (SCALES[target](_value(shown) + way * slack) for way in (-1, 1))
        assert low <= size <= high


# --- arithmetic ----------------------------------------------------------------------------------------------------


def _check_story(row: Row) -> None:
    """Every figure of the story is used, and every new figure is the result of an equation or named in words."""
    used = set(_numbers(row["output"]))
    results = {_value(right) for _, _, right in EQUATION.findall(row["output"])}
    in_words = {Fraction(n) for n in (2, 3, 5, 60)}
    assert results
    _check_equations(row["output"])
    assert set(_numbers(_prompt(row))) <= used
    assert used <= set(_numbers(_prompt(row))) | results | in_words
    assert _numbers(row["output"])[-1] in results


def _check_percentage(row: Row) -> None:
    prompt, output = _prompt(row), row["output"]
    _check_equations(output)
    stated = re.search(r"(\d+)(?:%| percent)", prompt)
    if stated is None:
        part, whole = sorted(_numbers(prompt))
        assert set(_numbers(output)) <= {part, whole, part / whole * 100, Fraction(100)}
        assert [_value(found) for found in re.findall(r"(\d+)%", output)] == [part / whole * 100]
        return
    percent = Fraction(stated[1])
    (base,) = _numbers(prompt.replace(stated[0], ""))
    sign = -1 if re.search("off|discount|reduce", prompt, re.IGNORECASE) else 1
    changed = sign < 0 or re.search("increase|grew|rise|charge", prompt, re.IGNORECASE)
    answer = base * (100 * bool(changed) + sign * percent) / 100
    assert _numbers(output)[-1] == answer
    steps = {base * percent / 100, base / 100, Fraction(100), Fraction(1)}
    assert set(_numbers(output)) <= {answer, percent, base} | steps


PLACES = {
    "million": "1000000",
    "thousand": "1000",
    "hundred": "100",
    "ten": "10",
    "whole": "1",
    "tenth": "0.1",
    "hundredth": "0.01",
}


def _check_rounding(row: Row) -> None:
    prompt, output = _prompt(row), row["output"]
    named = re.search(r"nearest (\w+)|multiples of ([\d,]+)", prompt)
    assert named
    step = Fraction(PLACES[named[1]]) if named[1] else _value(named[2])
    (value,) = _numbers(prompt.replace(named[0], ""))
    answer = _numbers(output)[-1]
    assert (answer / step).denominator == 1
    assert abs(answer - value) < step / 2
    assert ("up" in output) <= (answer > value)
    assert ("down" in output) <= (answer < value)
    assert set(_numbers(output)) <= {value, value // step * step, value // step * step + step}
    _check_bounds(output, value, step)


def _check_bounds(output: str, value: Fraction, step: Fraction) -> None:
    between = re.search(rf"between ({NUMBER}) and ({NUMBER})", output)
    if between:
        low, high = (_value(text) for text in between.groups())
        assert high - low == step
        assert low < value < high


def _follows(terms: list[Fraction]) -> bool:
    """Look for equal steps or factors, steps that grow evenly, cubes, or sums of the two terms before."""
    steps = [b - a for a, b in itertools.pairwise(terms)]
    growth = [b - a for a, b in itertools.pairwise(steps)]
    cubes = [Fraction(n**3) for n in range(1, len(terms) + 1)]
    sums = all(c == a + b for a, b, c in zip(terms, terms[1:], terms[2:], strict=False))
    return len({b / a for a, b in itertools.pairwise(terms)}) == 1 or len(set(growth)) == 1 or sums or terms == cubes


RULE = re.compile(r"(add|subtract|multiply by|divide by) ([\d.]+) each time")
GROWTH = re.compile(r"the step grows by (\d): add (\d), .*and so on")
OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply by": lambda a, b: a * b,
    "divide by": lambda a, b: a / b,
}


def _check_rule(output: str, terms: list[Fraction]) -> None:
    rule, growth = RULE.search(output), GROWTH.search(output)
    if rule:
        assert all(OPERATIONS[rule[1]](a, Fraction(rule[2])) == b for a, b in itertools.pairwise(terms))
    if growth:
        steps = [b - a for a, b in itertools.pairwise(terms)]
        assert steps == [int(growth[2]) + i * int(growth[1]) for i in range(len(steps))]
        assert _numbers(growth[0])[1:] == steps[: len(_numbers(growth[0])) - 1]
    if "square" in output:
        assert all(int(float(term) ** 0.5 + 0.5) ** 2 == term for term in terms)
    if "numbers before" in output:
        assert all(c == a + b for a, b, c in zip(terms, terms[1:], terms[2:], strict=False))


def _check_sequence(row: Row) -> None:
    (shown,) = re.findall(r"[\d.]+(?:, (?:[\d.]*\d|__))+", _prompt(row))
    rest = GROWTH.sub("", RULE.sub("", row["output"]))
    full = re.search(r"\d[\d.]*(?:, [\d.]*\d)+", rest)
    answers = re.findall(r"\d+(?:\.\d+)?", rest.replace(full[0], "") if full else rest)
    terms = full[0].split(", ") if full else shown.split(", ")
    if not full and answers:
        terms = [answers[0] if term == "__" else term for term in terms] + answers[:1] * ("__" not in terms)
    values = [Fraction(term) for term in terms]
    assert len(answers) <= 1
    assert all(a in ("__", b) for a, b in zip(shown.split(", "), terms, strict=False))
    assert full is None or all(answer in terms for answer in answers)
    assert _follows(values)
    _check_rule(row["output"], values)


# --- numerals ------------------------------------------------------------------------------------------------------

ROMAN_SIGNS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def _from_roman(numeral: str) -> int:
    assert ROMAN.fullmatch(numeral), numeral
    signs = [ROMAN_SIGNS[sign] for sign in numeral]
    return sum(-a if a < b else a for a, b in itertools.pairwise([*signs, 0]))


def _check_roman(row: Row) -> None:
    """Compare the numeral with the figure, and their parts where they are taken apart."""
    prompt = re.sub(r"\bI\b", "", _prompt(row))
    text = f"{prompt} {row['output']}"
    numerals = {_from_roman(found) for found in re.findall(r"\b[MDCLXVI]+\b", text)}
    figures = {int(found) for found in re.findall(r"\d+", text)}
    assert max(numerals) == max(figures)
    for values in (numerals, figures):
        assert sum(values - {max(values)}) in (0, max(values))
    assert bool(re.search(r"\d", prompt)) != bool(re.search(r"\b[MDCLXVI]{1,}\b", prompt))


WORD_VALUES = {
    word: value
    for words, start, step in (
        ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen", 0, 1),
        ("fifteen sixteen seventeen eighteen nineteen", 15, 1),
        ("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10),
    )
    for value, word in zip(itertools.count(start, step), words.split(), strict=False)
}
WORD_RUN = re.compile(rf"\b(?:{'|'.join([*WORD_VALUES, 'hundred', 'thousand', 'million'])})\b", re.IGNORECASE)


def _from_words(text: str) -> int:
    total = part = 0
    for word in WORD_RUN.findall(text.casefold()):
        if word == "hundred":
            part *= 100
        elif word in ("thousand", "million"):
            total, part = total + part * PLACES_OF[word], 0
        else:
            part += WORD_VALUES[word]
    return total + part


PLACES_OF = {"thousand": 1000, "million": 10**6}


def _check_words(row: Row) -> None:
    """Exactly one side of the pair spells the number, and both name the same one."""
    sides = (_prompt(row), row["output"])
    spelled = [_from_words(side) for side in sides if WORD_RUN.search(side)]
    figures = [_value(found) for side in sides for found in re.findall(NUMBER, side)]
    assert len(spelled) == 1
    assert set(figures) == {Fraction(spelled[0])}


# --- letters, order and days ---------------------------------------------------------------------------------------


def _times(text: str) -> int:
    found = re.search(r"\b(once|twice|(\d+) times)", text)
    if found is None:
        (number,) = re.findall(r"\d+", text)
        return int(number)
    return int(found[2] or {"once": 1, "twice": 2}[found[1]])


def _check_occurrences(row: Row, letter: str, word: str) -> None:
    count = word.count(letter)
    assert _times(row["output"]) == count
    if "My friend" in row["instruction"]:
        assert row["output"].startswith("Yes") == (_times(row["instruction"]) == count)


def _check_longer(output: str, words: list[str]) -> None:
    short, long = sorted(words, key=len)
    found = re.findall(r'"(\w+)"|(\d+)', output)
    assert [word.casefold() or number for word, number in found] == [long, str(len(long)), short, str(len(short))]


def _check_yes(row: Row, word: str) -> None:
    (squares,) = re.findall(r"\d+", row["instruction"])
    fits = int(squares) == len(word) if "exactly" in row["instruction"] else int(squares) >= len(word)
    assert row["output"].startswith("Yes") == fits


def _check_size(row: Row, word: str) -> None:
    """Count what the wording asks for: vowels, consonants or all letters."""
    vowels = [char for char in word if char in "aeiou"]
    rest = "".join(char for char in word if char not in "aeiou")
    ask = row["instruction"]
    size = len(rest) if re.search("consonants|Leave out", ask) else len(vowels) if "vowels" in ask else len(word)
    assert [int(n) for n in re.findall(r"\d+", row["output"])] == [size]
    assert ("List" not in ask) or row["output"].startswith(", ".join(vowels) + ".")
    assert ("Leave out" not in ask) or row["output"].endswith(f": {rest}.")
    assert ("Spell" not in ask) or row["output"].startswith("-".join(word.upper()) + ".")


def _check_letters(row: Row) -> None:
    prompt = _prompt(row)
    if "words" in prompt:
        sentence = re.search(r'"(.*)"', prompt)
        text = sentence[1] if sentence else row["input"]
        assert [int(n) for n in re.findall(r"\d+", row["output"])] == [len(text.split())]
        return
    quoted = re.findall(r'"(\w+)"', prompt)
    letters, words = [one for one in quoted if len(one) == 1], [one for one in quoted if len(one) > 1]
    if letters:
        _check_occurrences(row, letters[0], words[0])
    elif len(words) > 1:
        _check_longer(row["output"], words)
    else:
        if re.search("crossword|tiles", prompt):
            _check_yes(row, words[0])
        _check_size(row, words[0])


def _words_in(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text.casefold())


def _check_pair(row: Row) -> None:
    quoted = [one.casefold() for one in re.findall(r'"(\w+)"', row["instruction"])]
    if row["instruction"].startswith("Does"):
        side = "before" if quoted[0] < quoted[1] else "after"
        assert row["output"].casefold() == f'"{quoted[0]}" comes {side} "{quoted[1]}".'
        return
    low, high, guest = quoted
    assert low < high
    assert row["output"].startswith("Yes") == (low < guest < high)
    claims = re.findall(r'(before|after) "(\w+)"', row["output"])
    assert all((guest < host.casefold()) == (side == "before") for side, host in claims)


def _check_order(row: Row) -> None:
    prompt, output = _prompt(row), row["output"]
    if re.match("Does|Between", prompt):
        _check_pair(row)
        return
    listed = max(re.findall(r"\w+(?:, (?:and |or )?\w+)+", prompt), key=len)
    ranked = sorted(set(_words_in(listed)) - {"and", "or"})
    if re.search(r"first|last", prompt):
        named = [word for word in _words_in(output) if word in ranked]
        assert named == [ranked[-1] if "last" in prompt else ranked[0]]
        return
    answer = _words_in(output.rpartition(": ")[2])
    assert answer == (ranked[::-1] if re.search("Z to A|reverse", prompt) else ranked)


DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()


def _check_weekday(row: Row) -> None:
    prompt, output = _prompt(row), row["output"]
    (day,) = {found for found in re.findall("|".join(DAYS), prompt)}
    (count,) = re.findall(r"\d+", prompt)
    back = bool(re.search(r"ago|before| - |back", prompt))
    date = datetime.date(2024, 1, 1 + DAYS.index(day)) + datetime.timedelta(days=int(count) * (-1 if back else 1))
    assert re.findall("|".join(DAYS), output)[-1] == DAYS[date.weekday()]
    weeks, rest = divmod(int(count), 7)
    assert _numbers(output) in ([], [int(count), weeks, rest, rest])


def _check_neighbors(row: Row) -> None:
    named = [DAYS.index(found) for found in re.findall("|".join(DAYS), row["instruction"])]
    offset = {"What": 1, "The ": -2, "Yest": 2}[row["instruction"][:4]]
    told = re.findall("|".join(DAYS), row["output"])
    assert told == [DAYS[(named[0] + offset) % 7]]
    assert len(named) == 1 or (named[0] + 2) % 7 == named[1]


def _check_month(row: Row) -> None:
    (month,) = {found for found in re.findall("|".join(MONTHS), row["instruction"])}
    (count,) = re.findall(r"\d+", row["instruction"])
    assert re.findall(r"\d+", row["output"]) in ([], [count])
    ahead = int(count) * (-1 if "before" in row["instruction"] else 1)
    assert re.findall("|".join(MONTHS), row["output"])[0] == MONTHS[(MONTHS.index(month) + ahead) % 12]


def _check_dates(row: Row) -> None:
    """Count days between dates, or in whole months, of a year without a leap day."""
    found = re.findall(rf"({'|'.join(MONTHS)})(?: (\d+))?", row["instruction"])
    dates = [datetime.date(2023, MONTHS.index(month) + 1, int(day or 1)) for month, day in found]
    if found[0][1]:
        span = abs(dates[1] - dates[0]).days + ("both" in row["instruction"])
    else:
        following = [(date + datetime.timedelta(days=31)).replace(day=1) for date in dates]
        span = sum((end - start).days for start, end in zip(dates, following, strict=True))
    certain, _, leap = row["output"].partition(", or ")
    _check_equations(certain)
    assert _numbers(certain)[-1] == span
    assert leap == ("29 in a leap year." if found[0] == ("February", "") and len(found) == 1 else "")


def _check_days(row: Row) -> None:
    prompt = _prompt(row)
    if re.search("|".join(DAYS), prompt):
        (_check_weekday if re.search(r"\d", prompt) else _check_neighbors)(row)
    else:
        (_check_month if re.search(r"\d+ months", prompt) else _check_dates)(row)


CHECKS: dict[str, Callable[[Row], None]] = {
    **dict.fromkeys(UNITS, _check_conversion),
    "temperature-conversion": _check_temperature,
    "arithmetic-word-problem": _check_story,
    "percentage": _check_percentage,
    "rounding": _check_rounding,
    "number-sequence": _check_sequence,
    "roman-numeral": _check_roman,
    "number-in-words": _check_words,
    "letter-count": _check_letters,
    "alphabetical-order": _check_order,
    "day-arithmetic": _check_days,
}


def _passes(row: Row) -> bool:
    try:
        CHECKS[row["family"]](row)
    except (AssertionError, ValueError, KeyError):
        return False
    return True


@pytest.mark.parametrize("family", CHECKS)
def test_figures(family: str) -> None:
    """Every answer that can be worked out is right."""
    rows = [row for row in COMPUTED if row["family"] == family]
    assert rows
    assert not [row for row in rows if not _passes(row)]


@pytest.mark.parametrize("family", CHECKS)
def test_checks_notice_a_wrong_figure(family: str) -> None:
    """Changing any one figure of an answer must be caught; otherwise the checks prove nothing."""
    for row in (row for row in COMPUTED if row["family"] == family):
        for figure in re.finditer(NUMBER, row["output"]):
            start, end = figure.span()
            wrong = f"{row['output'][:start]}{int(_value(figure[0])) + 2}{row['output'][end:]}"
            assert not _passes(row | {"output": wrong}), wrong
