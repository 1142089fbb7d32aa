"""A finished matrix of the store, compared again: other measure, other margin, one pair of cells."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from math import inf
from pathlib import Path

from harness.compare import CompareInputs, compare, marked_measures, wanted_primary
from harness.errors import HarnessError
from harness.evidence import gather
from harness.lineage import lost
from harness.records.inputs import StageKey, StageName
from harness.records.plan import Plan
from harness.records.result import Comparison, Interval, Result, TestResult, Verdict
from harness.spec.matrix import MatrixSpec
from harness.spec.reading import load_spec
from harness.store import MatrixRun, Store

NOT_COMPARED: frozenset[StageName] = frozenset({"base", "tokens", "train"})
"""Stages without which a run can still be compared again: their weights may have been deleted to save space."""


def find_matrix(store: Store, wanted: str) -> MatrixRun:
    """The newest run of that matrix, finished or not, by name, folder name or matrix file. Raises HarnessError.

    A file stands for what is in it now: not for another state of it, nor for another matrix of that name.
    """
    spec = load_spec(Path(wanted)) if wanted.endswith((".yaml", ".yml")) else None
    name, runs = spec.name if spec else wanted, store.matrices()
    named = [run for run in runs if name in (run.name, run.folder.name)]
    if not named:
        known = ", ".join(dict.fromkeys(run.name for run in runs)) or "none yet"
        raise HarnessError(f"no matrix {name!r} in {store.root}", hint=f"`harness run` makes one; there are: {known}")
    found = next((run for run in named if spec in (None, _spec_of(run))), None)
    if found is None:
        folders = ", ".join(run.folder.name for run in named)
        raise HarnessError(
            f"{wanted} was not run as it stands now",
            hint=f"`harness run {shlex.quote(wanted)}`, or say which run of that name: {folders}",
        )
    return found


def _spec_of(run: MatrixRun) -> MatrixSpec | None:
    """What was run; None where this version cannot read it."""
    with suppress(HarnessError):
        return load_spec(run.folder / "matrix.yaml")
    return None


def find_run(store: Store, wanted: str, *, unread: frozenset[StageName] = NOT_COMPARED) -> MatrixRun:
    """The newest run of that matrix; of stages that are `unread` nothing need be there.

    Raises HarnessError if there is none, if it is not finished, or if what was made is gone from the store.
    """
    found = find_matrix(store, wanted)
    if found.result is None:
        undone = [stage.key for stage in found.plan.stages if not store.is_sealed(stage.key)]
        raise HarnessError(
            f"matrix {found.name!r} is not finished; missing: {counted(undone, found.plan) or 'the comparison'}",
            hint="`harness run` goes on where it stopped",
        )
    gone = [stage.key for stage in lost(found, store) if stage.key.stage not in unread]
    if gone:
        raise HarnessError(
            f"results of matrix {found.name!r} are missing from the store: {counted(gone, found.plan)}",
            where=str(store.root),
            hint="`harness run` with its matrix makes them again",
        )
    return found


def counted(keys: Sequence[StageKey], plan: Plan) -> str:
    """`train (1 object), judge openai (3 objects)`: how many objects these are, by stage or judge."""
    asked: dict[StageKey, str] = {}
    for judge in plan.judges:
        own = [judge.probe, judge.probe_ask, judge.probe_judge, judge.contest]
        own += [keys.get(judge.name) for each in plan.variants for keys in (each.asks, each.judgments)]
        asked |= {key: f"judge {judge.name}" for key in own if key is not None}
    counts = Counter(asked.get(key, key.stage) for key in keys)
    return ", ".join(f"{what} ({n} object{'s' if n > 1 else ''})" for what, n in counts.items())


def gathered(run: MatrixRun, store: Store, measure: str | None = None, margin: float | None = None) -> CompareInputs:
    """What a finished matrix was compared from; `measure` becomes the primary one.

    Raises HarnessError for a measure that is not there, or a margin that is no finite number above 0.
    """
    if margin is not None and not 0 < margin < inf:
        raise HarnessError(
            f"a margin of {margin:g}", where="--margin", hint="give the points that do not matter, above 0"
        )
    failed = run.result.failed if run.result else ()
    inputs = gather(load_spec(run.folder / "matrix.yaml"), run.plan, store, failed)
    names = [info.name for info in inputs.measures]
    if measure is not None and measure not in names:
        near = get_close_matches(measure, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise HarnessError(f"no measure {measure!r}", where="--measure", hint=f"{hint}measured: {', '.join(names)}")
    settings = inputs.settings
    if measure not in (None, wanted_primary(inputs)):
        settings = replace(settings, primary=measure, margin=None, seed_sd=None)  # those are in the other's points
    return replace(inputs, settings=replace(settings, margin=margin or settings.margin))


def compared(run: MatrixRun, store: Store, measure: str | None = None, margin: float | None = None) -> Result:
    """Compare a finished matrix again, from its sealed rows.

    Raises HarnessError for a `measure` that may not rank: none stands in for one that was asked for.
    """
    inputs = gathered(run, store, measure, margin)
    infos = marked_measures(inputs)[0]
    chosen = next((info for info in infos if info.name == measure), None)
    if chosen is not None and not chosen.ranks:
        if chosen.descriptive:
            what, hint = "is a description: neither more nor less is better", ""
        else:
            what = f"is not trusted: {(chosen.untrusted_reason or 'it failed its probes').rstrip('.')}"
            hint = "`compare: {rank_untrusted: true}` in the matrix lets it rank; "
        others = ", ".join(info.name for info in infos if info.ranks) or "none"
        raise HarnessError(f"{measure} {what}", where="--measure", hint=f"{hint}measures that rank: {others}")
    return compare(inputs)


# ---------------------------------------------------------------- one pair


def pick_pair(result: Result, a: str | None, b: str | None) -> Comparison:
    """`a` minus `b` on the primary measure; a side that is not given is the baseline.

    Raises HarnessError for a name that fits no cell or several, for a cell against itself, and for a pair that shares
    no scored item.
    """
    first, second = (_cell(result, name, flag) for name, flag in ((a, "--a"), (b, "--b")))
    if first == second:
        raise HarnessError(f"{first} is on both sides", where="--a, --b", hint="name two cells")
    for comparison in result.comparisons:
        if comparison.measure == result.primary and {comparison.a, comparison.b} == {first, second}:
            return comparison if comparison.a == first else turned_round(comparison)
    raise HarnessError(f"{first} and {second} share no scored item on {result.primary}")


def _cell(result: Result, wanted: str | None, flag: str) -> str:
    names = [row.cell.name for row in result.rows]
    if wanted is None:
        if result.baseline is None:
            raise HarnessError("no baseline to compare with", where=flag, hint="name a cell: " + ", ".join(names))
        return result.baseline
    found = [name for name in names if name == wanted] or [name for name in names if wanted in name]
    if len(found) != 1:
        what = f"{wanted!r} fits {len(found)} cells" if found else f"no cell {wanted!r}"
        raise HarnessError(what, where=flag, hint="cells: " + ", ".join(found or names))
    return found[0]


_TURNED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


def turned_round(comparison: Comparison) -> Comparison:
    """The same comparison, seen from the other side."""
    return comparison.model_copy(
        update={
            "a": comparison.b,
            "b": comparison.a,
            "seeds_a": comparison.seeds_b,
            "seeds_b": comparison.seeds_a,
            "mean_a": comparison.mean_b,
            "mean_b": comparison.mean_a,
            "delta": -comparison.delta,
            "interval": _negated(comparison.interval),
            "effect_size": None if comparison.effect_size is None else -comparison.effect_size,
            "wins": comparison.losses,
            "losses": comparison.wins,
            "verdict": _TURNED.get(comparison.verdict, comparison.verdict),
            "p_not_worse": comparison.p_not_better,
            "p_not_better": comparison.p_not_worse,
            "left_out_a": comparison.left_out_b,
            "left_out_b": comparison.left_out_a,
            "tests": _turned_tests(comparison.tests),
        }
    )


def _turned_tests(tests: Sequence[TestResult]) -> tuple[TestResult, ...]:
    return tuple(
        test.model_copy(
            update={
                "statistic": None if test.statistic is None else -test.statistic,
                "interval": _negated(test.interval),
            }
        )
        for test in tests
    )


def _negated(interval: Interval | None) -> Interval | None:
    return None if interval is None else Interval(low=-interval.high, high=-interval.low, level=interval.level)
