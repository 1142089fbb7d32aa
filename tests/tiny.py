"""Tiny random models and a tiny tokenizer: real architectures, real files, no download."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
TEXTS = [
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "### Instruction:\nRewrite the sentence in the past tense.\n\n### Input:\nThe cat sleeps on the warm roof.",
    "### Response:\nThe cat slept on the warm roof.\nName the capital of Denmark. Copenhagen.",
]
FLAT_ARCHITECTURES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gpt2",
    "gemma",
    "gemma3_text",
    "phi3",
    "smollm3",
    "olmo2",
)
"""Those that take flat batches."""


@lru_cache
def _backend(add_bos: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        show_progress=False, vocab_size=320, special_tokens=[BOS, EOS, PAD], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return tokenizer


def tiny_tokenizer(*, add_bos: bool = False) -> Any:
    """Byte-level BPE of 320 tokens that encodes any text; `add_bos` opens each text with BOS, as Llama's does."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend(add_bos).to_str()), bos_token=BOS, eos_token=EOS, pad_token=PAD
    )


def tiny_model(
    arch: str = "llama", *, seed: int = 0, context: int = 512, dropout: float = 0.0, tied: bool = True
) -> Any:
    """A random causal language model of two layers and width 32 in evaluation mode, fp32.

    Greedy text of a tied one mostly repeats a token; an untied one wanders.
    """
    tokenizer = tiny_tokenizer()
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": tied,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(_config(arch, special, context, dropout), dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # large enough that greedy choices are no ties and attention is no mean
                torch.nn.init.normal_(parameter, std=0.3 if "embed" in name or "wte" in name else 0.15)
    return model.eval()


def _config(arch: str, special: dict[str, Any], context: int, dropout: float) -> Any:
    if arch == "gpt2":
        drops = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
        return GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=context, **drops, **special)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
    }
    if arch == "gpt_neox":
        return GPTNeoXConfig(**shape, **special)
    grouped = {**shape, **special, "num_key_value_heads": 2, "head_dim": 8}
    if arch == "gemma3_text":  # a window shorter than the tests' rows, so that it matters
        return Gemma3TextConfig(
            **grouped, sliding_window=16, layer_types=["sliding_attention", "full_attention"], query_pre_attn_scalar=8
        )
    if arch == "mistral":
        return MistralConfig(**grouped, sliding_window=16)
    configs = {
        "llama": LlamaConfig,
        "qwen2": Qwen2Config,
        "qwen3": Qwen3Config,
        "gemma": GemmaConfig,
        "phi3": Phi3Config,
        "smollm3": SmolLM3Config,
        "olmo2": Olmo2Config,
    }
    return configs[arch](**grouped)


def save_tiny_folder(path: Path, arch: str = "llama", *, seed: int = 0, add_bos: bool = False) -> Path:
    """Write model and tokenizer in Hugging Face layout: usable as `model: <path>` in a matrix."""
    tiny_model(arch, seed=seed).save_pretrained(path)
    tiny_tokenizer(add_bos=add_bos).save_pretrained(path)
    return path
