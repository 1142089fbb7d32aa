"""Prompt styles: training, generation, judging and preview all render through `render`, so they cannot drift apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from harness.errors import HarnessError
from harness.records.data import Example

Role = Literal["prompt", "header", "response"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with one role. Tokenised apart and joined, so that a mask is exact by construction.

    `prompt`: task and input; `header`: the marker that opens the answer; `response`: the answer itself.
    """

    text: str
    role: Role


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """A style is what its bytes are: `instruction` and `input` carry one placeholder each."""

    name: str
    instruction: str
    input: str
    header: str

    @property
    def sha256(self) -> str:
        """Identity of the style: a digest of its bytes, not of its name."""
        return hashlib.sha256("\0".join((self.instruction, self.input, self.header)).encode()).hexdigest()


# Bytes as in Raschka, "Build a Large Language Model (From Scratch)", chapter 7 (Alpaca) and exercise 7.1 (Phi).
STYLES = {
    "alpaca": PromptStyle(
        name="alpaca",
        instruction="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}",
        input="\n\n### Input:\n{input}",
        header="\n\n### Response:\n",
    ),
    "phi": PromptStyle(
        name="phi", instruction="<|user|>\n{instruction}", input="\n{input}", header="\n<|assistant|>:\n"
    ),
}


def load_style(name: str) -> PromptStyle:
    """Raises HarnessError for a name that is not in `STYLES`."""
    if name in STYLES:
        return STYLES[name]
    near = get_close_matches(name, STYLES, n=1)
    raise HarnessError(
        f"unknown prompt style {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint="known: " + ", ".join(STYLES),
    )


def render(style: PromptStyle, example: Example) -> tuple[Segment, Segment, Segment]:
    """(prompt, header, response); the inference prompt is exactly the first two. An empty input leaves no trace."""
    prompt = style.instruction.replace("{instruction}", example.instruction)
    if example.input:
        prompt += style.input.replace("{input}", example.input)
    return Segment(prompt, "prompt"), Segment(style.header, "header"), Segment(example.output, "response")
