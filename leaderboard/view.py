"""Store and result -> data frames. Pure: no Streamlit here, so that other front ends and tests can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from harness.records.plan import VariantPlan
from harness.records.result import BoardRow, CellScore, FactorEffect, MeasureInfo, Result
from harness.records.rows import Scored
from harness.store import MatrixRun, Store
from reports.ledger import LedgerRow
from reports.samples import generations, item_values, judgments, test_examples
from reports.wording import AXES, axis_name, labels, ranks, varies, verdict

BOARD_COLUMNS = [
    "cell", "label", *AXES, "seeds", "baseline", "measure", "mean", "low", "high", "scope", "ranks", "rank_low",
    "rank_high", "per_seed", "n_items", "unscored", "trusted",
]  # fmt: skip
ITEM_COLUMNS = ["example_id", "position", "instruction", "input", "reference", "spread"]
RESPONSE_COLUMNS = ["variant", "cell", "seed", "example_id", "text", "finish_reason", "tokens"]
VALUE_COLUMNS = ["variant", "cell", "seed", "example_id", "measure", "value", "outcome", "reason"]


def finished(runs: Sequence[MatrixRun]) -> list[MatrixRun]:
    """Runs that have a comparison, in the given order."""
    return [run for run in runs if run.result is not None]


# ---------------------------------------------------------------- leaderboard


def board(result: Result) -> pd.DataFrame:
    """One row a cell and measure, cells best first; a missing figure is missing (BOARD_COLUMNS)."""
    names = labels(row.cell for row in result.rows)
    trusted = {m.name: m.trusted for m in result.measures}
    records = [
        _board_record(row, score, names[row.cell.name], result.baseline) | {"trusted": trusted[score.measure]}
        for row in result.rows
        for score in row.scores
    ]
    return pd.DataFrame(records, columns=BOARD_COLUMNS).astype({"mean": float, "low": float, "high": float})


def _board_record(row: BoardRow, score: CellScore, label: str, baseline: str | None) -> dict[str, object]:
    return {
        "cell": row.cell.name,
        "label": label,
        **{axis: row.cell.level(axis) or "–" for axis in AXES},
        "seeds": len(row.seeds),
        "baseline": row.cell.name == baseline,
        "measure": score.measure,
        "mean": score.mean,
        "low": score.interval.low if score.interval else None,
        "high": score.interval.high if score.interval else None,
        "scope": score.interval_scope,
        "ranks": ranks(score),
        "rank_low": score.rank_low,
        "rank_high": score.rank_high,
        "per_seed": list(score.per_seed),
        "n_items": score.n_items,
        "unscored": score.unscored,
    }


def chosen(frame: pd.DataFrame, levels: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Rows whose level stands among the chosen ones on every axis; an axis with nothing chosen filters nothing."""
    keep = pd.Series(True, index=frame.index)
    for axis, wanted in levels.items():
        if wanted:
            keep &= frame[axis].isin(list(wanted))
    return frame[keep]


def in_order(frame: pd.DataFrame, measure: MeasureInfo) -> pd.DataFrame:
    """The rows of one measure, best first; cells that nothing was scored of come last."""
    rows = frame[frame["measure"] == measure.name]
    return rows.sort_values("mean", ascending=not measure.higher_is_better, na_position="last", kind="stable")


def table(frame: pd.DataFrame, measures: Sequence[MeasureInfo], shown: MeasureInfo) -> pd.DataFrame:
    """The leaderboard as a reader sees it: one row a cell, ordered by `shown`, its interval beside it.

    Columns: ranks, the varying axes, seeds, `shown`, its interval, the other measures (untrusted last), unscored.
    """
    rows = in_order(frame, shown)
    axes = [axis for axis in AXES if varies(axis, rows[axis])] or ["label"]
    out = rows.set_index("cell")[["ranks", *axes]].copy()
    seeds = rows.set_index("cell")["seeds"]
    out["seeds"] = seeds.where(seeds > 0).astype("Int64")  # an untuned model has none
    out[shown.name] = rows.set_index("cell")["mean"].astype(float)
    out["interval_low"] = rows.set_index("cell")["low"].astype(float)
    out["interval_high"] = rows.set_index("cell")["high"].astype(float)
    means = frame.pivot_table(index="cell", columns="measure", values="mean", aggfunc="first")
    for measure in sorted(measures, key=lambda m: not m.trusted):
        if measure.name != shown.name:
            out[measure.name] = means[measure.name] if measure.name in means else None
    out["unscored"] = frame.groupby("cell")["unscored"].sum()
    return out


def effects(result: Result, measure: str) -> pd.DataFrame:
    """One row a factor effect on a measure: label, delta, low, high, p (adjusted), mde, pairs, verdict, shown."""
    rows = [_effect_record(e) for e in result.effects if e.measure == measure]
    return pd.DataFrame(rows, columns=["label", "delta", "low", "high", "p", "mde", "pairs", "verdict", "shown"])


