"""Write `model/` beside this file: a random-init Llama of 1.4 M parameters and a tokenizer for reviews.jsonl.

It needs no download, and the same seed gives the same weights: enough to send every stage of the harness through CI.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that encodes any text."""
    rows = [json.loads(line) for line in (HERE / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=[BOS, EOS, PAD], initial_alphabet=alphabet)
    made.train_from_iterator((" ".join(map(str, row.values())) for row in rows), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BOS, eos_token=EOS, pad_token=PAD)


def main() -> None:
    """Write model and tokenizer in Hugging Face layout."""
    words = tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=160,
        intermediate_size=480,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(HERE / "model")
    words.save_pretrained(HERE / "model")
    print(f"{HERE / 'model'}: {model.num_parameters() / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
