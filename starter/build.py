"""Build the starter data sets from the written and the computed entries, or check the committed ones.

Run `python starter/build.py` to write harness/data/starter-en.jsonl and starter-zh.jsonl, or add `--check` to learn
whether the committed files are what would be written. Nothing is written as long as a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from computed import FAMILIES, read_tables

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "harness" / "data"
SEED = 20240501
PER_FAMILY = 25
MIN_FAMILIES = 40
MAX_OUTPUT = 80
KEYS = ("instruction", "input", "output", "family")

Row = dict[str, str]


class Language(NamedTuple):
    """What differs between the two sets."""

    name: str
    sources: tuple[str, ...]
    gram: int
    limit: float


ENGLISH = Language("en", ("en-a.jsonl", "en-b.jsonl"), 5, 0.7)
CHINESE = Language("zh", ("zh.jsonl",), 2, 0.6)


def prompt_of(row: Row) -> str:
    """Give what two entries are compared by."""
    return " ".join(f"{row['instruction']}\n{row['input']}".casefold().split())


class Prompts:
    """The prompts so far, found again by their character n-grams through an inverted index."""

    def __init__(self, gram: int) -> None:
        self.gram = gram
        self.texts: list[str] = []
        self.sizes: list[int] = []
        self.holders: defaultdict[str, list[int]] = defaultdict(list)

    def _grams(self, text: str) -> set[str]:
        return {text[i : i + self.gram] for i in range(max(1, len(text) - self.gram + 1))}

    def nearest(self, text: str) -> tuple[float, str]:
        """Return the highest Jaccard similarity to any prompt so far, and that prompt."""
        grams = self._grams(text)
        shared = Counter(holder for gram in sorted(grams) for holder in self.holders[gram])
        scores = ((n / (len(grams) + self.sizes[holder] - n), self.texts[holder]) for holder, n in shared.items())
        return max(scores, default=(0.0, ""))

    def add(self, text: str) -> None:
        """Remember a prompt."""
        grams = self._grams(text)
        for gram in sorted(grams):
            self.holders[gram].append(len(self.texts))
        self.texts.append(text)
        self.sizes.append(len(grams))


def _length(output: str, language: Language) -> int:
    """Count words, or characters for Chinese, which writes no spaces."""
    return len(output.split()) if language is ENGLISH else len("".join(output.split()))


def _has_control(text: str) -> bool:
    """Line breaks are the one control character that an input or a list may need."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in text if char != "\n")


def _own_faults(row: Row, language: Language) -> list[str]:
    """Name the rules that an entry breaks by itself."""
    if tuple(sorted(row)) != tuple(sorted(KEYS)) or not all(isinstance(value, str) for value in row.values()):
        return [f"not a JSON object with just the keys {', '.join(KEYS)}, all strings"]
    broken = {f"empty {key}": not row[key].strip() for key in ("instruction", "output", "family")}
    broken[f"output over {MAX_OUTPUT} words"] = _length(row["output"], language) > MAX_OUTPUT
    broken["control character"] = any(_has_control(value) for value in row.values())
    return [fault for fault, holds in broken.items() if holds]


def _faults(row: Row, prompts: Prompts, language: Language) -> list[str]:
    """Name every rule that an entry breaks by itself or against the prompts so far."""
    own = _own_faults(row, language)
    if own:
        return own
    text = prompt_of(row)
    score, other = prompts.nearest(text)
    if text == other:
        return ["equal to an earlier prompt"]
    return [f"similarity {score:.2f} to: {other}"] if score >= language.limit else []


