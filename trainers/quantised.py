"""Base weights in 4 bits: QLoRA (Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes, on a GPU or the CPU.

Linear layers but the output layer are kept as 4-bit NormalFloat with doubly quantised constants; everything else, and
the adapter, in floating point. A variant answers with the very weights that it was trained on: dequantised, not the
unquantised ones, with the adapter merged in.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from harness.errors import MissingExtra
from trainers.models import LoadedModel, load
from trainers.precision import Precision, device

FILE = "quantisation.json"
"""Beside an adapter whose base was quantised: how."""
PACKAGES = ("bitsandbytes", "accelerate")


def load_quantised(folder: Path, precision: Precision, *, trust_remote_code: bool = False) -> LoadedModel:
    """Load a folder that `models.convert` wrote, its linear layers in 4 bits, onto the device that trains.

    Products are formed in bfloat16 unless `precision` is fp32. Raises MissingExtra, and ModelError as `load`.
    """
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
    )
    return _load(folder, config, trust_remote_code)


def load_dequantised(folder: Path, weights: Path, *, trust_remote_code: bool = False) -> LoadedModel:
    """The base model with the float32 values that its 4-bit weights stand for, as `note` of `weights` says.

    Raises MissingExtra and ModelError.
    """
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig.from_dict(json.loads((weights / FILE).read_text(encoding="utf-8")))
    loaded = _load(folder, config, trust_remote_code)
    plain = loaded.model.dequantize().to("cpu")
    return LoadedModel(plain.eval(), loaded.tokenizer, loaded.context_length)


def _load(folder: Path, config: Any, trust_remote_code: bool) -> LoadedModel:
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise MissingExtra("method qlora (bitsandbytes and accelerate)", "gpu")
    loaded = load(folder, dtype=torch.float32, trust_remote_code=trust_remote_code, quantised=(config, device()))
    without_packing(loaded.model)
    return loaded


def without_packing(model: Any) -> Any:
    """The model, its 4-bit weights left as they are.

    On a CPU that multiplies bfloat16, bitsandbytes lays them out anew at the first pass without gradients, a validation
    in the middle of a training among them, and cannot where a matrix is no multiple of its block.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def is_quantised(model: Any) -> bool:
    """Whether any of the model's weights are in 4 bits."""
    return any(hasattr(parameter, "quant_state") for parameter in model.parameters())


def n_weights(model: Any) -> int:
    """Number of weights; one of 4 bits counts as one."""
    return sum(
        parameter.quant_state.shape.numel() if hasattr(parameter, "quant_state") else parameter.numel()
        for parameter in model.parameters()
    )


def note(model: Any, folder: Path) -> None:
    """Write beside the adapter how its base was quantised, for `load_dequantised`."""
    config = model.get_base_model().config.quantization_config
    (folder / FILE).write_text(config.to_json_string(use_diff=False), encoding="utf-8")
