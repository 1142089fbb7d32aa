"""How responses end and where they go wrong, whatever they say: ended, cut, empty, echoes, loops, length, copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.metrics.copies import TrainedOutputs, plain
from harness.records.data import Example
from harness.records.rows import Generation

LOOP_CHARACTERS = 24
"""Shortest stretch, at the end of a response, that counts as a loop: a piece of text three times or more on end."""
LONGEST_PIECE = 200
"""Characters of the longest piece that is looked for."""
ECHO_CHARACTERS = 20
"""Shorter instructions may well be repeated for good reasons."""
_HEADERS = re.compile(
    r"^\s*(###\s*(instruction|input|response)\b|<\|(user|assistant|system)\|>|(human|user)\s*:)", re.I | re.M
)


@dataclass(frozen=True, slots=True)
class Health:
    """Counts of responses. A response may be counted under several heads.

    `ended`: by itself, of these `stopped` at a stop string; `cut`: at the limit of new tokens; `unknown`: a file does
    not say how it ended; `thoughts`: they stood before the answer and were taken off; `empty`: no text; `echo`: repeats
    the instruction or a header of the prompt (cut off or not), which the reference does not; `loop`: ends in the same
    piece of text three times or more; `copied`: equals an output of the training part, not this item's reference.
    """

    responses: int
    ended: int
    stopped: int
    cut: int
    unknown: int
    thoughts: int
    empty: int
    echo: int
    loop: int
    copied: int
    characters: int
    reference_characters: int

    @property
    def length_ratio(self) -> float | None:
        """Characters of all responses over those of their references; None of nothing."""
        return self.characters / self.reference_characters if self.reference_characters else None

    def share(self, count: int) -> float | None:
        """Of the responses; None of nothing."""
        return count / self.responses if self.responses else None

    def share_of_ends(self, count: int) -> float | None:
        """Of the responses of which it is known how they ended; None of nothing."""
        return count / (self.responses - self.unknown) if self.responses > self.unknown else None


def health(rows: Sequence[Generation], tests: Mapping[str, Example], trained: TrainedOutputs) -> Health:
    """Count. `tests`: by id; responses to other examples are passed over."""
    pairs = [(row, tests[row.example_id]) for row in rows if row.example_id in tests]
    texts = [(row.text, example) for row, example in pairs]
    reasons = Counter(row.finish_reason for row, _ in pairs)
    return Health(
        responses=len(pairs),
        ended=reasons["eos"],
        stopped=sum("stop" in row.cuts for row, _ in pairs),
        cut=reasons["length"],
        unknown=reasons["unknown"],
        thoughts=sum("thoughts" in row.cuts for row, _ in pairs),
        empty=sum(not text.strip() for text, _ in texts),
        echo=sum("template" in row.cuts or echoes(row.text, example) for row, example in pairs),
        loop=sum(loops(text) and not loops(example.output) for text, example in texts),
        copied=sum(trained.copied(text, example) for text, example in texts),
        characters=sum(len(text) for text, _ in texts),
        reference_characters=sum(len(example.output) for _, example in texts),
    )


def echoes(text: str, example: Example) -> bool:
    """Whether a response repeats its instruction, or a header such as `### Response:`, and the reference does not."""
    instruction, said, reference = plain(example.instruction), plain(text), plain(example.output)
    if len(instruction) >= ECHO_CHARACTERS and instruction in said and instruction not in reference:
        return True
    return bool(_HEADERS.search(text)) and not _HEADERS.search(example.output)


def loops(text: str) -> bool:
    """Whether a text ends in a piece that comes three times or more on end, the last perhaps cut; dashes are none.

    For each length of piece, the end of the text is compared with itself, shifted by that length.
    """
    end = text.rstrip()
    for piece in range(1, min(LONGEST_PIECE, len(end) // 3) + 1):
        same = 0
        while same + piece < len(end) and end[-1 - same] == end[-1 - same - piece]:
            same += 1
        whole = same + piece
        if whole >= max(3 * piece, LOOP_CHARACTERS) and any(c.isalnum() for c in end[-piece:]):
            return True
    return False
