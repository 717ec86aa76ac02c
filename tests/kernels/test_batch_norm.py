"""Batch normalisation in training mode against F.batch_norm: values, gradients, running statistics, precision."""

from contextlib import suppress

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from sefactory.kernels.batch_norm import MAX_OFFSET, batch_norm

SHAPES = [(4, 3, 5, 4), (2, 1, 30), (1, 5, 4, 4), (3, 2, 2, 3, 4), (64, 3), (5, 4, 1, 1)]


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype).requires_grad_()


def parameters(channels: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Running mean, running variance, weight and bias."""
    mean, var = torch.zeros(channels, dtype=dtype), torch.ones(channels, dtype=dtype)
    return mean, var, random(channels, dtype=dtype), random(channels + 1, dtype=dtype)[1:].detach().requires_grad_()


def is_own(y: Tensor) -> bool:
    """True if the kernel's own function made the result."""
    return "_BatchNorm" in type(y.grad_fn).__name__


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 50.0])
@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_it_is_batch_normalisation(shape: tuple[int, ...], offset: float, momentum: float) -> None:
    x, (mean, var, weight, bias) = random(*shape), parameters(shape[1])
    expected_mean, expected_var = mean.clone(), var.clone()
    g = random(*shape).detach().flip(0) + x.detach()
    y = batch_norm(x + offset, mean, var, weight, bias, momentum, 1e-5)
    expected = F.batch_norm(x + offset, expected_mean, expected_var, weight, bias, True, momentum, 1e-5)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
    inputs = (x, weight, bias)
    for a, b in zip(torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for a, b in ((mean, expected_mean), (var, expected_var)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_it_differentiates_twice() -> None:
    x, (mean, var, weight, bias) = random(2, 2, 4, 4), parameters(2)

    def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return batch_norm(x, mean.clone(), var.clone(), weight, bias, 0.1, 1e-5)

    assert is_own(normalise(x, weight, bias))
    assert gradcheck(normalise, (x, weight, bias), fast_mode=True)
    assert gradgradcheck(normalise, (x, weight, bias), fast_mode=True)


@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0, 0.95 * MAX_OFFSET**0.5, 1.05 * MAX_OFFSET**0.5, 10.0, 100.0])
def test_a_mean_far_from_zero_is_precise(offset: float) -> None:
    x = (0.3 * random(8, 4, 40, 40, dtype=torch.float32) + 0.3 * offset).detach().requires_grad_()
    mean, var, *_ = parameters(4, torch.float32)
    one, zero = torch.ones(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    y = batch_norm(x, mean, var, one, zero, 1.0, 1e-12)
    assert is_own(y) == (offset < MAX_OFFSET**0.5)
    double = x.detach().double()
    exact_var, exact_mean = torch.var_mean(double, (0, 2, 3))
    torch.testing.assert_close(var.double(), exact_var, rtol=1e-5, atol=0)
    torch.testing.assert_close(mean.double(), exact_mean, rtol=1e-6, atol=1e-7)
    std = double.var((0, 2, 3), correction=0).sqrt().view(-1, 1, 1)
    assert float((y.detach() - (double - exact_mean.view(-1, 1, 1)) / std).abs().max()) < 1e-5 * (1 + offset)


@pytest.mark.parametrize("value", [1e25, float("inf"), float("nan"), 0.0])
def test_values_that_atens_function_takes(value: float) -> None:
    x = random(4, 3, 8, 8, dtype=torch.float32).detach().clone()
    x[:, 1] = x[:, 1] * value if value else 7.0
    outputs = []
    for function in (batch_norm, lambda *t: F.batch_norm(*t[:5], True, *t[5:])):
        mean, var, weight, bias = parameters(3, torch.float32)
        outputs.append((function(x, mean, var, weight, bias, 0.1, 1e-5), mean, var))
    for a, b in zip(*outputs, strict=True):
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def test_no_values_and_one_value() -> None:
    x, (mean, var, weight, bias) = random(2, 3, 5, 5), parameters(3)
    assert batch_norm(x[:0], mean, var, weight, bias, 0.1, 1e-5).shape == (0, 3, 5, 5)
    with pytest.raises(ValueError, match="^Expected more than 1 value per channel when training, got input size"):
        batch_norm(x[:1, :, :1, :1].contiguous(), mean, var, weight, bias, 0.1, 1e-5)


def test_eps_of_0_is_left_to_torch() -> None:
    x, (mean, var, weight, bias) = random(4, 3, 8, 8), parameters(3)
    with suppress(ValueError):  # torch 2.13 refuses it in training
        assert not is_own(batch_norm(x, mean, var, weight, bias, 0.1, 0.0))


def test_an_activation_may_overwrite_the_result() -> None:
    x, (mean, var, weight, bias) = random(4, 3, 8, 8), parameters(3)
    y = F.relu(batch_norm(x, mean, var, weight, bias, 0.1, 1e-5), inplace=True)
    expected = F.relu(F.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5))
    torch.testing.assert_close(y, expected)
    found, wanted = (torch.autograd.grad(t.square().sum(), x)[0] for t in (y, expected))
    torch.testing.assert_close(found, wanted)
