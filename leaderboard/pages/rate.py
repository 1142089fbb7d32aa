"""The page at which people rate answers: blind, one key each. An app of its own, run by `harness rate`.

Nothing that it sends to the browser names a variant: texts, keys and a count are all there is.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import streamlit as st

from harness.errors import HarnessError
from harness.records.inputs import StageKey
from harness.sitting import Sitting, rubric_of, sit_down
from harness.store import Store
from leaderboard.session import note, unmarked, verbatim
from leaderboard.typed_line import typed_line


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="Rate answers", layout="wide")
    st.html("<style>.stMainBlockContainer{padding:3rem 2.5rem;max-width:1100px}</style>")
    given = arguments(tuple(sys.argv[1:]))
    sitting = st.session_state.get("sitting")
    if sitting is None:
        sitting = begin(given)
    if st.session_state.place >= len(st.session_state.left):
        finished(sitting)
    else:
        question(sitting)


@st.cache_data
def arguments(argv: tuple[str, ...]) -> argparse.Namespace:
    """What `harness rate` says: which matrix, which rubric, who, how much."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--matrix", type=Path, required=True, help="its folder in the store")
    parser.add_argument("--rubric", required=True)
    parser.add_argument("--against", required=True, help="digest of the answers that pairs are formed with")
    parser.add_argument("--rater")
    parser.add_argument("--items", type=int)
    return parser.parse_known_args(argv)[0]


def begin(given: argparse.Namespace) -> Sitting:
    """Ask who rates, where that is not given, and open the sitting. Ends the page until both are there."""
    rater = given.rater
    if not rater:
        st.title("Who rates?")
        rater = st.text_input("Your name", help="Your ratings and your order are kept under it.").strip()
    if not rater:
        st.stop()
    try:
        sitting = opened(given, rater)
    except HarnessError as e:
        note("These answers cannot be rated.", [str(e)], kind="warning")
        st.stop()
    st.session_state.update(sitting=sitting, left=sitting.left(), turn=0)
    show(0)
    st.rerun()
    return sitting


def opened(given: argparse.Namespace, rater: str) -> Sitting:
    """The rater's sitting, where it was left. Raises HarnessError."""
    store = Store(given.store)
    run = store.matrix(given.matrix)
    if run is None:
        raise HarnessError("the matrix is not in this store", where=str(given.matrix), hint="`harness run` makes it")
    against = StageKey(stage="generate", digest=given.against)
    return sit_down(run.plan, against, store, rubric_of(given.rubric), rater, given.items)


def question(sitting: Sitting) -> None:
    """One thing to rate, and the keys."""
    left, place = st.session_state.left, st.session_state.place
    total = len(sitting.questions)
    done = total - len(sitting.left())
    st.progress(done / total, text=f"{done} of {total} rated")
    keys(sitting)
    with st.expander("How to rate", expanded=place == 0):
        st.text((sitting.rubric.system or sitting.rubric.about).split(" Reply as JSON")[0])
    parts = left[place].parts(sitting.rubric)
    answers = [part for part in parts if part[0].startswith("answer")]
    for title, text in parts:
        if (title, text) not in answers:
            verbatim(titled(title), text)
    for column, (title, text) in zip(st.columns(len(answers)), answers, strict=True):
        with column:
            verbatim(titled(title), text)


def titled(title: str) -> str:
    """With a capital, and B as it is."""
    return title[0].upper() + title[1:]


def keys(sitting: Sitting) -> None:
    """A button and a key for each grade; a line to type where a number or several answers are wanted."""
    choices = sitting.choices()
    if choices is None:
        line(sitting)
    else:
        with st.container(horizontal=True):
            for choice in choices:
                press(unmarked(choice.words), choice.key.upper(), rate, sitting, choice.reply)
    with st.container(horizontal=True):
        press("Undo", "U", undo, sitting, quiet=True)
        press("Skip", "S", skip, quiet=True)


def line(sitting: Sitting) -> None:
    """What is typed, and what was typed in vain."""
    state = st.session_state
    letters = "yn " if sitting.rubric.parser.kind == "checklist" else "0123456789"
    commands = {"u": lambda: undo(sitting), "s": skip}
    typed_line(wanted(sitting), letters, state.turn, lambda text: enter(sitting, text), commands)
    if state.refused:
        note(f"“{state.refused}” is not a rating.", [wanted(sitting)], kind="warning")


def press(label: str, key: str, action: object, *given: object, quiet: bool = False) -> None:
    """A button that its key presses, too."""
    kind = "tertiary" if quiet else "secondary"
    st.button(label, key=f"key-{key}", shortcut=key, on_click=action, args=given, type=kind)  # type: ignore[arg-type]


def wanted(sitting: Sitting) -> str:
    """What is to be typed."""
    rubric = sitting.rubric
    if rubric.parser.kind == "checklist":
        return "y or n for each of " + ", ".join(rubric.parser.keys)
    return f"{rubric.scale.low} to {rubric.scale.high}, then Enter"


def finished(sitting: Sitting) -> None:
    """Nothing is left in this sitting."""
    left = len(sitting.left())
    st.title("All rated, thank you" if not left else "That is all for now")
    if left:
        st.text(f"{left} skipped; reload this page to see them again.")
    else:
        st.text("You may close this page. Press Ctrl-C where `harness rate` runs to see how people and judges agree.")
    press("Undo", "U", undo, sitting, quiet=True)


# ---------------------------------------------------------------- what a key does


def rate(sitting: Sitting, reply: str) -> None:
    """Keep a rating and go on."""
    state = st.session_state
    sitting.keep(state.left[state.place], reply, time.monotonic() - state.shown)
    skip()


def skip() -> None:
    """Go on without a rating."""
    show(st.session_state.place + 1)


def undo(sitting: Sitting) -> None:
    """Take the last rating back and show its answer again."""
    state = st.session_state
    if state.place > 0:
        show(state.place - 1)
        sitting.drop(state.left[state.place])


def enter(sitting: Sitting, line: str) -> None:
    """Rate with what was typed, if it means something."""
    reply, state = sitting.typed(line), st.session_state
    if reply is None:
        state.update(turn=state.turn + 1, refused=line)
    else:
        rate(sitting, reply)


def show(place: int) -> None:
    """Turn to a question."""
    state = st.session_state
    state.update(place=place, turn=state.turn + 1, refused="", shown=time.monotonic())


if __name__ == "__main__":
    main()
