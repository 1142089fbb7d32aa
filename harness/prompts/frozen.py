"""The style that a checkpoint was trained with lies beside its weights: another one asks it in a tongue not its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.errors import ModelError
from harness.records.base import canonical_json
from harness.records.style import PromptStyle

FILE = "prompt_style.json"


def freeze(style: PromptStyle, folder: Path) -> None:
    """Write the style into a checkpoint's folder."""
    (folder / FILE).write_text(canonical_json(style) + "\n", encoding="utf-8")


def frozen_style(folder: Path) -> PromptStyle | None:
    """The style that the weights in `folder` were trained with; None where nothing says so.

    Raises ModelError for a file that cannot be understood.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        style: PromptStyle = TypeAdapter(PromptStyle).validate_json(path.read_bytes())
    except ValidationError as e:
        raise ModelError("is no prompt style", where=str(path), hint="delete it, if you know the right style") from e
    return style


def refuse_another_style(folder: Path, style: PromptStyle) -> None:
    """Raises ModelError where the weights in `folder` were trained with another style than `style`."""
    trained = frozen_style(folder)
    if trained is not None and trained.sha256 != style.sha256:
        raise ModelError(
            f"these weights were trained with the prompt style {trained.name!r}, not with {style.name!r}",
            where=str(folder),
            hint=f"generate with {trained.name!r}, or set `generate: {{force_style: true}}` if you mean it",
        )
