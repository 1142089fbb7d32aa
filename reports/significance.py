"""Tests in the terminal: one pair of cells in full, the ranking, effects with their variance, sample sizes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.ranking import Strength
from harness.records.result import Comparison, Curve, Interaction, LeftOut, MeasureInfo, Result, VarianceTable
from harness.samplesize import SampleSize
from harness.words import p_words
from reports.terminal import print_list
from reports.wording import (
    NONE,
    axis_name,
    figure,
    narrower,
    places_in,
    ranks,
    signed,
    span,
    variance_shares,
    visible,
)


def print_pair(result: Result, comparison: Comparison, console: Console) -> None:
    """Everything that is known of one pair on one measure."""
    measure = _measure(result, comparison.measure)
    digits = places_in(result, measure)
    table = _grid()
    for name, text in pair_lines(comparison, digits):
        _add(table, name, visible(text))
    sides = (visible(comparison.a), "bold"), " − ", (visible(comparison.b), "bold")
    console.print(Text.assemble(*sides, f" on {visible(measure.label)}"))
    console.print(table)
    tests = _table("test", "p", "interval", "what it takes as random")
    for test in comparison.tests:
        _add(tests, test.name, NONE if test.p is None else p_words(test.p), span(test.interval, digits), test.assumes)
    console.print()
    console.print(tests)
    _print_warnings(result, console)


def _print_warnings(result: Result, console: Console) -> None:
    print_list(console, "Beware", result.warnings, "yellow", "!")


def pair_lines(c: Comparison, digits: int) -> list[tuple[str, str]]:
    """(what, value) of everything that is known of a pair, figures with `digits` decimals."""
    margin = "" if c.margin is None else f" ±{c.margin:g}"
    verdict = {"better": f"{c.a} is better", "worse": f"{c.b} is better", "equivalent": f"equivalent within{margin}"}
    lines = [
        ("verdict", verdict.get(c.verdict, c.verdict) + (f" ({c.note})" if c.note else "")),
        ("scope", "this recipe: items and seeds vary" if c.scope == "recipe" else "these checkpoints: items vary"),
        ("items", str(c.n_items)),
        ("seeds", f"{c.seeds_a or NONE} and {c.seeds_b or NONE}"),
        ("means", f"{figure(c.mean_a, digits)} and {figure(c.mean_b, digits)}"),
        ("difference", f"{signed(c.delta, digits)} {span(c.interval, digits)}"),
        ("p", f"{NONE if c.p is None else p_words(c.p)} ({c.method})"),
        ("p, corrected", f"{NONE if c.p_adjusted is None else p_words(c.p_adjusted)}; {c.family}"),
        ("effect size (d_z)", signed(c.effect_size, 2)),
        ("wins/ties/losses", f"{c.wins}/{c.ties}/{c.losses}"),
        ("left out", f"{_left_out(c.left_out_a)}; {_left_out(c.left_out_b)}"),
    ]
    if c.p_equivalent is not None:
        lines.insert(8, ("equivalence", f"{p_words(c.p_equivalent)}, corrected"))
    if c.p_not_worse is not None:
        lines.insert(9, ("not worse by the margin", f"{p_words(c.p_not_worse)}"))
    if c.mde is not None:
        lines.insert(-1, ("could have seen", f"{figure(c.mde, digits)} points with 80 % power"))
    if c.tipping_point is not None:
        lines.append(("holds unless", f"seeds vary by more than {figure(c.tipping_point, 2)} points"))
    return lines


def _left_out(found: Sequence[LeftOut]) -> str:
    return ", ".join(f"{each.responses} {each.reason}" for each in found) or "none"


def print_ranking(result: Result, strengths: Sequence[Strength], console: Console) -> None:
    """Every cell with its mean, the ranks that the data allow, and its Bradley-Terry chance."""
    measure = _measure(result, result.primary)
    by_cell = {strength.cell: strength for strength in strengths}
    table = _table("ranks", "cell", f"{measure.label} [95 %]", "beats an average cell [95 %]")
    for row in result.rows:
        score = next(score for score in row.scores if score.measure == measure.name)
        strength = by_cell.get(row.cell.name)
        chance = "" if strength is None else f"{figure(strength.chance, 2)} {span(strength.interval, 2)}"
        mean = f"{figure(score.mean, places_in(result, measure))} {span(score.interval, places_in(result, measure))}"
        _add(table, ranks(score), visible(row.cell.name), mean, chance or NONE)
    console.print(table)
    if strengths:
        note = f"chance to win an item (Bradley–Terry over {strengths[0].items} items; items vary, these checkpoints)"
        console.print(note, style="dim", highlight=False)
    _print_warnings(result, console)


def print_effects(result: Result, console: Console) -> None:
    """Main effects, interactions, and where the uncertainty comes from, on the primary measure."""
    measure = _measure(result, result.primary)
    digits = places_in(result, measure)
    effects = [effect for effect in result.effects if effect.measure == measure.name]
    table = _table(f"effect on {measure.label}", "difference [95 %]", "p, corrected", "verdict")
    for effect in effects:
        c = effect.comparison
        better = {"better": f"{effect.a} is better", "worse": f"{effect.b} is better"}
        name = f"{axis_name(effect.axis)}: {effect.a} − {effect.b}"
        p = NONE if c.p_adjusted is None else p_words(c.p_adjusted)
        words = better.get(c.verdict, c.verdict)
        _add(table, visible(name), f"{signed(c.delta, digits)} {span(c.interval, digits)}", p, words)
    console.print(table if effects else "No axis has two levels that can be set against each other.", highlight=False)
    if result.interactions:
        console.print()
        console.print(_interactions(result.interactions, digits))
    for curve in result.curves:
        console.print()
        console.print(_curve(curve, digits))
    for variance in result.variances:
        if variance.measure == measure.name:
            console.print()
            console.print(_variance(variance, digits))
    _print_warnings(result, console)


def _interactions(found: Sequence[Interaction], digits: int) -> Table:
    table = _table("interaction", "at the first", "at the second", "apart by [95 %]", "p, corrected", "")
    for each in found:
        name = f"{axis_name(each.axis)} {each.a} − {each.b}, with {axis_name(each.other_axis)} {each.c} or {each.d}"
        p = NONE if each.p_adjusted is None else p_words(each.p_adjusted)
        apart = f"{signed(each.delta, digits)} {span(each.interval, digits)}"
        shown = "shown" if each.shown else "not shown"
        _add(table, visible(name), signed(each.at_c, digits), signed(each.at_d, digits), apart, p, shown)
    return table


def _curve(found: Curve, digits: int) -> Table:
    """The values that were tried, and what the fitted curve says of them."""
    slope, bend = (NONE if p is None else p_words(p) for p in (found.p_slope, found.p_bend))
    name = f"{axis_name(found.axis)} (slope {slope}, bend {bend})"
    table = _table(name, "against the lowest [95 %]", "fitted [95 % band]")
    for level in found.levels:
        near = min(found.fitted, key=lambda point: abs(point.x - level.x))
        fitted = f"{signed(near.difference, digits)} {span(near.interval, digits)}"
        _add(table, f"{level.x:g}", f"{signed(level.difference, digits)} {span(level.interval, digits)}", fitted)
    return table


def _variance(found: VarianceTable, digits: int) -> Table:
    table = _table("chance in a typical pair", "share", "bought next", "interval")
    shares = variance_shares(found)
    offers = [(p.what, f"±{figure(p.half_width, digits)} ({narrower(p)})") for p in found.purchases]
    offers.insert(0, ("nothing", f"±{figure(found.half_width, digits)}"))
    for place in range(max(len(shares), len(offers))):
        name, share = (shares[place][0], f"{100 * shares[place][1]:.0f} %") if place < len(shares) else ("", "")
        what, width = offers[place] if place < len(offers) else ("", "")
        _add(table, name, share, what, width)
    return table


def print_sample_size(found: SampleSize, console: Console) -> None:
    """What the planned design could find, and what it would take to find the difference asked for."""
    spread = found.spread
    console.print(
        f"An item's difference varies by {spread.item:.1f} points, a variant's score between seeds by "
        f"{spread.seed:.2f} ({spread.source}).",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if found.clusters is not None:
        planned = next(line for line in found.lines if line.planned)
        console.print(
            f"The {_count(planned.items, 'item')} come in {_count(found.clusters, 'cluster')}; more items are more "
            f"clusters. {_together(found)}",
            highlight=False,
            soft_wrap=True,
        )
    table = _table("seeds", "items", "finds with 80 % power", f"power for {found.difference:g} points", "")
    for line in found.lines:
        marks = ["this matrix"] * line.planned + ["these checkpoints only"] * (not line.recipe)
        _add(
            table,
            str(line.seeds),
            str(line.items),
            f"{line.seen:.2f} points",
            f"{100 * line.power:.0f} %",
            "; ".join(marks),
        )
    console.print(table)
    console.print(_needed(found), highlight=False, soft_wrap=True)
    if found.cells > 2:
        pairs = found.cells * (found.cells - 1) // 2
        console.print(
            f"One pair at alpha {found.alpha:g}; Holm over all {pairs} pairs of trained cells asks for more.",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )


def _together(found: SampleSize) -> str:
    if found.spread.items_per_cluster > 1:
        return "How far those of one hang together is the pilot's."
    return "Those of one are taken to stand or fall together wholly; a pilot run would tell how far they do."


def _needed(found: SampleSize) -> str:
    items = _count(found.items_needed, "item") if found.items_needed else "no number of items"
    seeds = _count(found.seeds_needed, "seed") if found.seeds_needed else "no number of seeds"
    planned = next(line for line in found.lines if line.planned)
    head = f"For {found.difference:g} points with 80 % power: {items} at {_count(planned.seeds, 'seed')}"
    head += "" if planned.recipe else " (these checkpoints only)"
    return f"{head}, or {seeds} on {_count(planned.items, 'item')}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _measure(result: Result, name: str) -> MeasureInfo:
    return next(info for info in result.measures if info.name == name)


def _add(table: Table, *cells: str) -> None:
    """A row of texts as they are: names are no markup."""
    table.add_row(*map(Text, cells))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _table(*header: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(header):
        table.add_column(Text(visible(name)), overflow="fold", no_wrap=number == 0 and name in ("ranks", "seeds"))
    return table
