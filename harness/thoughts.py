"""What a model thinks before it answers, and a reference may hold: `<think>…</think>`. It is graded nowhere."""

from __future__ import annotations

import re

from harness.records.data import Example

THOUGHT, THOUGHT_END = "<think>", "</think>"
_END_ALONE = re.compile(rf"^[ \t]*{THOUGHT_END}[ \t]*$", re.MULTILINE)


def without_thoughts(text: str) -> str:
    """The text after the thoughts that open it; nothing where these have no end.

    Some chat templates write `<think>` into the prompt: then an end on a line of its own tells of them.
    """
    kept, ended = text, _END_ALONE.search(text)
    if ended and THOUGHT not in text[: ended.start()]:
        kept = text[ended.end() :].lstrip()
    while kept.lstrip().startswith(THOUGHT):
        kept = kept.partition(THOUGHT_END)[2].lstrip()
    return kept


def graded(example: Example) -> Example:
    """The example with its references as answers are held against them: without thoughts."""
    output, *others = map(without_thoughts, example.references)
    if (output, *others) == example.references:
        return example
    return example.model_copy(update={"output": output, "alternatives": tuple(others)})
