"""Words: their forms, opposites, order and letters; capitals and symbols."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from computed.wording import VOWELS, Entry, Fact, T, Table, Tables, assemble, fill, listed, shuffled

ROUNDS = 40


def _batches(rng: random.Random, items: Sequence[T], *sizes: int) -> Iterator[list[T]]:
    """Random groups of the given sizes in turn."""
    for size in itertools.islice(itertools.cycle(sizes), ROUNDS):
        yield rng.sample(items, size)


def _side_by_side(names: Sequence[str], columns: Iterable[Sequence[str]]) -> Fact:
    """Name each column as a plain list and, with `_and`, as a list in prose."""
    fact: Fact = {}
    for name, column in zip(names, columns, strict=True):
        fact |= {name: ", ".join(column), f"{name}_and": listed(column)}
    return fact


def _word_lists(rng: random.Random, rows: Sequence[Sequence[str]], *names: str) -> Iterator[Fact]:
    """Three or four table rows at a time, read column by column."""
    for batch in _batches(rng, rows, 3, 4):
        yield _side_by_side(names, zip(*batch, strict=True))


def _noun_gap(word: str, plural: str, gap: str) -> Fact:
    return {"word": word, "plural": plural, "gap": gap.replace("____", f"____ ({word})"), "full": fill(gap, plural)}


def plurals(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Regular and irregular nouns."""
    table = tables["plural"]
    rows = [(word, plural, group["rule"]) for group in table["groups"] for word, plural in group["words"].items()]
    plural_of = {word: plural for word, plural, _ in rows}
    ones = [{"word": word, "plural": plural, "rule": rule} for word, plural, rule in shuffled(rng, rows)]
    frames = [_noun_gap(word, plural_of[word], gap) for word, gap in shuffled(rng, table["frames"].items())]
    singular = [fact for fact in ones[::-1] if fact["word"] != fact["plural"]]
    lists = _word_lists(rng, [row[:2] for row in rows], "words", "plurals")
    return assemble("plural", table, one=ones, list=lists, frame=frames, singular=singular[:6])


def _verb(base: str, past: str, sentence: str) -> Fact:
    regular = past.endswith("ed")
    return {
        "base": base,
        "past": past,
        "gap": sentence,
        "present": fill(sentence, base),
        "full": fill(sentence, past),
        "regular": "yes, it is regular" if regular else "no, it is irregular",
        "tags": "" if regular or base == past else "irregular",
    }


