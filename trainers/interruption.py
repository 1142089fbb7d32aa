"""Ctrl-C during a training: the step that is under way is finished and saved first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from trainers.distributed import world

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAID = b"\ninterrupted: saving after this step; once more ends at once\n"


@dataclass(slots=True)
class Interruption:
    """Whether the user, or a scheduler, wants an end."""

    came: bool = False

    def note(self, _: int, frame: FrameType | None) -> None:
        """A signal: the first is remembered, the second ends at once."""
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        with suppress(OSError):  # whoever reads along, as `| tee`, may have been ended too
            os.write(2, SAID)  # print may be what was interrupted

    @contextmanager
    def ends(self, save: Callable[[], None]) -> Iterator[None]:
        """After what is done within, which tells the user: if an end is wanted, `save`, and raise KeyboardInterrupt."""
        try:
            yield
        except (BrokenPipeError, SystemExit):  # the one becomes the other in rich
            if not self.came:  # else Ctrl-C has ended the reader too
                raise
        if self.came:
            save()
            raise KeyboardInterrupt


@contextmanager
def after_the_step() -> Iterator[Interruption]:
    """Within the context Ctrl-C and SIGTERM are noted, for the training to end between two steps.

    Several processes that train together, or a thread, which gets no signals, are ended as ever; and a signal that is
    ignored, as a script's background job ignores Ctrl-C, stays so. Raises KeyboardInterrupt at the end if one came and
    nobody has.
    """
    found = Interruption()
    if world() > 1 or threading.current_thread() is not threading.main_thread():
        yield found
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    former = {number: signal.signal(number, found.note) for number in heeded}
    try:
        yield found
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if found.came:
        raise KeyboardInterrupt
