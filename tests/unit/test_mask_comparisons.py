"""Masks against other programs' labels, token by token, over whole data sets.

The shipped starter data always; the book's 1,100 entries wherever a copy is at hand (HARNESS_DATA_DIR, or the cache
that `data: llms-from-scratch` fills).
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM

from harness.data import catalog
from harness.data.dataset import whole
from harness.data.source import sources
from harness.prompts import STYLES, render
from harness.records.data import Example
from harness.records.settings import FieldMap
from harness.records.variant import Masking
from harness.spec.data import DataSpec
from trainers.masking import IGNORE, EncodedRow, MaskPolicy, encode
from trainers.models import locate, read_tokenizer

pytestmark = pytest.mark.slow  # reading the vocabulary from a GGUF file takes most of it
BOOK = catalog.CATALOG["llms-from-scratch"]


def at_hand() -> list[str]:
    assert isinstance(BOOK, catalog.Remote)
    name = BOOK.url.rsplit("/", 1)[-1]
    places = [Path(os.environ.get("HARNESS_DATA_DIR", "")) / name, *catalog.cache_folder().glob(f"*-{name}")]
    return ["starter-en", "starter-zh", *(["llms-from-scratch"] if any(path.is_file() for path in places) else [])]


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return read_tokenizer(locate("smollm2-135m"))[0]


@lru_cache
def entries(data: str) -> tuple[Example, ...]:
    return tuple(row.example for row in whole(sources(DataSpec(path=data), Path()), FieldMap()))


def ours(tokenizer: Any, data: str, style: str, masking: Masking) -> list[EncodedRow]:
    policy = MaskPolicy(masking)
    return [encode(tokenizer, render(STYLES[style], entry), policy) for entry in entries(data)]


def book_prompt(entry: Example) -> str:
    """The book's `format_input` (chapter 7): one space after the first sentence."""
    head = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    return f"{head}\n\n### Instruction:\n{entry.instruction}" + (
        f"\n\n### Input:\n{entry.input}" if entry.input else ""
    )


@pytest.mark.parametrize("data", at_hand())
def test_instruction_is_the_books_exercise_7_2(smollm2: Any, data: str) -> None:
    """Its collate function: the whole text tokenised at once; targets are shifted by one; after the first end-of-text
    padding is ignored; then the first `instruction length - 1` targets are ignored too.
    """
    for entry, row in zip(entries(data), ours(smollm2, data, "alpaca", "instruction"), strict=True):
        whole = smollm2.encode(book_prompt(entry) + f"\n\n### Response:\n{entry.output}", add_special_tokens=False)
        instruction_length = len(smollm2.encode(book_prompt(entry), add_special_tokens=False))
        padded = torch.tensor([*whole, smollm2.eos_token_id, smollm2.eos_token_id])
        inputs, targets = padded[:-1], padded[1:].clone()
        padding = torch.nonzero(targets == smollm2.eos_token_id).squeeze(-1)
        targets[padding[1:]] = IGNORE
        targets[: instruction_length - 1] = IGNORE
        assert inputs.tolist() == list(row.ids), entry.id
        assert targets.tolist() == [*row.labels[1:], IGNORE], entry.id


@pytest.mark.parametrize("data", at_hand())
@pytest.mark.parametrize("style", ["alpaca", "phi"])
def test_prompt_is_trls_completion_only(smollm2: Any, data: str, style: str, tmp_path: Path) -> None:
    """TRL's own SFTTrainer prepares the rows, and its collator the labels."""
    from trl import SFTConfig, SFTTrainer

    texts = [[segment.text for segment in render(STYLES[style], entry)] for entry in entries(data)]
    rows = [{"prompt": prompt + header, "completion": answer} for prompt, header, answer, _ in texts]
    tiny = LlamaConfig(vocab_size=len(smollm2), hidden_size=4, intermediate_size=4, num_hidden_layers=1,
                       num_attention_heads=1)  # fmt: skip
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=None, report_to=[],
                          completion_only_loss=True, disable_tqdm=True)  # fmt: skip
    trainer = SFTTrainer(LlamaForCausalLM(tiny), args=arguments, train_dataset=Dataset.from_list(rows),
                         processing_class=smollm2)  # fmt: skip
    prepared = trainer.train_dataset
    assert isinstance(prepared, Dataset)
    for theirs, row in zip(prepared, ours(smollm2, data, style, "prompt"), strict=True):
        batch = trainer.data_collator([theirs])
        assert batch["input_ids"][0].tolist() == list(row.ids)
        assert batch["labels"][0].tolist() == list(row.labels)


@pytest.mark.parametrize("data", at_hand())
def test_prompt_is_the_seq2seq_collators_recipe_for_human_assistant(smollm2: Any, data: str) -> None:
    """The recipe of Chinese walk-throughs: instruction and input on a line each, stripped, behind `Human: `; the answer
    and the end token tokenised apart; -100 on the prompt; padded by transformers' DataCollatorForSeq2Seq.
    """
    collate = DataCollatorForSeq2Seq(smollm2, padding=True)
    rows = ours(smollm2, data, "human-assistant", "prompt")
    for first in range(0, len(rows), 8):
        features = []
        for entry in entries(data)[first : first + 8]:
            asked = "\n".join(["Human: " + entry.instruction, entry.input]).strip() + "\n\nAssistant: "
            prompt = smollm2(asked, add_special_tokens=False)["input_ids"]
            response = smollm2(entry.output + smollm2.eos_token, add_special_tokens=False)["input_ids"]
            ids = prompt + response
            features.append(
                {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [IGNORE] * len(prompt) + response}
            )
        batch = collate(features)
        for number, row in enumerate(rows[first : first + 8]):
            seen = batch["attention_mask"][number].bool()
            assert batch["input_ids"][number][seen].tolist() == list(row.ids)
            assert batch["labels"][number][seen].tolist() == list(row.labels)
            assert (batch["labels"][number][~seen] == IGNORE).all()


def test_counts_of_the_alpaca_style_over_the_books_training_part(smollm2: Any) -> None:
    """54,018 tokens, 12,701 of them of the response, the longest row 103: counted by a separate program."""
    if "llms-from-scratch" in at_hand():
        rows = ours(smollm2, "llms-from-scratch", "alpaca", "prompt")[:935]
        assert sum(len(row.ids) for row in rows) == 54_018
        assert sum(row.loss_tokens for row in rows) == 12_701
        assert max(len(row.ids) for row in rows) == 103
