"""Training methods: which parameters learn."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from harness.errors import ModelError
from harness.records.settings import LoraSettings
from harness.records.variant import TrainedMethod


def adapt(model: Any, method: TrainedMethod, lora: LoraSettings, seed: int) -> Any:
    """The model with only the method's parameters requiring gradients; else than `full` wrapped by peft, base frozen.

    For `qlora` the model has to come quantised (trainers.quantised).

    The adapter's initial values are a function of `seed` alone. Raises ModelError for target names that fit no layer.
    """
    if method == "full":
        return model.requires_grad_(True)
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        target_modules=_targets(model, lora.targets),
        task_type=TaskType.CAUSAL_LM,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft notes that it adjusts fan_in_fan_out for GPT-2's Conv1D
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _targets(model: Any, targets: str | tuple[str, ...]) -> str | list[str]:
    if targets == "all-linear":
        return targets
    if targets == "auto":
        return _chosen_by_peft(model)
    linear = _linear_layers(model)
    if targets == "attention":
        chosen = [name for name in linear if any("attn" in part or "attention" in part for part in name.split("."))]
        missing = [] if chosen else ["attention"]
    else:
        chosen = [name for name in linear if name.rsplit(".", 1)[-1] in targets]
        found = {name.rsplit(".", 1)[-1] for name in chosen}
        missing = [name for name in targets if name not in found]
    if missing:
        last_parts = sorted({name.rsplit(".", 1)[-1] for name in linear})
        raise ModelError(
            f"train.lora.targets: no linear layer named {', '.join(missing)} in {type(model).__name__}",
            hint=f"its linear layers: {', '.join(last_parts)}; or all-linear, or attention",
        )
    return chosen


def _chosen_by_peft(model: Any) -> list[str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    if model.config.model_type not in KNOWN:
        raise ModelError(
            f"train.lora.targets: peft knows no default layers for {type(model).__name__}",
            hint="say all-linear, attention, or the names of layers",
        )
    return list(KNOWN[model.config.model_type])


def _linear_layers(model: Any) -> list[str]:
    """Names of the linear layers but the output layer; GPT-2 calls its own Conv1D."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
    ]


def trained_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
