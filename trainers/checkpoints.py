"""Checkpoints: resume a training where it was, save what it made, load it for generation. Safetensors, never pickle."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness.records.rows import LossRow
from trainers.distributed import rank
from trainers.methods import trained_parameters
from trainers.models import LoadedModel, load, quiet
from trainers.quantised import FILE, is_quantised, load_dequantised, note
from trainers.sharding import gathered, put, split_like

BEST = "best.safetensors"

# ---------------------------------------------------------------- in the middle of a training


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come: the losses of all steps done, and the seconds they took.

    `micro_batch_size`: examples a forward pass; None: as the settings say.
    """

    losses: tuple[LossRow, ...] = ()
    seconds: float = 0.0
    micro_batch_size: int | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self.losses)


@dataclass(slots=True)
class Checkpoints:
    """Checkpoints of one training in a folder of its own; at most the last is kept.

    `fingerprint` is the identity of the training: a checkpoint of another one is never resumed. A training shorter
    than `every_seconds` saves nothing. No random state is saved: order and dropout are functions of seed and step.
    """

    folder: Path
    fingerprint: str
    every_seconds: float = 60.0
    _last_save: float = field(default_factory=time.monotonic)

    def should_save(self) -> bool:
        """Whether `every_seconds` have passed since the last save (or since the start)."""
        return time.monotonic() - self._last_save >= self.every_seconds

    def save(self, model: Any, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write weights, optimizer state and progress; the folder appears whole or not at all.

        Process 0 writes; the others have to call too.
        """
        learned, state = gathered(_learned(model)), gathered(_optimizer_tensors(model, optimizer))
        self._last_save = time.monotonic()
        if rank() != 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step-{progress.steps:08d}"
        temporary = self.folder / f".{target.name}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_file(learned, temporary / "weights.safetensors")
        save_file(state, temporary / "optimizer.safetensors")
        (temporary / "progress.json").write_text(self._progress_json(progress))
        for path in temporary.iterdir():
            _fsync(path)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _fsync(self.folder)
        self._drop_all_but(target)

    def resume(self, model: Any, optimizer: torch.optim.Optimizer) -> Progress:
        """Put the newest checkpoint into model and optimizer; an empty Progress when there is none of this training."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            saved = json.loads((folder / "progress.json").read_text())
            if saved["fingerprint"] != self.fingerprint:
                continue
            _restore(model, optimizer, folder)
            losses = tuple(LossRow.model_validate(row) for row in saved["losses"])
            for group in optimizer.param_groups:
                if "step" in group:  # torch-optimi counts steps here, torch in each parameter's state
                    group["step"] = torch.tensor(len(losses), dtype=torch.int32)
            return Progress(losses, saved["seconds"], saved.get("micro_batch_size"))
        return Progress()

    def save_best(self, model: Any) -> None:
        """Keep the weights of the lowest validation loss so far, beside the checkpoint to resume from.

        Process 0 writes; the others have to call too.
        """
        learned = gathered(_learned(model))
        if rank() != 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{BEST}.{os.getpid()}"
        save_file(learned, temporary)
        _fsync(temporary)
        temporary.rename(self.folder / BEST)

    def load_best(self, model: Any) -> None:
        """Put the weights of `save_best` into the model."""
        weights = load_file(self.folder / BEST)
        for name, parameter in trained_parameters(model).items():
            put(weights[name], parameter)

    def _progress_json(self, progress: Progress) -> str:
        told = {"fingerprint": self.fingerprint, "seconds": progress.seconds}
        losses = [row.model_dump(mode="json") for row in progress.losses]
        return json.dumps(told | {"micro_batch_size": progress.micro_batch_size, "losses": losses})

    def _drop_all_but(self, kept: Path) -> None:
        for path in self.folder.iterdir():
            if path.is_dir() and path != kept:
                shutil.rmtree(path, ignore_errors=True)


def _learned(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().contiguous() for name, parameter in trained_parameters(model).items()}


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """A whole number becomes a scalar of int64, and what parameters share (bitsandbytes' code book) is copied."""
    found: dict[str, torch.Tensor] = {}
    places: set[int] = set()
    for name, parameter in trained_parameters(model).items():
        for key, value in optimizer.state[parameter].items():
            tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.int64)
            shared = id(tensor) in places
            places.add(id(tensor))
            found[f"{key}/{name}"] = tensor.clone() if shared else tensor
    return found


def _restore(model: Any, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    with safe_open(folder / "optimizer.safetensors", framework="pt") as stored:
        keys = [key.split("/", 1) for key in stored.keys()]  # noqa: SIM118 - safe_open is no mapping
        states: dict[str, dict[str, torch.Tensor]] = {name: {} for _, name in keys}
        for key, name in keys:
            states[name][key] = stored.get_tensor(f"{key}/{name}")
    for name, parameter in trained_parameters(model).items():
        put(weights[name], parameter)
        if name in states:  # else it never had a gradient
            optimizer.state[parameter] = {
                key: tensor.item() if tensor.dtype == torch.int64 else split_like(tensor, parameter)
                for key, tensor in states[name].items()
            }


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- what a training made


def save_final(model: Any, tokenizer: Any, folder: Path, base_name: str) -> None:
    """Write the trained model for good: full weights as bfloat16 with tokenizer, or a LoRA adapter in peft's layout.

    Full weights load with `AutoModelForCausalLM.from_pretrained(folder)`. `base_name` names an adapter's base in its
    config (never a path: that would make equal adapters differ). Full weights are cast in place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        if hasattr(model, "peft_config"):
            _save_adapter(model, folder, base_name)
        else:
            model.to(torch.bfloat16).save_pretrained(folder)
            tokenizer.save_pretrained(folder)


def _save_adapter(model: Any, folder: Path, base_name: str) -> None:
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_name
    # Embeddings never learn here; left to itself, peft would look for the base's config under that name.
    model.save_pretrained(folder, save_embedding_layers=False)
    if is_quantised(model):
        note(model, folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


def load_variant(
    weights_folder: Path | None,
    base_folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load what `save_final` wrote, or the untuned base for None. An adapter is merged into the base in memory.

    One that was trained over 4-bit weights is merged into what these stand for. Raises ModelError, MissingExtra.
    """
    if weights_folder is None:
        return load(base_folder, dtype=dtype, trust_remote_code=trust_remote_code)
    if not (weights_folder / "adapter_config.json").is_file():
        return load(weights_folder, dtype=dtype, trust_remote_code=trust_remote_code)
    from peft import PeftModel

    if (weights_folder / FILE).is_file():
        base = load_dequantised(base_folder, weights_folder, trust_remote_code=trust_remote_code)
    else:
        base = load(base_folder, dtype=dtype, trust_remote_code=trust_remote_code)
    merged = PeftModel.from_pretrained(base.model, weights_folder).merge_and_unload().to(dtype)
    return LoadedModel(merged.eval(), base.tokenizer, base.context_length)
