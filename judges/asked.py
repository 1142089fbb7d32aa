"""What a judge is shown of an item: the prompt, rendered by the function that renders for training and generation."""

from __future__ import annotations

from harness.prompts import STYLES, TextStyle, inference_prompt, render
from harness.records.data import Example

CONVERSATION = TextStyle(
    name="conversation",
    system="System: {system}\n\n",
    user="User: {instruction}{input}",
    assistant="\n\nAssistant: ",
    separator="\n\n",
)
"""Says who speaks: a judge of a later answer reads the turns before it."""
EXCHANGE = STYLES["plain"]
"""Of a single question nothing but its words."""


def asked(example: Example) -> str:
    """The item's prompt in words, without the header that opens an answer.

    One style for all variants, whatever they were trained with: answers to one item are judged by one question.
    """
    style = CONVERSATION if example.history else EXCHANGE
    *before, _ = inference_prompt(render(style, example))
    return "".join(segment.text for segment in before)
