"""Prompt styles in the terminal: what each makes of an example."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from harness.prompts import PromptStyle, TextStyle, render, stop_strings
from harness.records.data import Example, Turn
from reports.mask_terminal import shown

EXAMPLE = Example(
    id="example", instruction="Rewrite in the past tense.", input="The cat sleeps.", output="The cat slept."
)
TURNS = (Turn(role="user", text="Name a pet."), Turn(role="assistant", text="A cat."))
COLOURS = {"prompt": "red", "header": "yellow", "response": "green", "end": "green"}
EOS = "⟨end of sequence⟩"


def print_styles(styles: Mapping[str, PromptStyle], console: Console) -> None:
    """Each style's name and what it makes of one example."""
    for name, style in styles.items():
        console.print(Text(name, style="bold"))
        if isinstance(style, TextStyle):
            console.print(rendered(style, EXAMPLE))
        else:
            console.print("[dim]the chat template of the model's own tokenizer[/dim]")
        console.print()


def print_style(style: TextStyle, console: Console) -> None:
    """A style that has been checked: its identity, an entry with and without input, and a conversation."""
    console.print(Text.assemble(("ok", "bold green"), f"  {style.name}  sha256 {style.sha256[:12]}"))
    for doubt in style.doubts:
        console.print(Text(f"warning: {doubt}", "yellow"))
    stops = stop_strings(style)
    said = ", ".join(repr(stop) for stop in stops) if stops else "the end-of-sequence token only"
    console.print(Text(f"generation stops at {said}", "dim"))
    system = (Turn(role="system", text="Be brief."),) if style.system else ()
    cases = {
        "with input": EXAMPLE,
        "without input": EXAMPLE.model_copy(update={"instruction": "Name a pet.", "input": "", "output": "A cat."}),
        "a conversation": EXAMPLE.model_copy(update={"history": (*system, *TURNS)}),
    }
    for title, example in cases.items():
        console.print()
        console.print(Text(title, style="bold"))
        console.print(rendered(style, example))


def rendered(style: TextStyle, example: Example) -> Text:
    """The example as the style puts it, a colour a role: red prompt, yellow header, green answer."""
    text = Text()
    segments = render(style, example)
    for number, segment in enumerate(segments):
        text.append(shown(segment.text), COLOURS[segment.role])
        if segment.role == "end" and (not segment.text or number == len(segments) - 1):
            text.append(EOS, "green dim")
    return text
