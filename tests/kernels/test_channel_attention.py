"""Products of heads against the plain formula: of views, twice differentiated, for a compiler; nothing is copied for them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from sefactory.kernels import channel_attention as kernels
from sefactory.kernels.channel_attention import apply_head_weights, head_scores
from sefactory.kernels.dispatch import LARGE
from tests.kernels.comparison import agree, random

Views = tuple[Tensor, tuple[Tensor, Tensor, Tensor]]


def plain_scores(q: Tensor, k: Tensor, heads: int) -> Tensor:
    return torch.stack([a @ b.transpose(1, 2) for a, b in zip(q.chunk(heads, 1), k.chunk(heads, 1), strict=True)], 1)


def plain_mixed(a: Tensor, v: Tensor) -> Tensor:
    return torch.cat([w @ x for w, x in zip(a.unbind(1), v.chunk(a.shape[1], 1), strict=True)], 1)


@pytest.fixture(params=["small", "large"])
def path(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A product of four dimensions, and the functions of large maps."""
    if request.param == "large":
        monkeypatch.setattr(kernels, "cpu_fast_path", lambda x: True)
    return str(request.param)


def views(batch: int, channels: int, tokens: int) -> Views:
    whole = random(batch, 3 * channels, tokens)
    q, k, v = whole.split(channels, 1)
    return whole, (q, k, v)


@pytest.mark.parametrize(("batch", "heads", "tokens"), [(2, 3, 5), (1, 2, 1), (3, 1, 4), (2, 6, 3)])
def test_products_of_heads(path: str, batch: int, heads: int, tokens: int) -> None:
    whole, (q, k, _) = views(batch, 6, tokens)
    agree(head_scores(q, k, heads), plain_scores(q, k, heads), (whole,))
    whole, (q, k, v) = views(batch, 6, tokens)
    a = random(batch, heads, 6 // heads, 6 // heads)
    agree(apply_head_weights(a, v), plain_mixed(a, v), (a, whole))
    whole, (_, k, _) = views(batch, 6, tokens)
    turned = random(batch, tokens, 6)  # channels last
    q = turned.transpose(1, 2)
    agree(head_scores(q, k, heads), plain_scores(q, k, heads), (turned, whole))


def test_heads_of_two_widths(path: str) -> None:
    q, k, v = random(2, 4, 7), random(2, 6, 7), random(2, 8, 7)
    agree(head_scores(q, k, 2), plain_scores(q, k, 2), (q, k))
    a = random(2, 2, 3, 4)
    agree(apply_head_weights(a, v), plain_mixed(a, v), (a, v))


def test_products_of_heads_differentiate_twice(path: str) -> None:
    q, k, a = random(2, 4, 3), random(4, 2, 3).view(2, 4, 3), random(2, 2, 2, 2)
    inputs = tuple(t.detach().requires_grad_() for t in (q, k))
    for found in (lambda *t: head_scores(*t, 2), lambda *t: apply_head_weights(a, t[0]) * t[1]):
        assert gradcheck(found, inputs, fast_mode=True) and gradgradcheck(found, inputs, fast_mode=True)


def test_of_no_samples(path: str) -> None:
    q, a = random(0, 4, 3), random(0, 2, 2, 2)
    y = apply_head_weights(a, q) + apply_head_weights(head_scores(q, q, 2), q)
    y.sum().backward()
    assert y.shape == (0, 4, 3) and q.grad is not None


def kept(q: Tensor, k: Tensor) -> set[int]:
    """The memory that is kept for the backward."""
    found: set[int] = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: found.add(t.untyped_storage().data_ptr()) or t, lambda t: t):  # type: ignore[func-returns-value]
        head_scores(q, k, 2)
    return found


def test_large_views_are_kept_where_they_lie() -> None:
    whole = torch.randn(2, 12, LARGE // 4, requires_grad=True)
    q, k, _ = whole.split(4, 1)
    assert kept(q, k) == {whole.untyped_storage().data_ptr()}
    small = whole[:, :, : LARGE // 16]
    q, k, _ = small.split(4, 1)
    assert kept(q, k) != {whole.untyped_storage().data_ptr()}  # a small one is copied, which is faster
