"""Store and result -> data frames. Pure: no Streamlit here, so that other front ends and tests can use it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from harness.records.data import AuditFinding, Example
from harness.records.inputs import StageKey
from harness.records.plan import VariantPlan
from harness.records.result import BoardRow, CellScore, FactorEffect, Interval, MeasureInfo, Result
from harness.records.rows import NoReply, Reply, ReplyRow, Same, Scored
from harness.records.seal import AskFacts
from harness.store import MatrixRun, Store
from reports.ledger import LedgerRow
from reports.samples import generations, item_values, judgments, sealed_rows
from reports.tables import inert
from reports.wording import AXES, axis_name, figure, labels, places, ranks, varies, verdict, visible

BOARD_COLUMNS = [
    "cell", "label", *AXES, "seeds", "baseline", "measure", "mean", "low", "high", "scope", "ranks", "rank_low",
    "rank_high", "per_seed", "n_items", "unscored", "trusted",
]  # fmt: skip
ITEM_COLUMNS = ["example_id", "position", "instruction", "input", "reference", "meta", "spread"]
BASELINE = " (baseline)"
"""What stands behind the baseline's name."""
RESPONSE_COLUMNS = ["variant", "cell", "seed", "example_id", "text", "finish_reason", "tokens"]
VALUE_COLUMNS = ["variant", "cell", "seed", "example_id", "measure", "value", "outcome", "reason"]


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
        "seeds": list(row.seeds),
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


def column_of(measure: str) -> str:
    """A measure's column of `table`: a judge may bear the name of an axis."""
    return f"measure {measure}"


def table(
    frame: pd.DataFrame, measures: Sequence[MeasureInfo], shown: MeasureInfo, *, seeds: bool = False
) -> pd.DataFrame:
    """The leaderboard as a reader sees it: one row a cell, ordered by `shown`, its interval beside it; the baseline is
    marked.

    Columns: ranks, the varying axes, seeds (how many), `shown`, interval, the other measures (untrusted last), unscored
    where anything is; measures by `column_of`. `seeds`: a row for each seed below its cell's, which names the seed.
    """
    rows = in_order(frame, shown).set_index("cell")
    axes = [axis for axis in AXES if varies(axis, rows[axis])] or ["label"]
    out = rows[["ranks", *axes]].copy()
    out["ranks"] = _aligned(rows)
    out[axes[-1]] += rows["baseline"].map({True: BASELINE, False: ""})
    out["seeds"] = [str(len(found)) if found else None for found in rows["seeds"]]  # an untuned model has none
    out[column_of(shown.name)] = rows["mean"]
    decimals = places(shown, *_intervals(rows))
    out["interval"] = [
        None if pd.isna(low) else f"{figure(low, decimals)} to {figure(high, decimals)}"
        for low, high in zip(rows["low"], rows["high"], strict=True)
    ]
    others = [m.name for m in sorted(measures, key=lambda m: not m.trusted) if m.name != shown.name]
    for name in others:
        out[column_of(name)] = frame[frame["measure"] == name].set_index("cell")["mean"]
    unscored = frame.groupby("cell")["unscored"].sum()
    if unscored.any():
        out["unscored"] = unscored
    return _with_seeds(out, frame, axes) if seeds else out


def _aligned(rows: pd.DataFrame) -> list[str]:
    """Ranks that a table sorts by number: blanks stand for missing digits."""
    width = len(str(len(rows)))
    return [
        said if pd.isna(low) else "–".join(part.rjust(width) for part in said.split("–"))
        for said, low in zip(rows["ranks"], rows["rank_low"], strict=True)
    ]


def _intervals(rows: pd.DataFrame) -> list[Interval]:
    ends = rows[["low", "high"]].dropna().itertuples(index=False)
    return [Interval(low=low, high=high) for low, high in ends]


