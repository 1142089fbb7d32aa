"""Rates and time left count a bar's own working time; long work is heard of in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness import progress
from harness.loss_curve import loss_curve
from harness.progress import Bars, Clock, Lines, clock_time
from harness.records.rows import LossRow


class Time:
    """A clock that the test turns."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    turned = Time()
    monkeypatch.setattr(progress, "time", turned)
    return turned


def test_rate_and_time_left_leave_other_work_out(time: Time) -> None:
    clock = Clock(pieces=4, sealed=1)
    assert clock.left() is None
    clock.begin(10)
    time.now += 5
    clock.advance(5)
    assert clock.rate() == 1.0
    assert clock.left() == pytest.approx(25.0)  # 2.5 pieces at 10 s each
    time.now += 5
    clock.advance(5)
    assert clock.end() == 10.0
    time.now += 1_000  # another bar is at work
    assert clock.left() == pytest.approx(20.0)


@pytest.mark.parametrize(("seconds", "text"), [(None, "-:--"), (9, "0:09"), (249, "4:09"), (3_900, "1:05:00")])
def test_clock_time(seconds: float | None, text: str) -> None:
    assert clock_time(seconds) == text


def test_a_log_hears_of_long_work(time: Time) -> None:
    out = io.StringIO()
    with Lines(Console(file=out, width=200), {"train": 2}, {"train": 0}) as lines:
        lines.begin("train", "a/b#1", 100)
        for _ in range(4):
            time.now += 20
            lines.advance("train", 25)
            lines.remark("train", "loss ▂ 1.0")
        lines.end("train", "a/b#1", "")
    assert out.getvalue().splitlines() == [
        "train          …  a/b#1  50%, 1.2 examples/s, 2:00 left · loss ▂ 1.0",
        "train          …  a/b#1  100%, 1.2 examples/s, 1:20 left · loss ▂ 1.0",
        "train        1/2  a/b#1  80.0 s · loss ▂ 1.0",
    ]


def test_bars_show_pace_and_time_left(time: Time) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=140, color_system=None)
    with Bars(console, {"train": 2}, {"train": 1}) as bars:
        bars.begin("train", "a/b#2", 10)
        time.now += 4
        bars.advance("train", 2)
        bars.remark("train", "loss ▂ 1.0")
    shown = out.getvalue()
    assert "1/2" in shown
    assert "0.5 examples/s" in shown
    assert "0:16" in shown
    assert "a/b#2 loss ▂ 1.0" in shown


@pytest.mark.parametrize("watcher", [Bars, Lines])
def test_names_and_errors_are_no_markup(watcher: type[Bars | Lines]) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=140, color_system=None)
    with watcher(console, {"train": 2}, {"train": 0}) as shown:
        shown.begin("train", "[train]/:cat:", 1)
        shown.end("train", "[train]/:cat:", "")
        shown.begin("train", "[train]/:cat:", 1)
        shown.say("failed: no [/INST]")
    assert "failed: no [/INST]" in out.getvalue()
    assert "[train]/:cat:" in out.getvalue()


def test_a_loss_curve_falls_as_the_loss_does() -> None:
    rows = [LossRow(step=i + 1, loss=4.0 - i, loss_tokens=1, lr=0.1, grad_norm=1.0) for i in range(4)]
    assert loss_curve(rows) == "loss █▆▃▁ 1.00"
    assert loss_curve(rows, width=2) == "loss █▁ 1.50"
    validated = [rows[0].model_copy(update={"validation_loss": 2.5}), rows[0]]
    assert loss_curve(validated) == "loss ▁▁ 4.00, validation 2.50"
    assert loss_curve([]) == ""
    assert len(loss_curve(rows * 500)) < 30
