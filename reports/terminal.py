"""The result as text in a terminal: the leaderboard, the answer in words, what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.records.result import BoardRow, CellScore, MeasureInfo, Result
from reports.wording import (
    columns,
    data_audit,
    figure,
    labels,
    measure_label,
    places_in,
    ranks,
    shared_levels,
    span,
    visible,
)

LABEL_COLUMNS = 46
"""A cell's label may take this many columns before it is folded onto a second line."""


@dataclass(frozen=True, slots=True)
class Column:
    """A measure and how much of it is shown."""

    measure: MeasureInfo
    with_interval: bool
    decimals: int = 1

    @property
    def width(self) -> int:
        """Columns it takes, with its gap."""
        body = 18 if self.with_interval else 6
        return 2 + max(body, columns(self.measure.label), 0 if self.measure.trusted else len("untrusted"))


def print_result(result: Result, console: Console) -> None:
    """Leaderboard, failed variants, answer in words and warnings; fits the console's width."""
    shown, hidden = fit(result.measures, console.width, _label_width(result))
    console.print()
    console.print(_heading(result))
    console.print(_table(result, shown))
    console.print()
    console.print(_caption(result, hidden), style="dim")
    if result.audit is not None:
        console.print(Text(visible(data_audit(result))), style="dim")
    for failure in result.failed:
        text = f"✗ {failure.variant} failed in {failure.stage}: {visible(failure.reason)}"
        console.print(Text(text, style="red"))
    print_list(console, "The answer", result.answer, "bold", "•")
    print_list(console, "Beware", result.warnings, "yellow", "!")


def fit(
    measures: Sequence[MeasureInfo], width: int, label_width: int
) -> tuple[tuple[Column, ...], tuple[MeasureInfo, ...]]:
    """(columns that fit in `width`, measures left out).

    First the secondary measures lose their intervals, then the untrusted measures go, then the last ones; the primary
    always stays whole.
    """
    ordered = sorted(measures, key=lambda m: (not m.primary, not m.trusted))
    room = width - label_width - len("ranks") - 4
    shown = tuple(Column(m, with_interval=True) for m in ordered)
    if sum(c.width for c in shown) > room:
        shown = tuple(Column(m, with_interval=m.primary) for m in ordered)
    while len(shown) > 1 and sum(c.width for c in shown) > room:
        shown = shown[:-1]
    return shown, tuple(ordered[len(shown) :])


def _label_width(result: Result) -> int:
    names = labels(row.cell for row in result.rows).values()
    return min(LABEL_COLUMNS, max((columns(n) for n in names), default=4))


def _heading(result: Result) -> Text:
    primary = next((m.label for m in result.measures if m.primary), result.primary)
    text = Text(result.matrix, style="bold")
    text.append(f"   {result.data_name}, {result.n_test} test items, ranked by {primary}", style="dim")
    return text


def _table(result: Result, shown: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    table.add_column("ranks", justify="right", no_wrap=True)
    table.add_column("cell", max_width=LABEL_COLUMNS, overflow="fold")
    for column in shown:
        table.add_column(_header(column), justify="right", no_wrap=True)
    names = labels(row.cell for row in result.rows)
    shown = [replace(column, decimals=places_in(result, column.measure)) for column in shown]
    for row in result.rows:
        table.add_row(*_cells(row, names[row.cell.name], shown, result.baseline))
    return table


def _header(column: Column) -> Text:
    measure = column.measure
    if measure.trusted:
        return Text(measure.label, style="bold cyan" if measure.primary else "bold")
    return Text(f"{measure.label}\nuntrusted", style="dim", justify="right")


def _cells(row: BoardRow, label: str, shown: Sequence[Column], baseline: str | None) -> list[Text]:
    scores = {score.measure: score for score in row.scores}
    primary = scores.get(shown[0].measure.name) if shown else None
    name = Text(label)
    if row.cell.name == baseline:
        name.append(" (baseline)", style="dim")
    return [Text(ranks(primary) if primary else ""), name, *(_figure(scores.get(c.measure.name), c) for c in shown)]


def _figure(score: CellScore | None, column: Column) -> Text:
    if score is None:
        return Text("–", style="dim")
    decimals = column.decimals
    text = Text(figure(score.mean, decimals), style="" if column.measure.trusted else "dim")
    if column.measure.primary and column.measure.trusted:
        text.stylize("bold")
    if column.with_interval and score.interval is not None:
        text.append(" " + span(score.interval, decimals), style="not bold dim")
    if score.unscored:
        text.append(f"\n{score.unscored} unscored", style="not bold yellow")
        if score.worst is not None and score.best is not None:
            text.append(f": {score.worst:.{decimals}f} to {score.best:.{decimals}f}", style="not bold yellow")
    return text


def _caption(result: Result, hidden: Sequence[MeasureInfo]) -> Text:
    said = ["mean over items and seeds [95 % interval]; ranks: those that the data cannot exclude"]
    shared = shared_levels(row.cell for row in result.rows)
    if shared:
        said.append(f"all rows: {shared}")
    if hidden:
        said.append("in the report besides: " + ", ".join(measure_label(m) for m in hidden))
    return Text("; ".join(said))


def print_list(console: Console, title: str, sentences: Sequence[str], style: str, bullet: str) -> None:
    """Under a title, each behind a bullet; nothing where there are none."""
    if not sentences:
        return
    console.print()
    console.print(Text(title, style=style))
    for sentence in sentences:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=1)
        grid.add_column(overflow="fold")
        grid.add_row(Text(bullet, style=style), Text(visible(sentence)))
        console.print(Padding(grid, (0, 0, 0, 1)))