def _with_seeds(out: pd.DataFrame, frame: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """A row for each seed of the cells that have several: the cell's levels, the seed's own means."""
    seeds = dict(zip(frame["cell"], frame["seeds"], strict=True))
    means = {(c, m): values for c, m, values in zip(frame["cell"], frame["measure"], frame["per_seed"], strict=True)}
    # where a seed has no score, nothing says whose the others are
    means = {(c, m): values for (c, m), values in means.items() if len(values) == len(seeds[c])}
    measured = {column: name for name in frame["measure"].unique() if (column := column_of(name)) in out.columns}
    rows: list[dict[str, Any]] = []
    for record in records(out.reset_index()):
        rows.append(record)
        cell, found = record["cell"], seeds[record["cell"]]
        for place, seed in enumerate(found if len(found) > 1 else ()):
            each = {
                column: dict(enumerate(means.get((cell, name), ()))).get(place) for column, name in measured.items()
            }
            rows.append({axis: record[axis] for axis in axes} | {"cell": cell, "seeds": f"#{seed}"} | each)
    table = pd.DataFrame(rows, columns=["cell", *out.columns]).set_index("cell")
    return table.astype({column: float for column in measured})


def effects(result: Result, measure: str) -> pd.DataFrame:
    """One row a factor effect on a measure: label, delta, low, high, p (adjusted), mde, pairs, verdict, shown."""
    rows = [_effect_record(e) for e in result.effects if e.measure == measure]
    return pd.DataFrame(rows, columns=["label", "delta", "low", "high", "p", "mde", "pairs", "verdict", "shown"])


def _effect_record(effect: FactorEffect) -> dict[str, object]:
    c = effect.comparison
    return {
        "label": f"{axis_name(effect.axis)}: {effect.a} − {effect.b}",
        "delta": c.delta,
        "low": c.interval.low if c.interval else None,
        "high": c.interval.high if c.interval else None,
        "p": c.p_adjusted,
        "mde": c.mde,
        "pairs": effect.pairs,
        "verdict": {"better": f"{effect.a} better", "worse": f"{effect.b} better"}.get(c.verdict, verdict(c)),
        "shown": c.verdict in ("better", "worse"),
    }


# ---------------------------------------------------------------- items, responses, values


def values(plans: Iterable[VariantPlan], store: Store, result: Result | None = None) -> pd.DataFrame:
    """One row a variant, item and measure (VALUE_COLUMNS). `outcome`: scored, unparsed, refused or failed; `value` is
    the mean over samples and repeats, missing where nothing was scored; `reason` says why not. `result`: for panels.
    """
    rows = [record for plan in plans for record in _values_of(plan, store, result)]
    return pd.DataFrame(rows, columns=VALUE_COLUMNS).astype({"value": float})


def _values_of(plan: VariantPlan, store: Store, result: Result | None) -> list[dict[str, object]]:
    records, place = [], _place(plan)
    panels = [m.name for m in result.measures if m.panel] if result else []
    for measure in (*plan.scores, *plan.judgments, *panels):
        found: dict[str, tuple[float | None, str, str]] = {
            row.example_id: (None, row.kind, row.reason)
            for row in judgments(plan, store, measure, result)
            if not isinstance(row, Scored)
        }
        found |= {item: (value, "scored", "") for item, value in item_values(plan, store, measure, result).items()}
        records += [
            place | {"example_id": item, "measure": measure, "value": value, "outcome": outcome, "reason": reason}
            for item, (value, outcome, reason) in found.items()
        ]
    return records


def _place(plan: VariantPlan) -> dict[str, object]:
    variant = plan.variant
    return {"variant": variant.name, "cell": variant.cell.name, "seed": variant.seed}


def responses(plans: Iterable[VariantPlan], store: Store) -> pd.DataFrame:
    """One row a variant and item (RESPONSE_COLUMNS), the first sample of each."""
    rows = [
        place | {"example_id": item, "text": g.text, "finish_reason": g.finish_reason, "tokens": g.tokens}
        for plan in plans
        for place in [_place(plan)]
        for item, g in generations(plan, store).items()
    ]
    return pd.DataFrame(rows, columns=RESPONSE_COLUMNS)


def replies(plan: VariantPlan, store: Store, example_id: str) -> list[tuple[str, str]]:
    """(judge, what it replied) about the variant's answers to one item, in the order of asking."""
    found = []
    for judge, key in plan.asks.items():
        for row in sealed_rows(store, key, ReplyRow):
            if row.example_id == example_id:
                found.append((judge, _said(row)))
    return found


def _said(row: Reply | NoReply | Same) -> str:
    match row:
        case Reply():
            return row.text
        case NoReply():
            return f"(no reply after {row.attempts} attempts: {row.reason})"
        case Same():
            return "(both answers are the same text: a tie, and nobody was asked)"


def items(examples: Iterable[Example], spread: Mapping[str, float]) -> pd.DataFrame:
    """One row a test item (ITEM_COLUMNS), in source order; `spread` of spread.spread_of, missing if unscored."""
    rows = [
        {
            "example_id": e.id,
            "position": i,
            "instruction": e.instruction,
            "input": e.input,
            "reference": e.output,
            "meta": dict(e.meta),
            "spread": spread.get(e.id),
        }
        for i, e in enumerate(examples, start=1)
    ]
    return pd.DataFrame(rows, columns=ITEM_COLUMNS).astype({"spread": float})


def matching(frame: pd.DataFrame, search: str) -> pd.DataFrame:
    """Items whose instruction, input or reference holds every word of the search, whatever the case."""
    text = (frame["instruction"] + "\n" + frame["input"] + "\n" + frame["reference"]).str.casefold()
    keep = pd.Series(True, index=frame.index)
    for word in search.casefold().split():
        keep &= text.str.contains(word, regex=False)
    return frame[keep]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a plot: plain values, None where a figure is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(map(str, frame.columns), row, strict=True)) for row in plain.itertuples(index=False)]


