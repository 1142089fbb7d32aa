"""Figures of parts of the test set: by language, length, input, leak, task, or any field of the data. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.align import VariantScores, align, lay_out
from harness.board import cell_scores
from harness.compare import CompareInputs, marked_measures, wanted_primary
from harness.contrast import Testing, measured
from harness.errors import HarnessError
from harness.records.data import Example
from harness.records.result import CellScore, MeasureInfo
from harness.stats.corpus import CorpusScore

FIELDS = ("language", "length", "input", "leaked", "task")
"""Slices of any data set; a field of the data that bears one of these names is not seen."""
MOST_SLICES = 20
"""Values of a field shown by themselves; the rarer ones are taken together."""
RESAMPLES = 2_000
"""Of the bootstrap behind a corpus figure's interval."""
OTHERS, NO_VALUE = "(others)", "(none)"


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the test items; `scores` in the order of the table's cells."""

    value: str
    scores: tuple[CellScore, ...]


@dataclass(frozen=True, slots=True)
class SliceTable:
    """One measure by one field. `cells`: names of the columns; the first slice is the whole test set."""

    field: str
    measure: MeasureInfo
    cells: tuple[str, ...]
    slices: tuple[Slice, ...]


def slice_table(inputs: CompareInputs, measure: str, field: str, values: Mapping[str, str]) -> SliceTable:
    """One measure by the `values` of a field (example id -> value), slices in the order of `values`.

    An interval is that of the widest scope that the data allow, as on the leaderboard, and where the judge stopped when
    it was decided, one that holds whenever it stops.
    """
    info = next(each for each in marked_measures(inputs)[0] if each.name == measure)
    groups: dict[str, set[str]] = {}
    for example_id, value in values.items():
        groups.setdefault(value, set()).add(example_id)
    parts = [("all", set(values)), *groups.items()]
    return SliceTable(
        field,
        info,
        tuple(cell.name for cell in lay_out(inputs.variants).cells),
        tuple(Slice(value, _scores(inputs, info, ids)) for value, ids in parts),
    )


def _scores(inputs: CompareInputs, info: MeasureInfo, ids: Collection[str]) -> tuple[CellScore, ...]:
    """Each cell's score over these items."""
    layout = lay_out(_only(each, info.name, ids) for each in inputs.variants)
    corpus: CorpusScore | None = inputs.corpus_scores.get(info.name) if info.corpus else None
    settings, sequential = inputs.settings, inputs.sequential.get(info.name)
    decides = info.primary and info.name == wanted_primary(inputs)
    testing = Testing(settings.alpha, RESAMPLES, settings.seed, seed_sd=settings.seed_sd if decides else None)
    aligned = align(layout, info, inputs.clusters, stopped=sequential is not None)
    return cell_scores(measured(info, aligned, corpus, testing, sequential))


def _only(scores: VariantScores, measure: str, ids: Collection[str]) -> VariantScores:
    return replace(
        scores,
        metrics={measure: [row for row in scores.metrics.get(measure, ()) if row.example_id in ids]},
        judgments={measure: [row for row in scores.judgments.get(measure, ()) if row.example_id in ids]},
    )


# ---------------------------------------------------------------- which item is in which slice


def slice_values(
    tests: Sequence[Example], field: str, languages: Mapping[str, str], leaked: Collection[str]
) -> dict[str, str]:
    """Example id -> its value of the field, the commonest values first; bands of length from short to long.

    Raises HarnessError for a field that no test example has, or of which each has a value of its own.
    """
    match field:
        case "language":
            found = {example.id: languages[example.id] for example in tests}
        case "length":
            return _bands(tests)
        case "input":
            found = {example.id: "with input" if example.input.strip() else "without input" for example in tests}
        case "leaked":
            found = {example.id: "stands in train" if example.id in leaked else "new" for example in tests}
        case "task":
            found = {example.id: _first_word(example.instruction) for example in tests}
        case _:
            found = _of_data(tests, field)
    frequency = Counter(found.values())
    common = {value for value, _ in frequency.most_common(MOST_SLICES)}
    named = {example_id: value if value in common else OTHERS for example_id, value in found.items()}
    return dict(sorted(named.items(), key=lambda pair: (pair[1] == OTHERS, -frequency[pair[1]], pair[1])))


def _first_word(instruction: str) -> str:
    """What an English instruction asks for, roughly: its verb (as Self-Instruct groups tasks, arXiv 2212.10560)."""
    return next(iter(re.findall(r"\w+", instruction)), NO_VALUE).casefold()


def _of_data(tests: Sequence[Example], field: str) -> dict[str, str]:
    found = {example.id: example.meta.get(field, NO_VALUE) for example in tests}
    different = set(found.values())
    if different == {NO_VALUE}:
        known = sorted({name for example in tests for name in example.meta})
        raise HarnessError(f"no test example has the field {field!r}", where="--slice", hint=_fields(known))
    if len(different) == len(tests) > 1:
        raise HarnessError(
            f"every test example has its own {field!r}", where="--slice", hint="a slice needs items that agree in it"
        )
    return found


def _fields(known: Sequence[str]) -> str:
    return "slices: " + ", ".join((*FIELDS, *known))


def _bands(tests: Sequence[Example]) -> dict[str, str]:
    """Thirds by the length of the reference in characters; equal lengths fall into one band."""
    ordered = sorted(tests, key=lambda example: (len(example.output), example.id))
    lengths = [len(example.output) for example in ordered]
    ends = (
        sorted({lengths[(len(lengths) * third) // 3 - 1] for third in (1, 2, 3)}) if len(lengths) >= 3 else lengths[-1:]
    )
    starts = [0, *(end + 1 for end in ends[:-1])]
    names = [f"reference of {start}–{end} characters" for start, end in zip(starts, ends, strict=True)]
    return {
        example.id: next(name for name, end in zip(names, ends, strict=True) if len(example.output) <= end)
        for example in ordered
    }
