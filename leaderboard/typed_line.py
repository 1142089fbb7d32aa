"""A line that is typed and handed in with Enter, by a page that is driven by single keys.

Letters stay in the browser until Enter: buttons with shortcuts would lose the second of two equal digits typed before
the page is drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

HTML = '<label><span></span><input type="text" autocomplete="off" size="12" maxlength="100"></label>'
CSS = """
label { color: var(--st-text-color); font: var(--st-base-font-size) var(--st-font); display: flex; gap: .75rem;
        align-items: center; flex-wrap: wrap; }
input { color: inherit; font: inherit; background: var(--st-secondary-background-color); padding: .4rem .6rem;
        border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
input:focus { outline: 2px solid var(--st-primary-color); }
"""
JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const input = parentElement.querySelector("input");
  parentElement.querySelector("span").textContent = data.wanted;
  input.inputMode = data.inputMode;
  if (input.dataset.turn !== String(data.turn)) {
    input.dataset.turn = data.turn;
    input.value = "";
    input.readOnly = false;
    input.focus();
  }
  const plain = (event) => !(event.ctrlKey || event.metaKey || event.altKey);
  input.onkeydown = (event) => {
    if (!plain(event)) return;
    event.stopPropagation();
    const key = event.key.toLowerCase();
    if (key === "enter" && input.value && !input.readOnly) {
      input.readOnly = true;  // until the next turn: a second Enter would hand in what nobody has seen
      setTriggerValue("line", input.value);
    } else if (key.length === 1 && !data.letters.includes(key)) {
      event.preventDefault();
      if (data.commands.includes(key)) setTriggerValue("command", key);
    }
  };
  const elsewhere = (event) => {
    const writing = ["INPUT", "TEXTAREA", "SELECT"].includes(document.activeElement.tagName);
    if (plain(event) && data.letters.includes(event.key.toLowerCase()) && !writing) input.focus();
  };
  document.addEventListener("keydown", elsewhere, true);
  return () => document.removeEventListener("keydown", elsewhere, true);
}
"""
_component = st.components.v2.component("typed_line", html=HTML, css=CSS, js=JS)


def typed_line(
    wanted: str, letters: str, turn: int, on_line: Callable[[str], None], on_command: dict[str, Callable[[], None]]
) -> None:
    """Ask for a line of these letters; other keys do nothing, but for those of `on_command`.

    `wanted`: what stands before it. `turn`: another number empties the line and takes the next one.
    """

    def given(name: str) -> Any:
        return st.session_state["typed-line"][name]

    _component(
        key="typed-line",
        data={
            "wanted": wanted,
            "letters": letters,
            "turn": turn,
            "commands": "".join(on_command),
            "inputMode": "decimal" if letters.strip(".-").isdigit() else "text",
        },
        on_line_change=lambda: on_line(given("line")),
        on_command_change=lambda: on_command[given("command")](),
    )
