"""Progress of a run: a bar a stage with variants done, rate and time left; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

UNITS = {"train": "examples", "generate": "responses", "score": "values", "judge": "verdicts"}
"""What a bar of the stage counts."""
BAR_OF = {
    "data": "prepare",
    "audit": "prepare",
    "base": "prepare",
    "tokens": "prepare",
    "train": "train",
    "generate": "generate",
    "score": "score",
    "probe": "judge",
    "ask": "judge",
    "contest": "judge",
    "judge": "judge",
}
"""Which bar a stage's work shows on."""
WIDE = 120
"""Columns of a terminal from which on the bars are long."""


class Watcher(Protocol):
    """Whom the pipeline tells what it does."""

    def begin(self, bar: str, label: str, units: int) -> None:
        """A piece of work of so many units begins on a bar."""
        ...

    def advance(self, bar: str, units: int) -> None:
        """Units done."""
        ...

    def remark(self, bar: str, text: str) -> None:
        """How the piece of work goes, in a few words; the last remark stands."""
        ...

    def end(self, bar: str, label: str, note: str) -> None:
        """The piece of work is done."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


@dataclass(slots=True)
class Clock:
    """Working time of one bar; other bars' time does not count towards its rate.

    `pieces`: pieces of work in all; `sealed`: those done before this run; `finished`: those done in it.
    """

    pieces: int
    sealed: int
    finished: int = 0
    units: int = 0
    seconds: float = 0.0
    piece_units: int = 1
    piece_done: int = 0
    since: float | None = None

    def begin(self, units: int) -> None:
        """A piece of so many units begins."""
        self.piece_units, self.piece_done, self.since = max(1, units), 0, time.monotonic()

    def advance(self, units: int) -> None:
        """Units of the piece are done."""
        self.units += units
        self.piece_done += units

    def end(self) -> float:
        """The piece is done; gives its seconds."""
        taken = time.monotonic() - self.since if self.since is not None else 0.0
        self.seconds += taken
        self.finished, self.piece_done, self.since = self.finished + 1, 0, None
        return taken

    @property
    def done(self) -> float:
        """Pieces done in this run, with the part of the one at work."""
        return self.finished + min(1.0, self.piece_done / self.piece_units)

    def spent(self) -> float:
        """Seconds that this bar has worked."""
        return self.seconds + (time.monotonic() - self.since if self.since is not None else 0.0)

    def rate(self) -> float:
        """Units a second, 0 before the first."""
        spent = self.spent()
        return self.units / spent if spent > 0 else 0.0

    def left(self) -> float | None:
        """Seconds to go at the pace so far; None before the first unit."""
        return (self.pieces - self.sealed - self.done) * self.spent() / self.done if self.done else None


def clock_time(seconds: float | None) -> str:
    """`1:05:00`, `4:09`, `-:--` where nobody knows."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PaceColumn(ProgressColumn):
    """`12.3 examples/s ETA 4:09` over the time the bar really worked."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The column's text for one bar."""
        clock: Clock = task.fields["clock"]
        rate, unit = clock.rate(), UNITS.get(str(task.fields["bar"]), "steps")
        pace = f"{rate:5.1f} {unit}/s" if rate else f"      {unit}  "
        return Text(
            f"{pace:<17} ETA {clock_time(clock.left()):>7}" if not task.finished else f"{pace:<17}", style="dim"
        )


class Bars:
    """Bars in a terminal. Use as a context manager."""

    def __init__(self, console: Console, pieces: Mapping[str, int], done: Mapping[str, int]) -> None:
        """`pieces`, `done`: pieces of work a bar in all, and those sealed before this run."""
        self._progress = Progress(
            TextColumn("[bold]{task.fields[bar]:<9}", table_column=Column(min_width=9, no_wrap=True)),
            TextColumn(
                "{task.fields[finished]:>3}/{task.fields[pieces]:<3}", table_column=Column(min_width=7, no_wrap=True)
            ),
            BarColumn(bar_width=24 if console.width >= WIDE else 8),
            PaceColumn(table_column=Column(min_width=29, no_wrap=True)),
            TextColumn(
                "{task.fields[label]} {task.fields[remark]}",
                style="dim",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            transient=False,
        )
        self._clocks = {bar: Clock(number, done.get(bar, 0)) for bar, number in pieces.items()}
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        """Show the bars."""
        for bar, clock in self._clocks.items():
            self._tasks[bar] = self._progress.add_task(
                bar,
                total=clock.pieces,
                completed=clock.sealed,
                bar=bar,
                finished=clock.sealed,
                pieces=clock.pieces,
                label="",
                remark="",
                clock=clock,
            )
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave them on the screen as they stand."""
        self._progress.stop()

    def begin(self, bar: str, label: str, units: int) -> None:
        """See Watcher."""
        self._clocks[bar].begin(units)
        self._progress.update(self._tasks[bar], label=label)

    def advance(self, bar: str, units: int) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        clock.advance(units)
        self._progress.update(self._tasks[bar], completed=clock.sealed + clock.done)

    def remark(self, bar: str, text: str) -> None:
        """See Watcher."""
        self._progress.update(self._tasks[bar], remark=text)

    def end(self, bar: str, label: str, note: str) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        clock.end()
        finished = clock.sealed + clock.finished
        self._progress.update(self._tasks[bar], completed=finished, finished=finished, label="", remark="")

    def say(self, text: str) -> None:
        """See Watcher."""
        self._progress.console.print(Text(text))


class Lines:
    """A line a finished piece of work, and one now and then within a long one, for logs and pipes."""

    def __init__(
        self, console: Console, pieces: Mapping[str, int], done: Mapping[str, int], *, every_seconds: float = 30.0
    ) -> None:
        """`pieces`, `done`: as in Bars. `every_seconds`: between the lines within a long piece of work."""
        self._console, self._every = console, every_seconds
        self._clocks = {bar: Clock(number, done.get(bar, 0)) for bar, number in pieces.items()}
        self._label, self._remark, self._said = "", "", 0.0

    def __enter__(self) -> Lines:
        """Nothing to set up."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to tear down."""

    def begin(self, bar: str, label: str, units: int) -> None:
        """See Watcher."""
        self._label, self._remark, self._said = label, "", time.monotonic()
        self._clocks[bar].begin(units)

    def advance(self, bar: str, units: int) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        clock.advance(units)
        if time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            share = f"{min(1.0, clock.piece_done / clock.piece_units):.0%}"
            pace = f"{clock.rate():.1f} {UNITS.get(bar, 'steps')}/s, {clock_time(clock.left())} left"
            remark = f" · {self._remark}" if self._remark else ""
            self.say(f"{bar:<9}{'…':>7}  {self._label}  {share}, {pace}{remark}")

    def remark(self, bar: str, text: str) -> None:
        """See Watcher."""
        self._remark = text

    def end(self, bar: str, label: str, note: str) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        seconds = clock.end()
        count = f"{clock.sealed + clock.finished}/{clock.pieces}"
        tail = "".join(f" · {text}" for text in (self._remark, note) if text)
        self.say(f"{bar:<9}{count:>7}  {label}  {seconds:.1f} s{tail}")

    def say(self, text: str) -> None:
        """See Watcher."""
        self._console.print(Text(text), soft_wrap=True)


def watching(
    console: Console, pieces: Mapping[str, int], done: Mapping[str, int], *, plain: bool = False
) -> Bars | Lines:
    """Bars where a person looks on; FORCE_COLOR, which workflows set, makes a terminal of a log to rich alone."""
    seen = console.is_terminal and console.file.isatty()
    return Bars(console, pieces, done) if seen and not plain else Lines(console, pieces, done)
