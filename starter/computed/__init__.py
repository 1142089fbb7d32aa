"""The computed entries of the English starter set: one generator a family, fed by the hand-written tables.

Every generator offers more entries than are needed, in an order that alternates between the kinds of wording,
so that the builder can drop those that come too near to another prompt and still keep a varied family.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml

from computed.arithmetic import number_sequences, percentages, roundings, word_problems
from computed.conversions import (
    length_conversions,
    mass_conversions,
    temperature_conversions,
    time_conversions,
    volume_conversions,
)
from computed.days import day_arithmetic
from computed.numerals import numbers_in_words, roman_numerals
from computed.wording import Entry, Table, Tables
from computed.words import (
    alphabetical_orders,
    antonyms,
    capital_cities,
    comparatives,
    element_symbols,
    letter_counts,
    past_tenses,
    plurals,
)


def read_tables(folder: Path) -> dict[str, Table]:
    """Read every table as plain strings, so that YAML never takes `No` for a truth value or 2.50 for a float."""
    paths = sorted(folder.glob("*.yaml"))
    return {path.stem: yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader) for path in paths}  # noqa: S506


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
