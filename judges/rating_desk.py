"""The terminal at which a person rates: one question a screen, one key a rating."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from judges.ratings import Question, choices, typed
from judges.rubric import Rubric

Read = Callable[[bool], str]
"""What the rater says next: a key (True), or a line (False). Raises EOFError where nobody says anything any more."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where ratings are given. `keep(question, text, seconds)` keeps one, `drop(question)` takes it back."""

    rubric: Rubric
    console: Console
    read: Read
    keep: Callable[[Question, str, float], None]
    drop: Callable[[Question], None]

    def rate(self, left: Sequence[Question], done: int) -> int:
        """Until all are rated or the rater leaves; how many ratings were given. `done`: rated before."""
        self.console.print(Panel(Text(self.rubric.system or self.rubric.about), title="how to rate"))
        place, given = 0, set[int]()
        while place < len(left):
            said, seconds = self._ask(left[place], done + len(given) + 1, done + len(left))
            if said == "q":
                break
            if said == "u":
                if place > 0:
                    place -= 1
                    self.drop(left[place])
                    given.discard(place)
                continue
            if said != "s":
                self.keep(left[place], said, seconds)
                given.add(place)
            place += 1
        self.console.print(f"{len(given)} rated now, {done + len(given)} of {done + len(left)} in all")
        return len(given)

    def _ask(self, question: Question, number: int, total: int) -> tuple[str, float]:
        """(the reply's text, or one of q, u, s; the seconds that it took)."""
        self.console.clear()
        self.console.rule(f"{number} of {total}")
        for title, text in question.parts(self.rubric):
            self.console.print(Panel(Text(_plain(text)), title=title, title_align="left"))
        keys = choices(self.rubric)
        began = time.monotonic()
        while True:
            self.console.print(Text(self._hint(), "bold"))
            try:
                said = self.read(keys is not None).strip().lower()
            except EOFError:
                return "q", 0.0
            if said in ("q", "u", "s"):
                return said, 0.0
            reply = next((c.reply for c in keys if c.key == said), None) if keys else typed(self.rubric, said)
            if reply is not None:
                return reply, time.monotonic() - began

    def _hint(self) -> str:
        keys = choices(self.rubric)
        if keys is not None:
            ways = "  ".join(f"[{each.key}] {each.words}" if each.key != each.words else each.key for each in keys)
        elif self.rubric.parser.kind == "checklist":
            ways = "y or n for each: " + ", ".join(self.rubric.parser.keys)
        else:
            ways = f"{self.rubric.scale.low} to {self.rubric.scale.high}, then Enter"
        return f"{ways}   ·   [u]ndo  [s]kip  [q]uit"


def _plain(text: str) -> str:
    """Control characters as pictures: what is rated must not steer the terminal."""
    return "".join(chr(0x2400 + ord(c)) if c < " " and c not in "\n\t" else c for c in text)


def keyboard(single: bool) -> str:
    """One key without Enter where a terminal is there to give it, else a line. Raises EOFError, KeyboardInterrupt."""
    if single and sys.stdin.isatty():
        try:
            import termios
            import tty
        except ImportError:  # Windows: Enter after each key
            return input()
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setcbreak(descriptor, termios.TCSADRAIN)  # the default throws away what was typed ahead
            key = sys.stdin.read(1)
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        if key in ("", "\x04"):
            raise EOFError
        return key
    return input()
