"""The layers of a transformer: the units that are sharded and compiled one by one."""

from __future__ import annotations

from typing import Any

from torch import nn


def layers(model: Any) -> list[nn.Module]:
    """The model's equal layers, by the class names that its architecture gives for units not to be split.

    Empty where an architecture names none.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = set(base._no_split_modules or ())
    return [module for module in base.modules() if type(module).__name__.removeprefix("FSDP") in names]
