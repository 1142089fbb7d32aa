"""Roman numerals, and numbers in words."""

from __future__ import annotations

import random
from collections.abc import Iterator

from computed.numbers import plain_number
from computed.wording import Entry, Fact, Tables, assemble, shuffled

FIRST_FILM = 1900
ROMAN_DIGITS = (("", "M", "MM", "MMM"),) + tuple(
    ("", a, a * 2, a * 3, a + b, b, b + a, b + a * 2, b + a * 3, a + c)
    for a, b, c in (("C", "D", "M"), ("X", "L", "C"), ("I", "V", "X"))
)
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
SMALL_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()


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
    numbers = [_roman(number) for number in shuffled(rng, table["numbers"])]
    half = len(numbers) // 2
    kinds = {key: [_roman(number) for number in shuffled(rng, table[key])] for key in ("years", "small", "kings")}
    return assemble("roman-numeral", table, to=numbers[:half], **{"from": numbers[half:]}, **kinds)


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
        [{"digits": plain_number(int(number)), "words": _words(int(number))} for number in shuffled(rng, table[key])]
        for key in ("numbers", "sums")
    )
    half = len(numbers) // 2
    return assemble("number-in-words", table, to=numbers[:half], **{"from": numbers[half:]}, sums=sums)
