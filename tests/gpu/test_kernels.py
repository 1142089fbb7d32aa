"""What needs a GPU: `pytest tests/gpu`. CI, which has none, does not look here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.test_packing import assert_same_gradients, gradients, rows_for
from tests.unit.test_ragged import written_out
from tests.unit.test_sft import settings, training_rows
from trainers import cross_entropy, ragged
from trainers.packing import padding_free, weighted_loss
from trainers.ragged import Ragged
from trainers.sft import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CUDA = torch.device("cuda")


@pytest.mark.parametrize("kernel", sorted(ragged.installed()))
@pytest.mark.parametrize("window", [None, 5])
def test_attention_kernels_do_what_is_written_out(kernel: ragged.Kernel, window: int | None) -> None:
    rows = Ragged.of(kernel, 4, (4, 11, 13), (11, 6, 30))
    torch.manual_seed(0)
    q, k, v = (torch.randn(n, heads, 64) for n, heads in ((39, 4), (51, 2), (51, 2)))
    expected = written_out(q, k, v, rows, scale=None, dropout=0.0, window=window)
    low = (states.to(CUDA, torch.bfloat16) for states in (q, k, v))
    found = ragged.KERNELS[kernel](*low, rows.to(CUDA), scale=None, dropout=0.0, window=window)
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0.03, atol=0.03)


def test_liger_gives_loss_and_gradients_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("liger_kernel")
    model, rows = tiny_model().to(CUDA), rows_for(tiny_tokenizer(), "none")
    with padding_free(model):
        expected = weighted_loss(model, rows)
        expected_gradients = gradients(model, expected)
        monkeypatch.setattr(cross_entropy, "LOGITS_BYTES", 1)
        found = weighted_loss(model, rows)
        assert_same_gradients(gradients(model, found), expected_gradients)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("changes", [{}, {"compile": True}, {"optimizer": "adamw-8bit"}, {"precision": "bf16-pure"}])
def test_a_gpu_trains_what_the_cpu_does(changes: dict[str, Any]) -> None:
    chosen = settings(**{"precision": "bf16"} | changes)
    report = fit(tiny_model().to(CUDA), training_rows(), chosen, chosen.lr, 1)
    expected = fit(tiny_model(), training_rows(), settings(precision="fp32"), chosen.lr, 1)
    assert [row.loss for row in report.losses] == pytest.approx([row.loss for row in expected.losses], rel=0.05)
