"""A trained variant of the store as a folder for others, with its model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError, ModelError
from harness.gguf import file_sha256, locate_gguf
from harness.gguf_converter import convert_folder, find_converter
from harness.preview import chosen
from harness.prompts import PromptStyle, frozen_style
from harness.prompts.modelfile import modelfile
from harness.records.inputs import BaseInput, GenerateInput, StageKey
from harness.records.plan import VariantPlan
from harness.store import MatrixRun, Store, translated_disk_errors

if TYPE_CHECKING:
    from trainers.export import Dtype

Form = Literal["merged", "adapter"]
ELSEWHERE = "name another folder with --to"


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written, and what is to be known of them."""

    files: list[Path]
    notes: tuple[str, ...]


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
    dtype: Dtype | None = None,
    beside: Path = Path(),
    gguf: Any = None,
    base_file: Path | None = None,
    converter: Path | None = None,
) -> Exported:
    """Write the variant into `folder` (new or empty). `gguf`: trainers.gguf_file.WeightType.

    `dtype`: of merged weights; None: that in which the variant answered. `beside`: where a base's relative path starts.
    A GGUF file is made from the base's own (`base_file`, or the one trained from), else by llama.cpp's `converter`.
    Raises HarnessError for a folder that holds something, StoreError or ModelError for weights that are not there.
    """
    from reports.model_card import model_card
    from trainers.export import GGUF_FILE, export_adapter, export_gguf, export_merged, merged_folder

    if form == "adapter" and dtype is not None:
        raise HarnessError("an adapter keeps its own dtype", hint="leave --dtype out, or export without --adapter")
    _refuse_used(folder)
    assert variant.train is not None and variant.base is not None  # noqa: S101 - `pick` gives trained variants only
    for key in (variant.train, variant.base):
        if store.sealed(key) is None:
            raise HarnessError(f"{variant.variant.name} is not trained yet", hint="`harness run` trains it")
    weights, base = store.weights(variant.train), store.weights(variant.base)
    style = _style(weights)
    stage = _base_input(run, variant.base)
    trusted = stage.trust_remote_code
    original = (base_file or _base_file(variant.variant.model, stage)) if gguf and not converter else None
    convert = find_converter(converter) if gguf and original is None else None
    answered = _answered_in(run, variant)
    notes = [_rounding(GGUF_FILE, gguf, answered)] if gguf else []
    with translated_disk_errors(folder, ELSEWHERE):
        if form == "adapter":
            found = adapter_base(variant.variant.model, stage, base, beside)
            export_adapter(
                folder, weights, base, style, base_name=found.name, revision=found.revision, trust_remote_code=trusted
            )
            notes.insert(0, found.note)
        else:
            export_merged(folder, weights, base, style, dtype=dtype or answered, trust_remote_code=trusted)
            notes.insert(0, _rounding("these weights", dtype or answered, answered))
        if original is not None:
            export_gguf(folder, weights, base, original, style, f"{run.name} {variant.variant.name}", gguf)
        if convert is not None:
            with merged_folder(folder, weights, base, style, trust_remote_code=trusted) as merged:
                convert_folder(convert, merged, folder / GGUF_FILE, gguf)
        if gguf:
            (folder / "Modelfile").write_text(modelfile(style, GGUF_FILE), encoding="utf-8")
        told = tuple(note for note in notes if note)
        card = model_card(run, variant, store.sealed(variant.train), merged=form == "merged", notes=told)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return Exported(sorted(path for path in folder.rglob("*") if path.is_file()), told)


def _refuse_used(folder: Path) -> None:
    with translated_disk_errors(folder, ELSEWHERE):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is not empty" if folder.is_dir() else "is a file"
            raise HarnessError(what, where=str(folder), hint="name a new folder: nothing is overwritten")


@dataclass(frozen=True, slots=True)
class AdapterBase:
    """Where an adapter's base is found: a Hub id at a commit, or a folder. `note`: what else its user needs."""

    name: str
    revision: str | None = None
    note: str = ""


def adapter_base(model: str, stage: BaseInput, converted: Path, beside: Path) -> AdapterBase:
    """The base of an adapter as other programs find it. `converted`: the store's copy, for what they cannot read."""
    from trainers.models import folder_sha256

    if stage.kind == "hub":
        name, _, revision = stage.identity.partition("@")
        return AdapterBase(name, revision)
    place = (beside / Path(model).expanduser()).absolute()
    if stage.kind == "folder" and place.is_dir() and folder_sha256(place) == stage.identity:
        return AdapterBase(str(place))
    why = "came as a GGUF file" if stage.kind == "gguf" else "is no longer where the matrix names it"
    note = (
        f"the adapter's base {Path(model).name} {why}: adapter_config.json names the store's copy of it in Hugging Face"
        " layout, without which the adapter does not load; export without --adapter for a folder that needs none"
    )
    return AdapterBase(str(converted.absolute()), note=note)


def _answered_in(run: MatrixRun, variant: VariantPlan) -> Dtype:
    """The dtype of the products with which the variant answered; `auto` as this machine has it."""
    from trainers.precision import resolve

    given = next(stage.input for stage in run.plan.stages if stage.key == variant.generate)
    assert isinstance(given, GenerateInput)  # noqa: S101 - a trained variant answers by its weights
    return "bfloat16" if resolve(given.settings.precision) == "bf16" else "float32"


def _rounding(what: str, dtype: str, answered: Dtype) -> str:
    """What the card's figures are of where the weights here are other ones; empty where they are the same."""
    if dtype in (answered, {"float32": "f32", "bfloat16": "bf16"}[answered]):
        return ""
    return f"{what}: {dtype}; the variant answered in {answered}, and all figures are of those answers"


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
