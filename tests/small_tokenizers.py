"""Small tokenizers of the three kinds, trained here on a few sentences; each encodes any text."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.tiny import TEXTS

Kind = Literal[
    "byte-level", "byte-level-prefix-space", "sentencepiece", "sentencepiece-legacy", "sentencepiece-runs", "wordpiece"
]
LOSSLESS: tuple[Kind, ...] = (
    "byte-level", "byte-level-prefix-space", "sentencepiece", "sentencepiece-legacy", "sentencepiece-runs",
)  # fmt: skip
KINDS: tuple[Kind, ...] = (*LOSSLESS, "wordpiece")
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@lru_cache
def tokenizer_of(kind: Kind, *, add_bos: bool = False, eos: str = "</s>") -> Any:
    """`add_bos` opens each text with <s>, as Llama's does. Padding shares the id of EOS, as in many tokenizers."""
    made = {"byte-level": _byte_level, "byte-level-prefix-space": _byte_level, "wordpiece": _wordpiece}
    tokenizer = made.get(kind, _sentencepiece)(kind)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token=eos, pad_token=eos,
        chat_template=CHATML, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _byte_level(kind: Kind) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "byte-level-prefix-space")
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        show_progress=False, vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _sentencepiece(kind: Kind) -> Tokenizer:
    """BPE over spaces written as ▁, with byte fallback, as Llama 2's; `legacy` puts ▁ before each stretch of text.

    `runs` also knows runs of a character as one piece, as InternLM2's does.
    """
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    learned.train_from_iterator(
        TEXTS, trainers.BpeTrainer(show_progress=False, vocab_size=120, special_tokens=[*SPECIAL, *BYTES, "▁"])
    )
    runs = ".0\n" if kind == "sentencepiece-runs" else ""
    tokenizer = Tokenizer(_with_byte_fallback(learned, runs))
    if kind == "sentencepiece-legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _with_byte_fallback(learned: Tokenizer, runs: str) -> models.BPE:
    state = json.loads(learned.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    for one in runs:
        merges += [(one, one), (one * 2, one), (one * 2, one * 2)]
        pieces = [each for each in (one, one * 2, one * 3, one * 4) if each not in state["vocab"]]
        state["vocab"] |= {piece: len(state["vocab"]) + place for place, piece in enumerate(pieces)}
    return models.BPE(state["vocab"], merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)


def _wordpiece(_: Kind) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)  # which would also write "don't" for "do not"
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(show_progress=False, vocab_size=200, special_tokens=SPECIAL)
    )
    return tokenizer
