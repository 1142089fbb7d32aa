"""Two cells against each other: their comparison, the difference on every item, and which items to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.records.result import Comparison, Interval, MeasureInfo
from harness.words import p_words
from reports.wording import figure, places, span

WINNERS = ("all", "A better", "B better", "equal")
LENGTHS = ("all", "short", "middle", "long")
"""Thirds of the items by length of the reference."""


def differences(found: pd.DataFrame, items: pd.DataFrame, measure: str, a: str, b: str) -> pd.DataFrame:
    """One row an item that both cells have a score of: the item's columns, `a`, `b` and `delta` = a − b.

    Seeds are averaged first. `found`: of view.values; `items`: of view.items.
    """
    rows = found[found["measure"] == measure]
    means = rows.groupby(["example_id", "cell"])["value"].mean().unstack("cell").reindex(columns=[a, b])
    paired = means.rename(columns={a: "a", b: "b"}).dropna()
    out = items.drop(columns="spread").merge(paired, left_on="example_id", right_index=True)
    return out.assign(delta=out["a"] - out["b"])


def answers(texts: pd.DataFrame, found: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Responses with their own score on a measure: example_id, cell, seed, text, value; a sampled one's first text.

    `texts`: of view.responses; `found`: of view.values.
    """
    key = ["variant", "example_id"]
    values = found.loc[found["measure"] == measure, [*key, "value"]]
    first = texts.drop_duplicates(key)
    return first.merge(values, on=key, how="left")[["example_id", "cell", "seed", "text", "value"]]


def histogram(deltas: pd.Series[float]) -> list[dict[str, float]]:
    """Boxes of equal width that hold an item or more: from, to, items."""
    counts, edges = np.histogram(deltas, bins=min(40, 5 + len(deltas) // 4))
    boxes = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [{"from": low, "to": high, "items": items} for low, high, items in boxes if items]


def kept(
    frame: pd.DataFrame, *, winner: str, length: str, slices: Mapping[str, Sequence[str]], higher_is_better: bool = True
) -> pd.DataFrame:
    """Items by who won, by the reference's length, and by the levels of their fields; nothing chosen keeps all."""
    keep = pd.Series(True, index=frame.index)
    ahead = frame["delta"] if higher_is_better else -frame["delta"]
    if winner in WINNERS[1:]:
        keep &= {"A better": ahead > 0, "B better": ahead < 0, "equal": ahead == 0}[winner]
    if length in LENGTHS[1:] and len(frame):
        third = (frame["reference"].str.len().rank(method="first", pct=True) * 3).clip(upper=2.999).astype(int)
        keep &= third == LENGTHS.index(length) - 1
    for field, levels in slices.items():
        if levels:
            keep &= frame["meta"].map(lambda meta, name=field: meta.get(name)).isin(list(levels))
    return frame[keep]


def slice_fields(items: pd.DataFrame) -> dict[str, list[str]]:
    """Field of the entries -> its levels, where it groups them: two to thirty, and fewer than half the items."""
    levels: dict[str, dict[str, None]] = {}
    for meta in items["meta"]:
        for name, value in meta.items():
            levels.setdefault(name, {})[value] = None
    return {name: sorted(found) for name, found in levels.items() if 2 <= len(found) <= min(30, len(items) // 2)}


def sentence(comparison: Comparison, measure: MeasureInfo, a: str, b: str) -> str:
    """What the pair comes to, in one sentence; `a`, `b`: how the cells are called."""
    digits = places(measure, comparison.interval)
    gap = f"{figure(abs(comparison.delta), digits)} {measure.label} points"
    interval = comparison.interval
    if interval is not None and comparison.delta < 0 and comparison.verdict != "equivalent":  # as the gap has it
        interval = Interval(low=-interval.high, high=-interval.low, level=interval.level)
    known = f", 95 % interval {span(interval, digits)}" if interval else ""
    tested = comparison.p_equivalent if comparison.verdict == "equivalent" else comparison.p_adjusted
    p = "" if tested is None else f", {p_words(tested)} after correction"
    evidence = f"{known}{p}, over {comparison.n_items} items"
    ahead, behind = (a, b) if (comparison.delta > 0) == measure.higher_is_better else (b, a)
    stands = f"{ahead} is ahead by {gap}" if comparison.delta else f"{a} and {b} have the same mean"
    match comparison.verdict:
        case "better" | "worse":
            return f"{ahead} is better than {behind} by {gap}{evidence}."
        case "equivalent":
            return f"{a} and {b} are equivalent within ±{comparison.margin:g} points{evidence}."
        case "identical":
            return f"{a} and {b} score the same on every one of {comparison.n_items} items."
        case "too few items":
            why = f": {comparison.note}" if comparison.note else ""
            return f"{comparison.n_items} shared items are too few for a verdict; {stands}{evidence}{why}."
        case _:
            seen = "" if comparison.mde is None else f" It could have seen {figure(comparison.mde, digits)} points."
            return f"No difference is shown: {stands}{evidence}.{seen}"