def past_tenses(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Regular and irregular verbs, alone and in sentences."""
    table = tables["past-tense"]
    facts = [_verb(*row) for row in shuffled(rng, table["verbs"])]
    lists = _word_lists(rng, [row[:2] for row in table["verbs"]], "bases", "pasts")
    return assemble("past-tense", table, one=facts, frame=facts[::-1], list=lists, base=facts[3:16])


def _antonym(rng: random.Random, row: Sequence[str], others: Sequence[str]) -> Fact:
    word, opposite, sentence = row
    options = shuffled(rng, [opposite, *rng.sample(others, 2)])
    return {
        "word": word,
        "opposite": opposite,
        "count": str(len(opposite)),
        "sentence": fill(sentence, word),
        "other": fill(sentence, opposite),
        "options": listed(options, "or"),
        "options_list": f"{word}: {', '.join(options)}",
    }


def _unrelated(pair: Sequence[str], table: Table) -> list[str]:
    """List the words that cannot be taken for an opposite, so that a choice has one right answer."""
    near = {word for group in table["groups"] if not set(group).isdisjoint(pair) for word in group} | set(pair)
    return [word for row in table["pairs"] for word in row[:2] if word not in near]


def antonyms(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Opposites alone, to be chosen, in lists and in sentences."""
    table = tables["antonym"]
    turned = [rng.choice((row, [row[1], row[0], row[2]])) for row in shuffled(rng, table["pairs"])]
    facts = [_antonym(rng, row, _unrelated(row[:2], table)) for row in turned]
    lists = _word_lists(rng, [row[:2] for row in table["pairs"]], "words", "opposites")
    return assemble("antonym", table, one=facts, frame=facts[::-1], list=lists, choice=facts[10:22])


def _comparative(rng: random.Random, word: str, more: str, most: str, sentence: str) -> Fact:
    """Include the form a learner is likely to get wrong."""
    wrong = word + ("r" if word.endswith("e") else "er") if more.startswith("more ") else f"more {word}"
    tags = "" if word in ("many", "little") else "adjective"
    texts = {"word": word, "more": more, "most": most, "wrong": wrong, "tags": tags}
    choice = listed(shuffled(rng, (f'"{wrong}"', f'"{more}"')), "or")
    return texts | {"choice": choice, "gap": sentence, "full": fill(sentence, more)}


def comparatives(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Degrees of adjectives, alone, in lists and in sentences."""
    table = tables["comparative"]
    rows = table["adjectives"]
    facts = [_comparative(rng, *row) for row in shuffled(rng, rows)]
    lists = _word_lists(rng, [row[:3] for row in rows], "words", "mores", "mosts")
    return assemble("comparative", table, one=facts, frame=facts[::-1], list=lists)


def _capital_city(rng: random.Random, row: Sequence[str], rows: Sequence[Sequence[str]]) -> Fact:
    """Take the wrong answers from the same continent, so that they are worth thinking about."""
    country, city, continent = row
    near = [other for other in rows if other[2] == continent and other[0] != country]
    strangers = rng.sample(near, 2)
    options = listed(shuffled(rng, [country, strangers[0][0], strangers[1][0]]), "or")
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
    facts = [_capital_city(rng, row, rows) for row in shuffled(rng, rows)]
    return assemble("capital-city", table, capital=facts, country=facts[::-1], list=_capital_lists(rng, rows))


def element_symbols(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Symbols, names, atomic numbers and the origin of odd symbols."""
    table = tables["element-symbol"]
    rows = table["elements"]
    facts = [{"name": name, "symbol": symbol, "number": number} for name, symbol, number in shuffled(rng, rows)]
    origins = [fact | {"origin": table["origins"][fact["name"]]} for fact in facts if fact["name"] in table["origins"]]
    lists = _word_lists(rng, [row[:2] for row in rows], "names", "symbols")
    return assemble("element-symbol", table, symbol=facts, name=facts[::-1], list=lists, origin=origins)


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
        "mixed_and": listed(words),
        "mixed_or": listed(words, "or"),
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
    for (name, members), size in zip(itertools.cycle(shuffled(rng, categories.items())), itertools.cycle(sizes)):
        words = rng.sample(members, size)
        if sorted(words) not in (words, words[::-1]):
            yield _order(name, words)


def alphabetical_orders(rng: random.Random, tables: Tables) -> Iterator[Entry]:
    """Offer lists to be sorted either way, and single words to be placed."""
    table = tables["alphabetical-order"]
    sizes = {"sort": (4, 5, 3, 6), "reverse": (4, 3), "ends": (3, 4, 5), "pair": (3,)}
    kinds = {kind: itertools.islice(_orders(rng, table["categories"], *row), ROUNDS) for kind, row in sizes.items()}
    return assemble("alphabetical-order", table, **kinds)


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
    words = shuffled(rng, table["words"])
    facts = [_letters(rng, word) for word in words]
    pairs = (_longer(one, two) for one, two in _batches(rng, words, 2) if len(one) != len(two))
    phrases = [{"phrase": phrase, "size": str(len(phrase.split()))} for phrase in table["phrases"]]
    repeated = [fact for fact in facts if fact["count"] != "1"]
    kinds = {"letters": facts, "letter": repeated, "vowels": facts[::-1], "longer": pairs, "consonants": facts[9:]}
    return assemble("letter-count", table, **kinds, phrase=phrases)
