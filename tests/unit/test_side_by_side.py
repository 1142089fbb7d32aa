"""Attention over rows side by side against PyTorch's, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainers import side_by_side as rows_of
from trainers.packing import FlatRows, flatten
from trainers.side_by_side import causal_attention, short_row_attention

SHARED = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 7, 8, 9, 10, 11]]
APART = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
States = tuple[Tensor, Tensor, Tensor]


def states(flat: FlatRows, heads: int, key_heads: int, size: int = 8, value: torch.dtype = torch.float32) -> States:
    torch.manual_seed(0)
    tokens = flat.input_ids.shape[1]
    q, k, v = (torch.randn(1, tokens, n, size).transpose(1, 2) for n in (heads, key_heads, key_heads))
    return q.requires_grad_(), k.requires_grad_(), v.to(value).requires_grad_()


def row_by_row(flat: FlatRows, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each row alone; the prefix from the first."""
    found = torch.zeros(q.shape[2], *q.shape[1::2])
    for number, length in reversed(list(enumerate(flat.lengths))):
        index = torch.tensor([flat.index(number, position) for position in range(length)])
        out = functional.scaled_dot_product_attention(
            q[:, :, index], k[:, :, index], v[:, :, index].float(), is_causal=True, enable_gqa=True
        )
        found = found.index_copy(0, index, out[0].transpose(0, 1))
    return found.unsqueeze(0)


def with_gradients(out: Tensor, given: States) -> list[Tensor]:
    torch.manual_seed(1)
    return [out, *torch.autograd.grad(out, given, torch.randn(out.shape).to(out.dtype))]


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("sequences", [SHARED, APART, SHARED[:1]])
def test_short_rows_are_what_each_is_alone(sequences: list[list[int]], heads: int, key_heads: int) -> None:
    flat = flatten(sequences)
    given = states(flat, heads, key_heads)
    expected = with_gradients(row_by_row(flat, *given), given)
    ours = with_gradients(short_row_attention(*given, flat.layout, None), given)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_scale_of_the_models_own() -> None:
    flat = flatten(SHARED)
    q, k, v = states(flat, 4, 2)
    found = short_row_attention(q, k, v, flat.layout, 0.5)
    torch.testing.assert_close(found, row_by_row(flat, q * 0.5 * 8**0.5, k, v), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spread", [1, 3, 5])
def test_in_bfloat16_it_is_about_as_exact_as_pytorchs(monkeypatch: pytest.MonkeyPatch, spread: float) -> None:
    flat = flatten([[1, 2, *range(10 * row, 10 * row + 30 + row)] for row in range(1, 7)])
    q, k, v = states(flat, 6, 2, size=64, value=torch.bfloat16)
    given = (q.detach() * spread).requires_grad_(), (k.detach() * spread).requires_grad_(), v
    expected = with_gradients(row_by_row(flat, *given), given)

    def errors() -> list[float]:
        with torch.autocast("cpu"):
            found = with_gradients(causal_attention(*given, flat.layout, None, 0.0, None), given)
        return [(mine.float() - theirs.float()).norm().item() for mine, theirs in zip(found, expected, strict=True)]

    ours = errors()
    monkeypatch.setattr(rows_of, "WIDEST", 0)
    theirs = errors()
    assert all(0 < mine < 1.4 * other for mine, other in zip(ours, theirs, strict=True)), (ours, theirs)


@pytest.mark.parametrize(
    ("width", "window", "dropout", "low", "short"),
    [
        (128, None, 0.0, False, True),
        (129, None, 0.0, False, False),
        (128, None, 0.0, True, True),
        (129, None, 0.0, True, False),
        (20, 20, 0.0, False, True),
        (20, 19, 0.0, False, False),
        (20, None, 0.1, False, False),
    ],
)
def test_which_rows_are_short(
    monkeypatch: pytest.MonkeyPatch, width: int, window: int | None, dropout: float, low: bool, short: bool
) -> None:
    came: list[int] = []
    monkeypatch.setattr(rows_of, "short_row_attention", lambda *_: came.append(1))
    flat = flatten([list(range(width)), [0, 7]])
    with torch.autocast("cpu", enabled=low):
        causal_attention(*states(flat, 2, 2), flat.layout, None, dropout, window)
    assert bool(came) is short
