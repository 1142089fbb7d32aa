"""What to do next: read off a result, most useful first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from harness.records.result import MeasureInfo, Result
from reports.wording import axis_name, figure, narrower, places_in


def next_steps(result: Result) -> tuple[str, ...]:
    """A sentence each. Empty where the run leaves nothing open."""
    info = next(m for m in result.measures if m.name == result.primary)
    digits = places_in(result, info)
    steps = (_failures(result), _judges(result), _leaks(result), _open_questions(result, info), _winner(result, digits))
    return tuple(chain.from_iterable(steps))


def _failures(result: Result) -> Iterator[str]:
    if result.failed:
        n = len(result.failed)
        yield (
            f"{n} variant{'s' if n > 1 else ''} failed: mend the reasons below the leaderboard and run again; what is"
            " sealed is kept."
        )


def _judges(result: Result) -> Iterator[str]:
    for measure in result.measures:
        if measure.kind == "judge" and not measure.trusted:
            yield (
                f"Judge {measure.name} failed its probes: give it a stronger model or another rubric, and try them with"
                " `harness judges test`."
            )


def _leaks(result: Result) -> Iterator[str]:
    if result.audit is not None and result.audit.leaked:
        n = len(result.audit.leaked)
        yield (
            f"{n} test item{'s' if n > 1 else ''} also stand{'' if n > 1 else 's'} in train: drop them with"
            " `audit: {leaks: drop}` and compare again."
        )


def _open_questions(result: Result, info: MeasureInfo) -> Iterator[str]:
    """What was not shown, and what would show it."""
    unseen = [e for e in result.effects if e.measure == info.name and e.comparison.verdict == "not shown"]
    if not unseen:
        return
    named = ", ".join(f"{axis_name(e.axis)} {e.a} against {e.b}" for e in unseen[:3])
    mdes = [e.comparison.mde for e in unseen if e.comparison.mde is not None]
    if len(mdes) == len(unseen):
        found = f"This design finds differences of {figure(max(mdes), places_in(result, info))} points. If smaller ones"
        yield f"Still open: {named}. {found} matter to you, `harness power` says what they take."
    else:
        blind = "Not all could have been seen here, however large"
        yield f"Still open: {named}. {blind}; `harness power` says what it takes."
    for table in result.variances:
        if table.measure == info.name and table.purchases:
            best = max(table.purchases, key=lambda p: p.shrinks_by)
            half = figure(best.half_width, places_in(result, info))
            yield f"What narrows intervals most: {best.what} (±{half} points, {narrower(best)})."


def _winner(result: Result, digits: int) -> Iterator[str]:
    if result.winner is not None and result.winner.optimism > 0:
        yield (
            f"Before you quote {result.winner.cell}'s score, test it on items that did not pick it: being the best of"
            f" {result.winner.out_of} flatters it by about {figure(result.winner.optimism, digits)} points."
        )
