"""Rows as the GPU's kernels take them: the same layout, with a kernel written out in place of theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.tiny import tiny_model
from tests.unit.test_packing import assert_same_gradients, gradients, rows_for
from trainers import packing, ragged
from trainers.packing import padding_free, weighted_loss
from trainers.ragged import Ragged, choose, kernel_for

BOTH = frozenset({"flash-attn", "torch"})
AMPERE, TURING = (8, 0), (7, 5)


def written_out(
    q: Tensor, k: Tensor, v: Tensor, rows: Ragged, *, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    """Row by row; the last query stands at the last key, as FlashAttention documents from 2.1 on."""
    outputs = []
    bounds = zip(*(b.tolist() for b in (rows.query_bounds, rows.query_bounds[1:])), strict=False)
    keys = zip(*(b.tolist() for b in (rows.key_bounds, rows.key_bounds[1:])), strict=False)
    for (q0, q1), (k0, k1) in zip(bounds, keys, strict=True):
        assert q1 - q0 <= rows.most_queries and k1 - k0 <= rows.most_keys
        position = torch.arange(k1 - k0 - (q1 - q0), k1 - k0)[:, None]
        back = position - torch.arange(k1 - k0)[None, :]
        seen = (back >= 0) & (back < (window or 10**6))
        row = (states.transpose(0, 1)[None] for states in (q[q0:q1], k[k0:k1], v[k0:k1]))
        out = functional.scaled_dot_product_attention(*row, attn_mask=seen, scale=scale, enable_gqa=True)
        outputs.append(out[0].transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "qwen3", "gemma3_text"])  # gemma3_text with a window
@pytest.mark.parametrize("share_prefix", [True, False])
def test_ragged_rows_give_the_loss_of_rows_side_by_side(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, arch: str, share_prefix: bool
) -> None:
    model, rows = tiny_model(arch), rows_for(tokenizer, "none")
    with padding_free(model):
        expected = weighted_loss(model, rows, share_prefix=share_prefix)
        expected_gradients = gradients(model, expected)
        monkeypatch.setattr(packing, "kernel_for", lambda model: "torch")
        monkeypatch.setitem(ragged.KERNELS, "torch", written_out)
        found = weighted_loss(model, rows, share_prefix=share_prefix)
        assert_same_gradients(gradients(model, found), expected_gradients)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("dtype", "width", "dropout", "capability", "there", "expected"),
    [
        (torch.bfloat16, 64, 0.0, AMPERE, BOTH, "flash-attn"),
        (torch.bfloat16, 64, 0.1, AMPERE, BOTH, "flash-attn"),
        (torch.float16, 256, 0.0, AMPERE, BOTH - {"flash-attn"}, "torch"),
        (torch.bfloat16, 64, 0.1, AMPERE, BOTH - {"flash-attn"}, None),
        (torch.bfloat16, 64, 0.0, AMPERE, frozenset(), None),
        (torch.float32, 64, 0.0, AMPERE, BOTH, None),
        (torch.bfloat16, 320, 0.0, AMPERE, BOTH, None),
        (torch.bfloat16, 20, 0.0, AMPERE, BOTH, None),
        (torch.bfloat16, 64, 0.0, TURING, BOTH, None),
    ],
)
def test_which_kernel(
    dtype: torch.dtype, width: int, dropout: float, capability: tuple[int, int], there: Any, expected: str | None
) -> None:
    assert choose(dtype, width, dropout, capability, there) == expected


def test_on_the_cpu_rows_lie_side_by_side_and_pytorch_has_a_kernel_for_gpus() -> None:
    assert kernel_for(tiny_model()) is None
    assert "torch" in ragged.installed()
