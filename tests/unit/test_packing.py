"""Padding-free batches against transformers' own padded loss, gradients included."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from harness.prompts import STYLES, render
from harness.records.data import Example
from harness.records.variant import Masking
from tests.tiny import FLAT_ARCHITECTURES, tiny_model
from trainers.masking import EncodedRow, MaskPolicy, encode
from trainers.packing import PADDING_FREE_MODELS, flatten, padding_free, shared_prefix, targets, weighted_loss

EXAMPLES = [
    Example(id="a", instruction="Rewrite the sentence.", input="The cat sleeps.", output="The cat slept."),
    Example(id="b", instruction="Name the capital of Denmark.", output="Copenhagen."),
    Example(id="c", instruction="Rewrite it.", output="The roof is warm, and the cat sleeps on it all day long."),
]


def rows_for(tokenizer: Any, masking: Masking) -> list[EncodedRow]:
    return [encode(tokenizer, render(STYLES["phi"], example), MaskPolicy(masking)) for example in EXAMPLES]


def padded_batch(rows: list[EncodedRow]) -> dict[str, torch.Tensor]:
    width = max(len(row.ids) for row in rows)
    pads = [width - len(row.ids) for row in rows]
    return {
        "input_ids": torch.tensor([[*row.ids, *[0] * pad] for row, pad in zip(rows, pads, strict=True)]),
        "attention_mask": torch.tensor([[1] * len(row.ids) + [0] * pad for row, pad in zip(rows, pads, strict=True)]),
        "labels": torch.tensor([[*row.labels, *[-100] * pad] for row, pad in zip(rows, pads, strict=True)]),
    }


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = expected.abs().max().item()
        assert scale > 0, name
        torch.testing.assert_close(ours[name], expected, rtol=1e-5, atol=1e-5 * scale, msg=name)


@pytest.mark.parametrize("share_prefix", [True, False])
@pytest.mark.parametrize("masking", get_args(Masking))
@pytest.mark.parametrize("arch", [*FLAT_ARCHITECTURES, "gpt_neox"])
def test_loss_and_gradients_equal_transformers_padded(
    tokenizer: Any, arch: str, masking: Masking, share_prefix: bool
) -> None:
    model, rows = tiny_model(arch), rows_for(tokenizer, masking)
    theirs = model(**padded_batch(rows)).loss
    their_gradients = gradients(model, theirs)
    with padding_free(model):
        ours = weighted_loss(model, rows, share_prefix=share_prefix) / sum(row.loss_tokens for row in rows)
        our_gradients = gradients(model, ours)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same_gradients(our_gradients, their_gradients)


def test_weights_scale_the_loss_of_their_token(tokenizer: Any) -> None:
    model, (row, *_) = tiny_model(), rows_for(tokenizer, "none")
    weights = tuple(np.random.default_rng(0).uniform(0.1, 1, len(row.ids)).tolist())
    weighted = EncodedRow(row.ids, row.ids, (0.0, *weights[1:]), row.prompt_length)
    with torch.no_grad():
        logits = model(torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
        expected = -sum(w * logits[t, row.ids[t + 1]].item() for t, w in enumerate(weights[1:]))
        with padding_free(model):
            assert weighted_loss(model, [weighted]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("masking", get_args(Masking))
def test_no_place_is_written_twice(tokenizer: Any, masking: Masking) -> None:
    """Where threads add into one place, their order decides the last bits, and equal trainings differ."""
    rows = rows_for(tokenizer, masking)
    wanted = targets(rows, flatten([row.ids for row in rows]))
    pairs = list(zip(wanted.rows.tolist(), wanted.tokens.tolist(), strict=True))
    assert len(set(wanted.sources.tolist())) == len(wanted.sources)
    assert len(set(pairs)) == len(pairs)
    assert wanted.weights.sum().item() == sum(row.loss_tokens for row in rows)
    assert masking != "none" or len(pairs) < sum(row.loss_tokens for row in rows)  # the prefix is shared


def test_every_architecture_that_is_declared_is_tested() -> None:
    assert set(FLAT_ARCHITECTURES) == PADDING_FREE_MODELS


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([[1, 2, 3]], 0),
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [1, 2, 3, 4]], 1),
        ([[2, 1], [1, 2]], 0),
        ([[1, 5, 9], [1, 5, 8, 1], [1, 4]], 1),
    ],
)
def test_shared_prefix(sequences: list[list[int]], expected: int) -> None:
    assert shared_prefix(sequences) == expected


def test_flat_rows_read_back() -> None:
    sequences = [[7, 8, 1], [7, 8, 2, 3, 4], [7, 8, 5, 6]]
    flat = flatten(sequences)
    assert flat.input_ids.tolist() == [[7, 8, 1, 2, 3, 4, 5, 6]]
    assert flat.position_ids.tolist() == [[0, 1, 2, 2, 3, 4, 2, 3]]
    for row, sequence in enumerate(sequences):
        assert [flat.input_ids[0, flat.index(row, t)].item() for t in range(len(sequence))] == sequence
