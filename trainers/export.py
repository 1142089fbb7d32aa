"""A trained variant as a folder that other programs load: merged weights or the adapter, tokenizer, chat template."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from harness.errors import ModelError
from harness.prompts import PromptStyle, TextStyle, freeze
from harness.prompts.jinja import as_chat_template
from trainers.checkpoints import load_variant
from trainers.gguf_file import WeightType, write_gguf
from trainers.models import load, load_tokenizer, quiet
from trainers.tokens import encoder_of

GGUF_FILE = "model.gguf"
CONFIG = "adapter_config.json"
Dtype = Literal["float32", "bfloat16"]


def export_merged(
    folder: Path, weights: Path, base: Path, style: PromptStyle, *, dtype: Dtype, trust_remote_code: bool = False
) -> None:
    """Write weights (an adapter merged in float32 first) and tokenizer.

    `AutoModelForCausalLM.from_pretrained(folder)` and vLLM load the folder, and put a conversation as training did.
    """
    _make(folder)
    merged = load_variant(weights, base, trust_remote_code=trust_remote_code)
    with quiet():
        merged.model.to(getattr(torch, dtype)).save_pretrained(folder)
    _save_tokenizer(merged.tokenizer, style, folder)


def export_adapter(  # noqa: PLR0913 - what a folder is made of
    folder: Path, weights: Path, base: Path, style: PromptStyle, *, base_name: str, revision: str | None,
    trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Write a LoRA adapter in peft's layout, with the tokenizer.

    `base_name`, `revision`: where peft finds the base. Raises ModelError for fully trained weights.
    """
    if not (weights / CONFIG).is_file():
        raise ModelError("this variant was trained in full and has no adapter", hint="export it without --adapter")
    _make(folder)
    shutil.copyfile(weights / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    config = json.loads((weights / CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base_name, "revision": revision}
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tokenizer, _ = load_tokenizer(base, trust_remote_code=trust_remote_code)
    _save_tokenizer(tokenizer, style, folder)


@contextmanager
def merged_folder(
    folder: Path, weights: Path, base: Path, style: PromptStyle, *, trust_remote_code: bool = False
) -> Iterator[Path]:
    """The exported folder if it holds merged weights, else one that does, for as long as the context lasts."""
    if not (folder / CONFIG).is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        export_merged(Path(temporary), weights, base, style, dtype="float32", trust_remote_code=trust_remote_code)
        yield Path(temporary)


def export_gguf(  # noqa: PLR0913 - what a file is made of
    folder: Path, weights: Path, base: Path, base_file: Path, style: PromptStyle, name: str, weight_type: WeightType
) -> Path:
    """Write `model.gguf` into the folder: the base's own GGUF file with the trained weights. Raises ModelError."""
    trained = load_variant(weights, base)
    original = load(base, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / GGUF_FILE
    write_gguf(
        path,
        trained.model.state_dict(),
        original.model.state_dict(),
        base_file,
        name=name,
        chat_template=chat_template(style, trained.tokenizer),
        weight_type=weight_type,
    )
    return path


def chat_template(style: PromptStyle, tokenizer: Any) -> str | None:
    """The style as a chat template for this tokenizer; its own where it was trained with that one."""
    if not isinstance(style, TextStyle):
        own: str | None = tokenizer.chat_template
        return own
    opens = encoder_of(tokenizer).opening is not None
    return as_chat_template(style, eos=tokenizer.eos_token, opens_with_bos=opens)


def _make(folder: Path) -> None:
    """Raises OSError for a folder that takes no files, before weights are read for it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as e:
        e.filename = str(folder)  # nobody asked for the file that was tried
        raise


def _save_tokenizer(tokenizer: Any, style: PromptStyle, folder: Path) -> None:
    tokenizer.chat_template = chat_template(style, tokenizer)
    tokenizer.save_pretrained(folder)
    freeze(style, folder)
