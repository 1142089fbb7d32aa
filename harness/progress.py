"""Progress of a run: a bar a stage with variants done, rate and time left; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

UNITS = {"train": "examples", "generate": "responses", "score": "values", "judge": "verdicts"}
"""What a bar of the stage counts."""
BAR_OF = {
    "data": "prepare", "base": "prepare", "train": "train", "generate": "generate", "score": "score", "probe": "judge",
    "ask": "judge", "judge": "judge",
}  # fmt: skip
"""Which bar a stage's work shows on."""


class Watcher(Protocol):
    """Whom the pipeline tells what it does."""

    def begin(self, bar: str, label: str, units: int) -> None:
        """A piece of work of so many units begins on a bar."""
        ...

    def advance(self, bar: str, units: int) -> None:
        """Units done."""
        ...

    def end(self, bar: str, label: str, note: str) -> None:
        """The piece of work is done."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


class RateColumn(ProgressColumn):
    """`12.3 examples/s` over the time the bar really worked."""

    def render(self, task: Task) -> Text:
        """The column's text for one bar."""
        rate = task.fields.get("rate") or 0.0
        unit = UNITS.get(str(task.fields.get("bar")), "steps")
        return Text(f"{rate:5.1f} {unit}/s" if rate else f"      {unit}", style="dim")


@dataclass(slots=True)
class Clock:
    """Working time of one bar; other bars' time does not count towards its rate."""

    units: int = 0
    seconds: float = 0.0
    since: float | None = None

    def rate(self) -> float:
        """Units a second, 0 before the first."""
        running = time.monotonic() - self.since if self.since is not None else 0.0
        spent = self.seconds + running
        return self.units / spent if spent > 0 else 0.0


class Bars:
    """Bars in a terminal. Use as a context manager."""

    def __init__(self, console: Console, pieces: Mapping[str, int], done: Mapping[str, int]) -> None:
        """`pieces`, `done`: pieces of work a bar in all, and those sealed before this run."""
        self._progress = Progress(
            TextColumn("[bold]{task.fields[bar]:<9}"),
            TextColumn("{task.fields[finished]:>3}/{task.fields[pieces]:<3}"),
            BarColumn(bar_width=24),
            RateColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[label]}"),
            console=console,
            transient=False,
        )
        self._pieces, self._finished = dict(pieces), dict(done)
        self._clocks = {bar: Clock() for bar in pieces}
        self._tasks: dict[str, TaskID] = {}
        self._inside: dict[str, float] = dict.fromkeys(pieces, 0.0)
        self._units: dict[str, int] = dict.fromkeys(pieces, 1)

    def __enter__(self) -> Bars:
        """Show the bars."""
        for bar, pieces in self._pieces.items():
            done = self._finished.get(bar, 0)
            self._tasks[bar] = self._progress.add_task(
                bar, total=pieces, completed=done, bar=bar, finished=done, pieces=pieces, label="", rate=0.0
            )
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave them on the screen as they stand."""
        self._progress.stop()

    def begin(self, bar: str, label: str, units: int) -> None:
        """See Watcher."""
        self._inside[bar], self._units[bar] = 0.0, max(1, units)
        self._clocks[bar].since = time.monotonic()
        self._progress.update(self._tasks[bar], label=label)

    def advance(self, bar: str, units: int) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        clock.units += units
        self._inside[bar] = min(1.0, self._inside[bar] + units / self._units[bar])
        self._progress.update(
            self._tasks[bar], completed=self._finished.get(bar, 0) + self._inside[bar], rate=clock.rate()
        )

    def end(self, bar: str, label: str, note: str) -> None:
        """See Watcher."""
        clock = self._clocks[bar]
        if clock.since is not None:
            clock.seconds += time.monotonic() - clock.since
            clock.since = None
        self._finished[bar] = self._finished.get(bar, 0) + 1
        self._inside[bar] = 0.0
        self._progress.update(
            self._tasks[bar], completed=self._finished[bar], finished=self._finished[bar], label="", rate=clock.rate()
        )

    def say(self, text: str) -> None:
        """See Watcher."""
        self._progress.console.print(text)


@dataclass(slots=True)
class Lines:
    """One line a finished piece of work, for logs and pipes."""

    console: Console
    pieces: Mapping[str, int]
    done: Mapping[str, int]
    finished: dict[str, int] = field(default_factory=dict)
    began: float = 0.0

    def __enter__(self) -> Lines:
        """Nothing to set up."""
        self.finished = dict(self.done)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to tear down."""

    def begin(self, bar: str, label: str, units: int) -> None:
        """See Watcher."""
        self.began = time.monotonic()

    def advance(self, bar: str, units: int) -> None:
        """See Watcher."""

    def end(self, bar: str, label: str, note: str) -> None:
        """See Watcher."""
        self.finished[bar] = self.finished.get(bar, 0) + 1
        seconds = time.monotonic() - self.began
        count = f"{self.finished[bar]}/{self.pieces[bar]}"
        tail = f" · {note}" if note else ""
        self.console.print(f"{bar:<9}{count:>7}  {label}  {seconds:.1f} s{tail}", highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """See Watcher."""
        self.console.print(text, highlight=False, soft_wrap=True)
