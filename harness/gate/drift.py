"""What differs between a baseline and a candidate: what makes them incomparable, and what the recipe changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import SpecError
from harness.records.base import Record
from harness.records.baseline import JudgeTerms, Snapshot, SnapshotMeasure
from harness.records.inputs import DataInput
from harness.spec.reading import parse_spec

SHOWN = 3
"""Ids that a message names."""
_WORDS = {"yes": "on", "no": "off", "True": "on", "False": "off"}


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference that makes scores incomparable. `measures`: whose; None for all."""

    text: str
    measures: frozenset[str] | None = None

    def touches(self, measure: str) -> bool:
        """Whether that measure can no longer be compared."""
        return self.measures is None or measure in self.measures


def drift(baseline: Snapshot, candidate: Snapshot) -> list[Drift]:
    """Every such difference: items, metric signatures, judges."""
    found = [Drift(text) for text in item_changes(baseline.items, candidate.items)]
    return found + measure_drift(baseline, candidate.measures, candidate.judges)


def item_changes(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """In words, where the test items are not the same; an item is known by its content."""
    gone, new = (sorted(set(a) - set(b)) for a, b in ((before, now), (now, before)))
    if gone or new:
        parts = [f"{len(ids)} {word} ({some(ids)})" for word, ids in (("gone", gone), ("new", new)) if ids]
        yield f"test items changed: {', '.join(parts)}; {len(set(before) & set(now))} of {len(before)} are left"


def some(ids: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")


def measure_drift(baseline: Snapshot, measures: Sequence[SnapshotMeasure], judges: Sequence[JudgeTerms]) -> list[Drift]:
    """Differences of the instruments, for the measures that both sides have."""
    now = {each.info.name: each for each in measures}
    terms_before, terms_now = ({each.name: each for each in side} for side in (baseline.judges, judges))
    found = []
    for before in baseline.measures:
        name = before.info.name
        if name not in now:
            continue
        if not before.judges and not now[name].judges:
            texts = list(signature_changes(name, before.info.signature, now[name].info.signature))
        else:
            texts = list(_judged_changes(name, before, now[name], terms_before, terms_now))
        found += [Drift(text, frozenset({name})) for text in texts]
    return found


def signature_changes(name: str, before: str, now: str) -> Iterator[str]:
    """`rougeL signature changed: stemmer on → off`, field by field."""
    if before == now:
        return
    old, new = _fields(before), _fields(now)
    changes = [
        f"{key} {_word(old.get(key))} → {_word(new.get(key))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    yield f"{name} signature changed: {', '.join(changes)}"


def _fields(signature: str) -> dict[str, str]:
    """`rouge-score 0.1.2|stemmer:yes` by field; the text before a colon or the last space names it."""
    fields = {}
    for part in signature.split("|"):
        key, colon, value = part.partition(":")
        if not colon:
            key, _, value = part.rpartition(" ")
        fields[key or part] = value
    return fields


def _word(value: str | None) -> str:
    return "nothing" if value is None else _WORDS.get(value, value)


def _judged_changes(
    name: str,
    before: SnapshotMeasure,
    now: SnapshotMeasure,
    terms_before: Mapping[str, JudgeTerms],
    terms_now: Mapping[str, JudgeTerms],
) -> Iterator[str]:
    if before.judges != now.judges:
        yield f"{name} changed: judged by {' and '.join(before.judges) or 'nobody'} → {' and '.join(now.judges)}"
        return
    old, new = (each.info.signature.split(" of ")[0] for each in (before, now))
    if len(before.judges) > 1 and old != new:
        yield f"{name} changed: combined by {old} → {new}"
    for judge in before.judges:
        yield from judge_changes(terms_before[judge], terms_now[judge])


def judge_changes(before: JudgeTerms, now: JudgeTerms) -> Iterator[str]:
    """What makes a judge another instrument: model, rubric, parser, options, how many items and how often."""
    who = f"judge {before.name}"
    if (before.backend, before.model_identity) != (now.backend, now.model_identity):
        named = [f"{each.backend} {each.model}" for each in (before, now)]
        same = named[0] == named[1]
        shown = [each.model_identity[-16:] for each in (before, now)] if same else named
        yield f"{who}: model{' content' if same else ''} changed: {shown[0]} → {shown[1]}"
    if before.prompt_sha256 != now.prompt_sha256:
        if before.rubric == now.rubric:
            digests = f"{before.prompt_sha256[:8]} → {now.prompt_sha256[:8]}"
            yield f"{who}: the text of rubric {now.rubric} changed: {digests}"
        else:
            yield f"{who}: rubric changed: {before.rubric} → {now.rubric}"
    elif before.parser_sha256 != now.parser_sha256:
        yield f"{who}: how replies are read changed: {before.parser_sha256[:8]} → {now.parser_sha256[:8]}"
    plain = ("options", "expected_score", "items", "repeats", "against")
    for text in differences(before, now, plain):
        yield f"{who}: {text}"


# ---------------------------------------------------------------- the recipe


def recipe_changes(baseline: Snapshot, candidate: Snapshot) -> tuple[str, ...]:
    """What was changed on purpose: settings of the matrix file, and the bytes of the data."""
    return (
        *spec_changes(baseline.matrix_yaml, candidate.matrix_yaml),
        *data_changes(baseline.data, candidate.data),
    )


NOT_THE_RECIPE = frozenset({"name", "judges", "panels", "metrics", "compare", "track"})
"""Keys of a matrix that say how it is measured, not what is made."""


def spec_changes(before: str, now: str) -> Iterator[str]:
    """`train.lr: 5e-05 → 0.001` for every setting of the recipe that differs between two matrix files."""
    try:
        old, new = parse_spec(before, "the baseline's matrix"), parse_spec(now, "the matrix")
    except SpecError:  # a key that has gone since then
        yield "the baseline's matrix file is of another version of the program: its settings cannot be compared"
        return
    yield from differences(old, new, [key for key in type(new).model_fields if key not in NOT_THE_RECIPE])


def data_changes(before: DataInput, now: DataInput) -> Iterator[str]:
    """In words, where the sources' bytes are not the same; settings of the split are the matrix file's."""
    old, new = ([each.identity[:12] for each in side.sources] for side in (before, now))
    if old != new:
        yield f"data: content {', '.join(old)} → {', '.join(new)}"


def differences(before: Record, now: Record, keys: Collection[str]) -> Iterator[str]:
    """`key.inner: old → new` for every leaf that differs below these keys."""
    old, new = (record.model_dump(mode="json", include=set(keys)) for record in (before, now))
    for place, a, b in leaves_apart(old, new):
        yield f"{place}: {spoken(a)} → {spoken(b)}"


def leaves_apart(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted place, old, new) of every difference; lists differ as a whole."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from leaves_apart(before.get(key), now.get(key), f"{place}.{key}" if place else str(key))
    elif before != now:
        yield place, before, now


def spoken(value: Any) -> str:
    """A setting's value in a message."""
    if isinstance(value, list):
        return f"[{', '.join(map(spoken, value))}]"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
