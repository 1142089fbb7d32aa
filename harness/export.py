"""A trained variant of the store as a folder for others, with its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError, ModelError
from harness.gguf import file_sha256, locate_gguf
from harness.gguf_converter import convert_folder, find_converter
from harness.preview import chosen
from harness.prompts import PromptStyle, frozen_style
from harness.prompts.modelfile import modelfile
from harness.records.inputs import BaseInput, StageKey
from harness.records.plan import VariantPlan
from harness.store import MatrixRun, Store, translated_disk_errors

Form = Literal["merged", "adapter"]


def pick(run: MatrixRun, name: str | None) -> VariantPlan:
    """The trained variant of that name, or the only one. Raises HarnessError."""
    found = chosen(run.plan, name)
    if len(found) > 1:
        names = ", ".join(each.variant.name for each in found)
        raise HarnessError("several variants were trained", hint=f"choose one with --variant: {names}, …")
    return found[0]


def export(  # noqa: PLR0913 - what is exported, whereto, and how
    run: MatrixRun,
    store: Store,
    variant: VariantPlan,
    folder: Path,
    *,
    form: Form = "merged",
    gguf: Any = None,
    base_file: Path | None = None,
    converter: Path | None = None,
) -> list[Path]:
    """Write the variant into `folder` (new or empty); gives the files written. `gguf`: trainers.gguf_file.WeightType.

    A GGUF file is made from the base's own (`base_file`, or the one trained from), else by llama.cpp's `converter`.
    Raises HarnessError for a folder that holds something, StoreError or ModelError for weights that are not there.
    """
    from reports.model_card import model_card
    from trainers.export import GGUF_FILE, export_adapter, export_gguf, export_merged, merged_folder

    elsewhere = "name another folder with --to"
    with translated_disk_errors(folder, elsewhere):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is not empty" if folder.is_dir() else "is a file"
            raise HarnessError(what, where=str(folder), hint="name a new folder: nothing is overwritten")
    assert variant.train is not None and variant.base is not None  # noqa: S101 - `pick` gives trained variants only
    for key in (variant.train, variant.base):
        if store.sealed(key) is None:
            raise HarnessError(f"{variant.variant.name} is not trained yet", hint="`harness run` trains it")
    weights, base = store.weights(variant.train), store.weights(variant.base)
    style = _style(weights)
    stage = _base_input(run, variant.base)
    original = (base_file or _base_file(variant.variant.model, stage)) if gguf and not converter else None
    convert = find_converter(converter) if gguf and original is None else None
    write = export_adapter if form == "adapter" else export_merged
    with translated_disk_errors(folder, elsewhere):
        write(folder, weights, base, style, trust_remote_code=stage.trust_remote_code)
        if original is not None:
            export_gguf(folder, weights, base, original, style, f"{run.name} {variant.variant.name}", gguf)
        if convert is not None:
            with merged_folder(folder, weights, base, style, trust_remote_code=stage.trust_remote_code) as merged:
                convert_folder(convert, merged, folder / GGUF_FILE, gguf)
        if gguf:
            (folder / "Modelfile").write_text(modelfile(style, GGUF_FILE), encoding="utf-8")
        card = model_card(run, variant, store.sealed(variant.train), merged=form == "merged")
        (folder / "README.md").write_text(card, encoding="utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _style(weights: Path) -> PromptStyle:
    style = frozen_style(weights)
    if style is None:
        raise ModelError("does not say with which prompt style it was trained", where=str(weights))
    return style


def _base_input(run: MatrixRun, key: StageKey) -> BaseInput:
    return next(stage.input for stage in run.plan.stages if stage.key == key and isinstance(stage.input, BaseInput))


def _base_file(model: str, stage: BaseInput) -> Path | None:
    """The GGUF file that the base was read from, if it was one. Raises ModelError where it is another by now."""
    if stage.kind != "gguf":
        return None
    path = locate_gguf(model)
    if file_sha256(path) != stage.identity:
        raise ModelError(
            f"{path} is another file than the one trained from", hint="name the right one with --base-gguf"
        )
    return path
