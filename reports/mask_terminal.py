"""Masks in the terminal: green carries loss, red does not; ⟦brackets⟧ say the same without colour."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.text import Text

from harness.records.masks import MaskedRow, MaskedToken, MaskPreview
from harness.records.variant import written
from reports.wording import count, visible

COLOURS = {True: "green", False: "red"}
BETWEEN = "│"


def print_masks(previews: Iterable[tuple[str, MaskPreview]], console: Console, *, ids: bool) -> None:
    """Print each (title, preview); `ids` adds the token ids."""
    legend = Text.assemble(
        ("⟦green, in brackets⟧", "green"), " carries loss; ", ("red", "red"), f" does not; {BETWEEN} parts tokens"
    )
    console.print(legend)
    for title, preview in previews:
        console.print()
        console.print(Text(visible(title), style="bold"))
        console.print(Text(summary(preview)))
        for number, row in enumerate(preview.rows, start=1):
            console.print()
            console.print(Text(f"row {number}, example {row.example_id}: {share(row.loss_tokens, row.length)}", "dim"))
            console.print(row_text(row, ids=ids), soft_wrap=False)


def summary(preview: MaskPreview) -> str:
    """`prompt style alpaca, masking prompt: 1,200 of 5,400 tokens carry loss (22 %) in 93 training rows`."""
    return (
        f"prompt style {visible(preview.prompt_style)}, masking {preview.policy}: "
        f"{share(preview.loss_tokens, preview.tokens, preview.partial_tokens)} in {rows(preview)}"
    )


def rows(preview: MaskPreview) -> str:
    """`93 training rows`."""
    return "1 training row" if preview.examples == 1 else f"{count(preview.examples)} training rows"


def share(loss_tokens: int, tokens: int, partial: int = 0) -> str:
    """`12 of 58 tokens carry loss (21 %), 3 of them a part of it`."""
    percent = f" ({100 * loss_tokens / tokens:.0f} %)" if tokens else ""
    parts = f", {count(partial)} of them a part of it" if partial else ""
    return f"{count(loss_tokens)} of {count(tokens)} tokens carry loss{percent}{parts}"


def row_text(row: MaskedRow, *, ids: bool) -> Text:
    """The row with its stretches of equal weight coloured and bracketed."""
    text, break_ = Text(), ""
    for weight, stretch in groupby(row.tokens, key=lambda token: token.weight):
        style = COLOURS[weight > 0]
        if weight > 0:
            text.append("⟦" if weight == 1 else f"⟦×{written(weight)} ", style)
        for number, token in enumerate(stretch):
            if number and not break_:
                text.append(BETWEEN, "dim")
            before, break_ = before_break(shown(token.text))
            text.append(before, style)
            if ids:
                text.append(id_text(token), "dim")
            text.append(break_, style)
        if weight > 0:
            text.append("⟧", style)
    return text


def shown(text: str) -> str:
    """A token's text with what cannot be seen made visible; a line break is marked and made."""
    return visible(text).replace("\r", "␍").replace("\t", "→\t").replace("\n", "↵\n")


def before_break(text: str) -> tuple[str, str]:
    """(text, line break at its end): what is said of a token stands on the token's own line."""
    return (text[:-1], "\n") if text.endswith("\n") else (text, "")


def id_text(token: MaskedToken) -> str:
    """`[504]`, `[12 88]`."""
    return f"[{' '.join(map(str, token.ids))}]"