def _effect_record(effect: FactorEffect) -> dict[str, object]:
    c = effect.comparison
    words = verdict(c).replace("a better", f"{effect.a} better").replace("b better", f"{effect.b} better")
    return {
        "label": f"{axis_name(effect.axis)}: {effect.a} − {effect.b}",
        "delta": c.delta,
        "low": c.interval.low if c.interval else None,
        "high": c.interval.high if c.interval else None,
        "p": c.p_adjusted,
        "mde": c.mde,
        "pairs": effect.pairs,
        "verdict": words,
        "shown": c.verdict in ("better", "worse"),
    }


# ---------------------------------------------------------------- items, responses, values


def values(run: MatrixRun, store: Store) -> pd.DataFrame:
    """One row a variant, item and measure (VALUE_COLUMNS). `outcome`: scored, unparsed, refused or failed; `value` is
    the mean over samples and repeats, missing where nothing was scored; `reason` says why not.
    """
    rows = [record for plan in run.plan.variants for record in _values_of(plan, store)]
    return pd.DataFrame(rows, columns=VALUE_COLUMNS).astype({"value": float})


def _values_of(plan: VariantPlan, store: Store) -> list[dict[str, object]]:
    records = []
    for measure in (*plan.scores, *plan.judgments):
        found: dict[str, tuple[float | None, str, str]] = {
            row.example_id: (None, row.kind, row.reason)
            for row in judgments(plan, store, measure)
            if not isinstance(row, Scored)
        }
        found |= {item: (value, "scored", "") for item, value in item_values(plan, store, measure).items()}
        records += [
            _key(plan, item) | {"measure": measure, "value": value, "outcome": outcome, "reason": reason}
            for item, (value, outcome, reason) in found.items()
        ]
    return records


def _key(plan: VariantPlan, example_id: str) -> dict[str, object]:
    variant = plan.variant
    return {"variant": variant.name, "cell": variant.cell.name, "seed": variant.seed, "example_id": example_id}


def responses(run: MatrixRun, store: Store) -> pd.DataFrame:
    """One row a variant and item (RESPONSE_COLUMNS), the first sample of each."""
    rows = [
        _key(plan, item) | {"text": g.text, "finish_reason": g.finish_reason, "tokens": g.tokens}
        for plan in run.plan.variants
        for item, g in generations(plan, store).items()
    ]
    return pd.DataFrame(rows, columns=RESPONSE_COLUMNS)


def items(run: MatrixRun, store: Store, found: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row a test item (ITEM_COLUMNS), in source order. `found`: of `values`.

    `spread`: largest minus smallest cell mean (over seeds) of the item's values on the measure; None if unscored.
    """
    cell_means = found[found["measure"] == measure].groupby(["example_id", "cell"])["value"].mean()
    spread = cell_means.groupby("example_id").agg(lambda v: v.max() - v.min())
    rows = [
        {"example_id": e.id, "position": i, "instruction": e.instruction, "input": e.input, "reference": e.output}
        for i, e in enumerate(test_examples(run, store), start=1)
    ]
    frame = pd.DataFrame(rows, columns=ITEM_COLUMNS[:-1])
    frame["spread"] = frame["example_id"].map(spread)
    return frame


def matching(frame: pd.DataFrame, search: str) -> pd.DataFrame:
    """Items whose instruction, input or reference holds every word of the search, whatever the case."""
    text = (frame["instruction"] + "\n" + frame["input"] + "\n" + frame["reference"]).str.casefold()
    keep = pd.Series(True, index=frame.index)
    for word in search.casefold().split():
        keep &= text.str.contains(word, regex=False)
    return frame[keep]


# ---------------------------------------------------------------- judges, ledger


def trust(result: Result) -> pd.DataFrame:
    """One row a judge: trusted, reason, mean score a probe, AUC against each bad answer with its interval."""
    rows = []
    for report in result.trust:
        means = {f"{p.probe}_mean": p.mean for p in report.probes}
        unscored = {f"{p.probe}_unscored": p.unscored for p in report.probes}
        row: dict[str, object] = {"judge": report.judge, "trusted": report.trusted, "reason": report.reason}
        for kind in ("other_reference", "empty"):
            interval = getattr(report, f"interval_{kind}")
            row[f"auc_{kind}"] = getattr(report, f"auc_{kind}")
            row[f"auc_{kind}_low"] = interval.low if interval else None
            row[f"auc_{kind}_high"] = interval.high if interval else None
        rows.append(row | means | unscored | {"threshold": report.threshold})
    return pd.DataFrame(rows)


def ledger_frame(rows: Sequence[LedgerRow]) -> pd.DataFrame:
    """One row a trained variant: what it was given and what it cost (seconds, bytes)."""
    records = [
        {"variant": row.variant.name, "cell": row.variant.cell.name, "seed": row.variant.seed}
        | row.facts.model_dump(exclude={"kind"})
        for row in rows
        if row.facts is not None
    ]
    return pd.DataFrame(records)