def csv(frame: pd.DataFrame) -> str:
    """CSV without the index; no text in it is a formula to a spreadsheet."""
    text = frame.select_dtypes(include=["object", "string"]).columns
    return frame.assign(**{name: frame[name].map(inert) for name in text}).to_csv(index=False)


def bullets(sentences: Iterable[str], *, code: bool = False) -> str:
    """Sentences that are not ours as an HTML list: escaped, never read as Markdown. `code`: but for their `code`."""
    lines = [escape(visible(sentence)) for sentence in sentences]
    if code:
        lines = [re.sub("`([^`]+)`", r"<code>\1</code>", line) for line in lines]
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


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


def agreement(result: Result) -> pd.DataFrame:
    """Both ways round, a row a pair of judges: a, b, alpha; pairs without a figure are left out."""
    known = [(pair.a, pair.b, pair.alpha) for pair in result.agreement if pair.alpha is not None]
    rows = [row for a, b, alpha in known for row in ((a, b, alpha), (b, a, alpha))]
    judges = {row[0]: None for row in rows}
    return pd.DataFrame([*rows, *((j, j, 1.0) for j in judges)], columns=["a", "b", "alpha"])


def judge_bill(run: MatrixRun, store: Store) -> pd.DataFrame:
    """One row a judge, its probes included: calls, retries, failed, tokens_in, tokens_out, seconds, dollars.

    Judges that read the same replies share a row, so that the rows add up.
    """
    readers: dict[StageKey, list[str]] = {}
    for judge in run.plan.judges:
        keys = {judge.probe_ask, *(plan.asks[judge.name] for plan in run.plan.variants if judge.name in plan.asks)}
        keys |= {judge.contest} if judge.contest is not None else set()
        for key in keys:
            readers.setdefault(key, []).append(judge.name)
    bills: dict[str, list[AskFacts]] = {}
    for key, judges in readers.items():
        seal = store.sealed(key)
        if seal is not None and isinstance(seal.facts, AskFacts):
            bills.setdefault(", ".join(judges), []).append(seal.facts)
    columns = ["judge", "calls", "retries", "failed", "tokens_in", "tokens_out", "seconds", "dollars"]
    return pd.DataFrame([_bill_record(judges, bill) for judges, bill in bills.items()], columns=columns)


