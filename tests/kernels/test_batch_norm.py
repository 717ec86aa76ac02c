"""Batch normalisation in training against F.batch_norm: values, gradients, running statistics, precision."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from sefactory.kernels.batch_norm import FAR, batch_norm, moments

SHAPES = [(4, 3, 5, 4), (2, 1, 30), (1, 5, 4, 4), (3, 2, 2, 3, 4), (64, 3), (5, 4, 1, 1)]


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype).requires_grad_()


def learned(channels: int, affine: bool) -> list[Tensor | None]:
    return [random(channels), random(channels + 1)[1:].detach().requires_grad_()] if affine else [None, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("offset", [0.0, 50.0])
@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_it_is_batch_normalisation(shape: tuple[int, ...], affine: bool, offset: float, momentum: float) -> None:
    x, (weight, bias) = random(*shape), learned(shape[1], affine)
    running = [random(shape[1]).detach().abs() for _ in range(2)]
    theirs_running = [t.clone() for t in running]
    inputs = [t for t in (x, weight, bias) if t is not None]
    g = random(*shape).detach().flip(0) + x.detach()
    ours = batch_norm(x + offset, *running, weight, bias, True, momentum, 1e-5)
    theirs = F.batch_norm(x + offset, *theirs_running, weight, bias, True, momentum, 1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    for a, b in zip(torch.autograd.grad(ours, inputs, g), torch.autograd.grad(theirs, inputs, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for a, b in zip(running, theirs_running, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
def test_it_differentiates_twice(affine: bool) -> None:
    inputs = [t for t in (random(2, 2, 4, 4), *learned(2, affine)) if t is not None]

    def normalised(*t: Tensor) -> Tensor:
        return batch_norm(t[0], None, None, *(t[1:] if affine else (None, None)), True, 0.1, 1e-5)

    assert "_Normalised" in type(normalised(*inputs).grad_fn).__name__
    assert gradcheck(normalised, inputs, fast_mode=True) and gradgradcheck(normalised, inputs, fast_mode=True)


@pytest.mark.parametrize("far", [0.0, 1.0, 3.0, 0.99 * FAR**0.5, 1.01 * FAR**0.5, 10.0, 100.0])
def test_the_variance_is_exact_far_from_zero(far: float) -> None:
    x = (0.3 * random(8, 4, 40, 40, dtype=torch.float32) + 0.3 * far).detach()
    mean, var = moments(x)
    expected = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(var, expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(mean, expected[1], rtol=1e-6, atol=1e-7)
    y = batch_norm(x, None, None, None, None, True, 0.1, 0.0)
    exact = (x.double() - expected[1].view(-1, 1, 1)) / expected[0].sqrt().view(-1, 1, 1)
    assert float((y - exact).abs().max()) < 1e-5 * (1 + far)


def test_one_channel_far_and_one_constant() -> None:
    x = random(4, 3, 8, 8, dtype=torch.float32).detach().clone()
    x[:, 1], x[:, 2] = x[:, 1] + 1000, 7.0
    mean, var = moments(x)
    torch.testing.assert_close(var, x.double().var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-12)
    assert mean[2] == 7 and var[2] == 0
    assert torch.equal(batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[:, 2], torch.zeros(4, 8, 8))


@pytest.mark.parametrize("value", [1e25, float("inf"), float("nan")])
def test_what_float32_cannot_square(value: float) -> None:
    x = random(4, 3, 8, 8, dtype=torch.float32).detach().clone()
    x[:, 1] *= value
    running = torch.zeros(3), torch.ones(3)
    theirs = torch.zeros(3), torch.ones(3)
    ours = batch_norm(x, *running, None, None, True, 0.1, 1e-5), *running
    for a, b in zip(ours, (F.batch_norm(x, *theirs, training=True), *theirs), strict=True):
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def test_evaluation_and_nothing_to_train_on() -> None:
    x, mean, var = random(2, 3, 5, 5), torch.rand(3).double(), torch.rand(3).double()
    assert torch.equal(batch_norm(x, mean, var, None, None, False, 0.1, 1e-5), F.batch_norm(x, mean, var))
    assert batch_norm(x[:0], mean, var, None, None, True, 0.1, 1e-5).shape == (0, 3, 5, 5)
    with pytest.raises(
        ValueError, match=r"^Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 3"
    ):
        batch_norm(x[:1, :, :1, :1], mean, var, None, None, True, 0.1, 1e-5)


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (3, 1, 0, 2)])
def test_any_memory_order(order: tuple[int, ...]) -> None:
    x = random(4, 5, 4, 6)
    ours, theirs = (f(x.permute(order), None, None, None, None, True, 0.1, 1e-5) for f in (batch_norm, F.batch_norm))
    torch.testing.assert_close(ours, theirs)
    assert "_Normalised" not in type(ours.grad_fn).__name__  # ATen's is as fast where channels lie last


def test_gradients_are_repeatable_and_leave_theirs_alone() -> None:
    x, weight, bias = random(4, 3, 8, 8), random(3), random(3)
    y = batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5)
    g = y.detach().clone()
    first, second = (torch.autograd.grad(y, (x, weight, bias), g, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) and torch.equal(g, y)
    (only,) = torch.autograd.grad(y, bias, g)
    torch.testing.assert_close(only, first[2])


def test_an_activation_may_write_into_the_result() -> None:
    x = random(4, 3, 8, 8)
    ours, theirs = (
        F.relu(f(x, None, None, None, None, True, 0.1, 1e-5), inplace=f is batch_norm) for f in (batch_norm, F.batch_norm)
    )
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(found, expected)
