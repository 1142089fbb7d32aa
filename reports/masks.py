"""Masks as a reader can check them: read from a run's trainings, and marked up token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup, escape
from pydantic import ValidationError

from harness.errors import StoreError
from harness.records.masks import MASKS_FILE, MaskedRow, MaskedToken, MaskPreview
from harness.records.variant import written
from harness.store import MatrixRun, Store
from reports.mask_terminal import before_break, id_text, rows, share, shown

CSS = """
.masks { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 14px; }
.mask { border: 1px solid #8a919955; border-radius: 8px; padding: 12px 14px; min-width: 0; }
.mask h4 { margin: 0; padding: 0; font-size: 15px; line-height: 1.35; font-weight: 600; overflow-wrap: anywhere; }
.mask p { margin: 2px 0 8px; font-size: 13px; line-height: 1.45; opacity: .8; max-width: none; }
.mask .bar { height: 6px; border-radius: 3px; background: #d1242f40; overflow: hidden; margin: 6px 0; }
.mask .bar { display: flex; } .mask .bar i { height: 100%; background: #1a7f37; }
.mask .bar i + i { background: #bf8700; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; line-height: 1.95; font-size: 13px;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Noto Sans Mono", "Noto Sans Mono CJK SC", monospace; }
.tokens span { border-radius: 3px; padding: 1px 0; margin-right: 1px; background: #d1242f26; }
.tokens .k { background: #2da44e38; border-bottom: 2px solid #1a7f37; }
.tokens .w { background: #bf870033; border-bottom: 2px dashed #9a6700; }
.tokens small { font-size: 10px; opacity: .65; }
.tokens b { font-weight: 400; opacity: .5; }
"""
"""Loss is told by colour and by the line below a token, so that it shows without colour and in both schemes."""


@dataclass(frozen=True, slots=True)
class CellMask:
    """The masks of a cell's training, with the model whose tokenizer made the tokens."""

    model: str
    preview: MaskPreview


def cell_masks(run: MatrixRun, store: Store) -> tuple[CellMask, ...]:
    """What each style and policy of a run masks, each once, in plan order; trainings without a record are left out."""
    found: dict[tuple[str, str, str], CellMask] = {}
    for plan in run.plan.variants:
        if plan.train is not None and store.sealed(plan.train) is not None:
            preview = read_preview(store.weights(plan.train) / MASKS_FILE)
            if preview is not None:
                key = plan.variant.model, plan.variant.prompt_style, preview.policy
                found.setdefault(key, CellMask(plan.variant.model, preview))
    return tuple(found.values())


def token_rows(masks: Sequence[CellMask]) -> Iterator[dict[str, str | int | float]]:
    """Every token of every recorded row, for a table."""
    for mask in masks:
        for number, row in enumerate(mask.preview.rows, 1):
            for place, token in enumerate(row.tokens):
                yield {
                    "model": mask.model,
                    "prompt style": mask.preview.prompt_style,
                    "masking": mask.preview.policy,
                    "row": number,
                    "example": row.example_id,
                    "place": place,
                    "token": token.text,
                    "ids": " ".join(map(str, token.ids)),
                    "weight": token.weight,
                }


@lru_cache(maxsize=64)
def read_preview(path: Path) -> MaskPreview | None:
    """A training's record of its masks; None for weights from before there was one. Raises StoreError if damaged."""
    if not path.is_file():
        return None
    try:
        return MaskPreview.model_validate_json(path.read_bytes())
    except ValidationError as e:
        raise StoreError("is damaged", where=str(path), hint="`harness store verify` names what else is") from e


def cards(masks: Sequence[CellMask], number: int, *, ids: bool = False) -> Markup:
    """Row `number` (0-based) under each style and policy, side by side."""
    several = len({mask.model for mask in masks}) > 1
    return Markup('<div class="masks">{}</div>').format(
        Markup("").join(_card(mask, number, ids=ids, with_model=several) for mask in masks)
    )


def _card(mask: CellMask, number: int, *, ids: bool, with_model: bool) -> Markup:
    preview = mask.preview
    head = f"{mask.model} · {preview.prompt_style}" if with_model else preview.prompt_style
    whole = f"{share(preview.loss_tokens, preview.tokens, preview.partial_tokens)} over {rows(preview)}"
    bars = Markup("").join(
        Markup('<i style="width:{:.1f}%"></i>').format(100 * tokens / max(1, preview.tokens))
        for tokens in (preview.loss_tokens - preview.partial_tokens, preview.partial_tokens)
    )
    row = preview.rows[number] if number < len(preview.rows) else None
    body = Markup("<p>This training has fewer rows.</p>") if row is None else row_html(row, ids=ids)
    here = "" if row is None else f"This row: {share(row.loss_tokens, row.length)}."
    return Markup('<div class="mask"><h4>{} · masking {}</h4><div class="bar">{}</div><p>{}<br>{}</p>{}</div>').format(
        shown(head), preview.policy, bars, whole, here, body
    )


def row_html(row: MaskedRow, *, ids: bool = False) -> Markup:
    """The row's tokens; hovering over one tells its id and weight."""
    return Markup('<div class="tokens">{}</div>').format(
        Markup("").join(_token(token, ids=ids) for token in row.tokens)
    )


def _token(token: MaskedToken, *, ids: bool) -> Markup:
    kind = "k" if token.weight == 1 else "w" if token.weight > 0 else ""
    title = f"id {' '.join(map(str, token.ids))}, weight {written(token.weight)}"
    text, break_ = before_break(shown(token.text))
    small = Markup("<small>{}</small>").format(id_text(token)) if ids else ""
    marked = escape(text).replace("↵", Markup("<b>↵</b>"))
    return Markup('<span class="{}" title="{}">{}{}{}</span>').format(kind, title, marked, small, break_)


LEGEND = Markup(
    '<span class="tokens"><span class="k">green, underlined</span></span> carries loss · '
    '<span class="tokens"><span class="w">amber, dashed</span></span> carries a part of it · '
    '<span class="tokens"><span>red</span></span> does not'
)