def _bill_record(judges: str, bill: Sequence[AskFacts]) -> dict[str, object]:
    costs = [facts.cost for facts in bill if facts.cost is not None]
    return {
        "judge": judges,
        "calls": sum(facts.calls for facts in bill),
        "retries": sum(facts.retries for facts in bill),
        "failed": sum(facts.failed for facts in bill),
        "tokens_in": sum(facts.prompt_tokens for facts in bill),
        "tokens_out": sum(facts.completion_tokens for facts in bill),
        "seconds": sum(facts.seconds for facts in bill),
        "dollars": sum(costs) if costs else None,
    }


def ledger_frame(rows: Sequence[LedgerRow]) -> pd.DataFrame:
    """One row a trained variant: what it was given and what it cost (seconds, bytes)."""
    records = [
        {"variant": row.variant.name, "cell": row.variant.cell.name, "seed": row.variant.seed}
        | row.facts.model_dump(exclude={"kind"})
        for row in rows
        if row.facts is not None
    ]
    return pd.DataFrame(records)


SMOOTHED_OVER = 20
"""A point of a loss curve is the mean of a twentieth of the steps around it."""
CURVE_POINTS = 150
"""Points drawn of a curve at most."""


def curves(rows: Sequence[LedgerRow], names: Mapping[str, str]) -> pd.DataFrame:
    """One row a point: label, variant, step, loss_tokens (seen so far), loss (nats a token), kind.

    `names`: cell name -> label. `kind`: training (smoothed) or validation.
    """
    found = [pd.DataFrame(columns=["label", "variant", "step", "loss_tokens", "loss", "kind"])]
    place = {cell: number for number, cell in enumerate(names)}
    for row in sorted(rows, key=lambda row: place[row.variant.cell.name]):
        if row.curve:
            frame = pd.DataFrame([point.model_dump() for point in row.curve])
            frame["loss_tokens"] = frame["loss_tokens"].cumsum()
            window = max(1, len(frame) // SMOOTHED_OVER)
            smooth = frame["loss"].rolling(window, min_periods=1, center=True).mean()
            stride = max(1, len(frame) // CURVE_POINTS)
            same = {"label": names[row.variant.cell.name], "variant": row.variant.name}
            training = frame[["step", "loss_tokens"]].assign(loss=smooth, kind="training", **same)
            found.append(training.iloc[::stride])
            known = frame.dropna(subset=["validation_loss"])
            seen = known[["step", "loss_tokens"]].assign(loss=known["validation_loss"], kind="validation", **same)
            found.append(seen)
    return pd.concat([frame for frame in found if len(frame)] or found[:1], ignore_index=True)


# ---------------------------------------------------------------- data


def findings(found: Iterable[AuditFinding]) -> pd.DataFrame:
    """One row a finding of the audit: kind, entry, others, similarity, detail, example_id, row (in the source)."""
    rows = [
        {
            "kind": f.kind.replace("_", " "),
            "entry": f"{f.place.split} {f.place.position}",
            "others": ", ".join(f"{o.split} {o.position}" for o in f.others[:5]) + (" …" if len(f.others) > 5 else ""),
            "similarity": f.similarity,
            "detail": visible(f.detail, 300),
            "example_id": f.place.example_id,
            "row": f.place.index,
        }
        for f in found
    ]
    columns = ["kind", "entry", "others", "similarity", "detail", "example_id", "row"]
    return pd.DataFrame(rows, columns=columns).astype({"similarity": float})