def _parsed(line: str) -> Row:
    """Read one line; what is no JSON object becomes an empty one, so that the rules report it with its place."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return row if isinstance(row, dict) else {}


def _read(source: Path) -> list[tuple[str, Row]]:
    """Read one file of written entries, each with its place for messages; a missing file counts as empty."""
    lines = source.read_text("utf-8").splitlines() if source.exists() else []
    return [(f"{source.name}:{number}", _parsed(line)) for number, line in enumerate(lines, 1) if line.strip()]


def _written(language: Language, prompts: Prompts) -> tuple[list[Row], list[str]]:
    """Take every written entry as it is, and list the rules broken."""
    rows, problems = [], []
    for name in language.sources:
        for place, row in _read(HERE / "written" / name):
            faults = _faults(row, prompts, language)
            problems += [f"{place}: {fault}" for fault in faults]
            if not faults:
                prompts.add(prompt_of(row))
                rows.append({key: row[key] for key in KEYS} | {"origin": "written"})
    return rows, problems


def _computed(prompts: Prompts) -> list[Row]:
    """Take the first entries of each family that keep the rules."""
    tables = read_tables(HERE / "tables")
    rows: list[Row] = []
    for family, generate in FAMILIES.items():
        taken = 0
        for entry in generate(random.Random(f"{SEED} {family}"), tables):
            row = dict(entry._asdict())
            if taken < PER_FAMILY and not _faults(row, prompts, ENGLISH):
                taken += 1
                prompts.add(prompt_of(row))
                rows.append(row | {"origin": "computed"})
    return rows


def _set_problems(rows: Sequence[Row]) -> list[str]:
    """Check the rules about the English set as a whole."""
    families = Counter(row["family"] for row in rows)
    computed = Counter(row["family"] for row in rows if row["origin"] == "computed")
    short = [name for name in FAMILIES if computed[name] < PER_FAMILY]
    problems = [f"computed family {name}: {computed[name]} entries instead of {PER_FAMILY}" for name in short]
    if len(families) < MIN_FAMILIES:
        problems.append(f"only {len(families)} English families, {MIN_FAMILIES} are needed")
    if 2 * computed.total() > len(rows):
        problems.append(f"{computed.total()} of {len(rows)} English entries are computed, more than half")
    return problems


def _spread(rows: Iterable[Row], seed: str) -> list[Row]:
    """Shuffle, and space the entries of a family evenly, so that a cut in file order leaves each family on both sides.

    Entry k of n stands at (k + u) / n of the file, so that a tenth of the file holds every family of more than ten.
    """
    rng = random.Random(seed)
    families: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        families[row["family"]].append(row)
    placed = []
    for name in sorted(families):
        members = rng.sample(families[name], len(families[name]))
        start = rng.random()
        placed += [((k + start) / len(members), name, member) for k, member in enumerate(members)]
    return [row for _, _, row in sorted(placed, key=lambda item: item[:2])]


def _text(rows: Iterable[Row], language: Language) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _spread(rows, f"{SEED} {language.name}"))


def _built() -> tuple[dict[Path, str], list[str]]:
    """Return what each file should hold, and all broken rules."""
    english, chinese = Prompts(ENGLISH.gram), Prompts(CHINESE.gram)
    rows_en, problems = _written(ENGLISH, english)
    rows_zh, problems_zh = _written(CHINESE, chinese)
    rows_en += _computed(english)
    problems += problems_zh + _set_problems(rows_en)
    texts = {"starter-en.jsonl": _text(rows_en, ENGLISH), "starter-zh.jsonl": _text(rows_zh, CHINESE)}
    return {TARGET / name: text for name, text in texts.items()}, problems


def _difference(path: Path, wanted: str) -> list[str]:
    """Say where a committed file departs from what would be written."""
    if not path.exists():
        return [f"{path.name}: missing"]
    have, want = path.read_text("utf-8").splitlines(), wanted.splitlines()
    if path.read_bytes() == wanted.encode():
        return []
    first = next((i for i, (a, b) in enumerate(zip(have, want, strict=False)) if a != b), min(len(have), len(want)))
    lines = [f"{path.name}: {len(have)} lines, should be {len(want)}; first difference in line {first + 1}"]
    return lines + [f"  {sign} {side[first]}" for sign, side in (("have", have), ("want", want)) if first < len(side)]


def _complain(heading: str, lines: Sequence[str]) -> int:
    sys.stderr.write("\n".join([heading, *lines]) + "\n")
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or check; the exit status tells whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the committed files")
    check = parser.parse_args(arguments).check
    texts, problems = _built()
    if problems:
        return _complain(f"{len(problems)} rules broken:", problems)
    if check:
        differing = [line for path, text in texts.items() for line in _difference(path, text)]
        return _complain("The committed files are not what the builder would write:", differing) if differing else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{path.name}: {len(text.splitlines())} entries\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
