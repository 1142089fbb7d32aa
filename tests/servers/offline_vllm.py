"""vLLM's offline interface (0.22's, as its documentation has it) with transformers behind it, one prompt at a time.

Only what the documentation promises is here: names, keyword-only arguments, what is refused, and the shape of outputs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

OPENED: list[LLM] = []
"""Every engine that was made, in order."""


@dataclass(kw_only=True)
class SamplingParams:
    """Those arguments that are used; any other is a TypeError."""

    max_tokens: int | None = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stop_token_ids: list[int] = field(default_factory=list)
    skip_special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}.")
        if self.top_k < -1 or not 0 < self.top_p <= 1 or self.temperature < 0:
            raise ValueError("top_k, top_p or temperature out of range")


@dataclass
class LoRARequest:
    """An adapter; its number has to be its own."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""

    def __post_init__(self) -> None:
        if self.lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {self.lora_int_id}")
        if not (Path(self.lora_path) / "adapter_config.json").is_file():
            raise ValueError(f"no adapter in {self.lora_path}")


@dataclass
class CompletionOutput:
    """`token_ids` holds the token that ended the text; `text` does not."""

    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None
    logprobs: Any
    finish_reason: str | None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    """Of one prompt."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool = True


class LLM:
    """The engine."""

    def __init__(  # noqa: PLR0913 - vLLM's own signature
        self, model: str, *, dtype: str = "auto", max_model_len: int | None = None, max_num_seqs: int | None = None,
        trust_remote_code: bool = False, generation_config: str = "auto", seed: int = 0, enable_lora: bool = False,
        max_lora_rank: int = 16,
    ) -> None:  # fmt: skip
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.folder, self.lora_rank, self.asked = model, max_lora_rank if enable_lora else 0, []  # type: ignore[var-annotated]
        self.max_model_len, self.max_num_seqs, self.generation_config = max_model_len, max_num_seqs, generation_config
        self._dtype = getattr(torch, dtype)
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._make = lambda: AutoModelForCausalLM.from_pretrained(model, dtype=self._dtype).eval()
        OPENED.append(self)

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[RequestOutput]:
        """One output a prompt, in their order."""
        if lora_request is not None and not self.lora_rank:
            raise ValueError("Got lora_request but LoRA is not enabled!")
        assert len(prompts) == len(sampling_params)
        model = self._make()
        if lora_request is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, lora_request.lora_path).merge_and_unload()
        self.asked.append((lora_request, list(sampling_params)))
        return [
            RequestOutput(str(number), None, each["prompt_token_ids"], [self._complete(model, each, wanted)])
            for number, (each, wanted) in enumerate(zip(prompts, sampling_params, strict=True))
        ]

    def _complete(self, model: Any, prompt: dict[str, list[int]], wanted: SamplingParams) -> CompletionOutput:
        ids = prompt["prompt_token_ids"]
        found = model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
            max_new_tokens=wanted.max_tokens, eos_token_id=wanted.stop_token_ids, pad_token_id=0,
        )[0, len(ids) :].tolist()  # fmt: skip
        for end in range(1, len(found) + 1):  # a stop string ends the text, however it is spelled in tokens
            text = self._tokenizer.decode(found[:end], skip_special_tokens=True)
            if (stop := next((each for each in wanted.stop if each in text), None)) is not None:
                return CompletionOutput(0, text[: text.index(stop)], found[:end], None, None, "stop", stop)
        text = self._tokenizer.decode(found, skip_special_tokens=True)
        ended = found[-1] in wanted.stop_token_ids
        return CompletionOutput(0, text, tuple(found), None, None, "stop" if ended else "length")


@contextmanager
def installed_vllm() -> Iterator[list[LLM]]:
    """`import vllm` finds this; the engines that were made meanwhile."""
    made: dict[str, ModuleType] = {name: ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request")}
    made["vllm"].LLM, made["vllm"].SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    made["vllm.lora.request"].LoRARequest = LoRARequest  # type: ignore[attr-defined]
    OPENED.clear()
    sys.modules.update(made)
    try:
        yield OPENED
    finally:
        for name in made:
            del sys.modules[name]
