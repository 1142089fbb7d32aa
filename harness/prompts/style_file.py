"""Styles by name and by file: nine come with the program, a user's own is a YAML file of a few lines."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from harness.errors import HarnessError, SpecError
from harness.records.style import ChatTemplateStyle, PromptStyle, TextStyle
from harness.yaml_record import parse_record

FOLDER = Path(__file__).parent / "styles"


def is_path(name: str) -> bool:
    """Whether a style is named by its file: `styles/short.yaml`."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def style_file(path: Path) -> TextStyle:
    """The style in a YAML file, called after the file. Raises SpecError with every problem and its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read ({e})"
        hint = f"give the path of a prompt style file, or one of: {', '.join(STYLES)}"
        raise SpecError([f"{path}: {reason}"], hint=hint) from e
    style = parse_record(text, str(path), TextStyle, "a prompt style", hint="docs/prompt-styles.md explains every key")
    return style if style.name else style.model_copy(update={"name": path.stem})


STYLES: dict[str, PromptStyle] = {
    **{path.stem: style_file(path) for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: path.stem)},
    "chat-template": ChatTemplateStyle(),
}
"""Built-in styles by name."""


def load_style(name: str, beside: Path = Path()) -> PromptStyle:
    """A built-in style, or that of a file; its path is taken relative to the folder `beside`.

    Raises HarnessError for an unknown name, SpecError for a file that is no style.
    """
    if name in STYLES:
        return STYLES[name]
    if is_path(name):
        return style_file(beside / Path(name).expanduser())
    near = get_close_matches(name, STYLES, n=1)
    raise HarnessError(
        f"unknown prompt style {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"known: {', '.join(STYLES)}; or the path of a style file (.yaml)",
    )
