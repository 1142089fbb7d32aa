"""A titled table for readers: in the terminal, as Markdown, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.markdown_table import escape, table
from reports.wording import LONGEST_SHOWN, visible


@dataclass(frozen=True, slots=True)
class Section:
    """Texts as they are; whoever shows them escapes them. The first column is of names, the others of figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def print_section(section: Section, console: Console) -> None:
    """In the terminal."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(section.header):
        first = number == 0
        shown.add_column(
            Text(visible(name)), justify="left" if first else "right", overflow="fold" if first else "ellipsis"
        )
    for row in section.rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    console.print(Text(visible(section.title), style="bold"))
    console.print(shown, highlight=False)
    for note in section.notes:
        console.print(visible(note), highlight=False, markup=False)
    console.print()


def sections_markdown(title: str, sections: Sequence[Section]) -> str:
    """All of them under one heading."""
    return "\n\n".join([f"# {escape(title)}", *(section_markdown(each) for each in sections)]) + "\n"


def section_markdown(section: Section, level: int = 2) -> str:
    """One of them under a heading of that level."""
    rows = [list(map(escape, row)) for row in section.rows]
    head = f"{'#' * level} {escape(section.title)}"
    return "\n\n".join([head, table(list(map(escape, section.header)), rows), *map(escape, section.notes)])


def sections_html(title: str, sections: Sequence[Section]) -> str:
    """One file; everything that a user or a model wrote is escaped, and nothing is fetched or run."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = lambda text: visible(text, LONGEST_SHOWN)
    return environment.get_template("sections.html.j2").render(title=title, sections=sections)
