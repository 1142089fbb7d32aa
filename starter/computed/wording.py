"""Sentences of an entry from a table's wordings and the facts that fill them."""

from __future__ import annotations

import itertools
import random
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Table = dict[str, Any]
Tables = Mapping[str, Table]
Fact = dict[str, str]
Wording = dict[str, str]


class Entry(NamedTuple):
    """One prompt with its answer."""

    instruction: str
    input: str
    output: str
    family: str


SILENT_H = ("honest", "hour")
VOWELS = "aeiou"


def _capital(text: str) -> str:
    """Upper-case the first letter only, because `str.capitalize` would flatten names further on."""
    return text[:1].upper() + text[1:]


def listed(items: Sequence[str], word: str = "and") -> str:
    """Join as English prose does, with the serial comma."""
    *most, last = items
    return f"{', '.join(most)}{',' if most[1:] else ''} {word} {last}"


def fill(sentence: str, word: str) -> str:
    """Put the word into the gap and let a preceding article follow its first sound."""
    article = "an" if word[0] in VOWELS or word.startswith(SILENT_H) else "a"
    return _capital(re.sub(r"\ban? ____", f"{article} ____", sentence, flags=re.IGNORECASE).replace("____", word))


def phrase(family: str, wording: Wording, fact: Fact) -> Entry:
    """Fill a wording; an upper-cased field name asks for the value as it opens a sentence."""
    fields = fact | {_capital(key): _capital(value) for key, value in fact.items() if key[0].islower()}
    instruction, given, output = (wording.get(key, "").format_map(fields) for key in ("instruction", "input", "output"))
    return Entry(instruction, given, output, family)


def told(family: str, wordings: Iterable[Wording], facts: Iterable[Fact]) -> Iterator[Entry]:
    """Give each fact the suitable wording that has rested longest, so that none is worn out."""
    rested = deque(wordings)
    for fact in facts:
        tags = set(fact.get("tags", "").split())
        wording = next((one for one in rested if set(one.get("only", "").split()) <= tags), None)
        if wording is not None:
            rested.remove(wording)
            rested.append(wording)
            yield phrase(family, wording, fact)


def mixed(*streams: Iterator[Entry]) -> Iterator[Entry]:
    """Alternate between the streams until all are used up."""
    for row in itertools.zip_longest(*streams):
        yield from (entry for entry in row if entry is not None)


def assemble(name: str, table: Table, /, **facts: Iterable[Fact]) -> Iterator[Entry]:
    """Phrase the facts of each kind with the wordings of the same name, kinds in turn."""
    return mixed(*(told(name, table["wordings"][kind], rows) for kind, rows in facts.items()))


def shuffled(rng: random.Random, items: Iterable[T]) -> list[T]:
    pool = list(items)
    return rng.sample(pool, len(pool))
