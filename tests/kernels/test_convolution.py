"""Every form of a convolution against F.conv*, in float64 where it is exact, and by its own gradients."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from sefactory.kernels import convolution, few_channel_conv
from sefactory.kernels.convolution import CustomConv, Form, choose_form, convolve, padded_conv, plain_conv, run_form
from sefactory.kernels.dispatch import LANES
from sefactory.kernels.few_channel_conv import conv_rows_as_channels, conv_weight_grad, is_few_channel_conv
from sefactory.kernels.grouped_conv import (
    ConvArguments,
    channels_last_gradients,
    decompose_dilation,
    decomposed_gradients,
    decomposed_weight_gradients,
    groups_to_fill,
    merge_groups,
    recompose,
)
from sefactory.kernels.im2col import im2col_conv, im2col_gradients, is_small_conv

FEW_CHANNELS = Form(few_channel_conv.few_channel_conv, few_channel_conv.few_channel_gradients)
IM2COL = Form(im2col_conv, im2col_gradients)


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def same(y: Tensor, expected: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(
        y, expected, rtol=within, atol=within * float(expected.detach().abs().max()) if expected.numel() else 0
    )


def agree(ours: Tensor, theirs: Tensor, inputs: list[Tensor], within: float = 1e-12) -> None:
    """Values and the gradients of all inputs, also those that could be differentiated again."""
    same(ours, theirs, within)
    g = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1), dtype=theirs.dtype)
    again = torch.autograd.grad(ours, inputs, g, create_graph=True)
    found, expected = (torch.autograd.grad(y, inputs, g) for y in (ours, theirs))
    for a, b, c in zip(found, expected, again, strict=True):
        same(a, b, within)
        same(c, b, within)


def differentiates_twice(form: Form, arguments: ConvArguments, inputs: tuple[Tensor, ...]) -> bool:
    def convolved(*t: Tensor) -> Tensor:
        y: Tensor = CustomConv.apply(*t, arguments, form)
        return y

    return gradcheck(convolved, inputs, fast_mode=True) and gradgradcheck(convolved, inputs, fast_mode=True)


@pytest.mark.parametrize(("lanes", "kernel", "size"), [*product([8, 16], [(3, 3), (7, 7), (5, 1)], [(16, 5), (17, 9), (3, 4)])])
@pytest.mark.parametrize(("inputs", "biased"), [(1, True), (2, False)])
def test_thin(
    lanes: int, kernel: tuple[int, int], size: tuple[int, int], inputs: int, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_channel_conv, "ROWS", lanes)
    x, weight, bias = random(2, inputs, *size), random(1, inputs, *kernel), random(1) if biased else None
    theirs = F.conv2d(x, weight, bias, 1, (kernel[0] // 2, kernel[1] // 2))
    padding = (kernel[0] // 2, kernel[1] // 2)
    ours = run_form(FEW_CHANNELS, x, weight, bias, ConvArguments(1, padding, 1, 1))
    agree(ours, theirs, [x, weight, *([bias] if bias is not None else [])])


def test_thin_differentiates_twice() -> None:
    inputs = (random(2, 2, 5, 4), random(1, 2, 3, 3), random(1))
    assert differentiates_twice(FEW_CHANNELS, ConvArguments(1, (1, 1), 1, 1), inputs)


def test_lifted_takes_several_planes_out_and_no_batch() -> None:
    x, weight = random(2, 3, 9, 4), random(2, 3, 3, 5)
    same(conv_rows_as_channels(x, weight, None, 8), F.conv2d(x, weight, None, 1, (1, 2)))
    assert conv_rows_as_channels(x[:0], weight, None, 8).shape == (0, 2, 9, 4)
    assert conv_weight_grad(x[:0], x[:0, :1], (3, 5)).shape == (1, 3, 3, 5)


@pytest.mark.parametrize(
    ("shape", "weight", "padding", "said"),
    [
        ((8, 2, 56, 56), (1, 2, 7, 7), (3, 3), True),
        ((8, 1, 56, 56), (1, 1, 3, 5), (1, 2), True),
        ((8, 2, 56, 56), (1, 2, 7, 7), (0, 0), False),
        ((8, 1, 128, 56), (1, 1, 5, 1), (2, 0), True),
        ((8, 2, 56, 56), (1, 2, 1, 7), (0, 3), False),
        ((8, 2, 56, 56), (1, 2, 9, 9), (4, 4), False),
        ((8, 2, 56, 56), (2, 2, 7, 7), (3, 3), False),
        ((8, 3, 56, 56), (1, 3, 7, 7), (3, 3), False),
        ((8, 2, 28, 28), (1, 2, 7, 7), (3, 3), False),
        ((2, 2, 56, 56), (1, 2, 7, 7), (3, 3), False),
    ],
)
def test_what_is_thin(shape: tuple[int, ...], weight: tuple[int, ...], padding: tuple[int, ...], said: bool) -> None:
    assert is_few_channel_conv(torch.empty(shape), torch.empty(weight), padding) is said


@pytest.mark.parametrize(
    ("size", "kernel", "padding"),
    [((7, 7), (7, 7), (3, 3)), ((16, 5), (3, 5), (1, 0)), ((4, 9), (1, 3), (0, 1)), ((8,), (3,), (1,))],
)
@pytest.mark.parametrize("biased", [True, False])
def test_columned(size: tuple[int, ...], kernel: tuple[int, ...], padding: tuple[int, ...], biased: bool) -> None:
    x, weight, bias = random(2, 3, *size), random(4, 3, *kernel), random(4) if biased else None
    theirs = convolution.CONVOLUTIONS[len(size)](x, weight, bias, 1, padding)
    ours = im2col_conv(x, weight, bias, ConvArguments(1, padding, 1, 1))
    agree(ours, theirs, [x, weight, *([bias] if bias is not None else [])])


def test_columned_differentiates_twice() -> None:
    inputs = (random(2, 2, 5, 4), random(1, 2, 3, 3), random(1))
    assert gradgradcheck(lambda *t: im2col_conv(*t, ConvArguments(1, (1, 1), 1, 1)), inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("shape", "weight", "padding", "said"),
    [
        ((2, 2, 7, 7), (1, 2, 7, 7), (3, 3), True),
        ((8, 2, 28, 28), (1, 2, 7, 7), (3, 3), False),  # 22,000 pieces
        ((2, 2, 128, 7), (1, 2, 7, 7), (3, 3), True),
        ((2, 2, 56, 256), (1, 2, 7, 7), (3, 3), False),
        ((2, 1, 128), (1, 1, 3), (1,), True),
        ((1, 1, 128), (1, 1, 3), (1,), False),  # ATen does so by itself
        ((2, 4, 7, 7), (1, 4, 1, 3), (0, 1), True),
        ((2, 8, 7, 7), (1, 8, 1, 3), (0, 1), False),
        ((2, 2, 7, 7), (2, 2, 7, 7), (3, 3), False),
        ((2, 4, 7, 7), (1, 4, 1, 1), (0, 0), False),
        ((2, 2, 2, 2), (1, 2, 3, 3), (0, 0), False),
        ((0, 2, 7, 7), (1, 2, 7, 7), (3, 3), False),
        ((2, 2, 4, 4, 4), (1, 2, 3, 3, 3), (1, 1, 1), False),
    ],
)
def test_what_has_few_columns(shape: tuple[int, ...], weight: tuple[int, ...], padding: tuple[int, ...], said: bool) -> None:
    assert is_small_conv(torch.empty(shape), torch.empty(weight), padding) is said


@pytest.mark.parametrize(
    ("shape", "weight", "lanes", "said"),
    [
        ((8, 2, 28, 28), (1, 2, 7, 7), 8, Form()),
        ((8, 2, 28, 28), (1, 2, 7, 7), 16, Form()),
        ((1, 2, 28, 28), (1, 2, 7, 7), 8, Form()),
        ((8, 1, 28, 28), (1, 1, 7, 7), 8, Form()),
        ((8, 4, 28, 28), (1, 4, 7, 7), 8, Form()),
        ((8, 2, 28, 28), (2, 2, 7, 7), 8, Form()),
        ((8, 2, 28, 28), (1, 2, 1, 1), 8, Form()),
        ((8, 2, 56, 56), (1, 2, 7, 7), 8, FEW_CHANNELS),
        ((8, 2, 7, 7), (1, 2, 7, 7), 8, IM2COL),
        ((8, 2, 9000), (1, 2, 3), 8, Form()),
    ],
)
def test_the_form_of_few_planes(shape: tuple[int, ...], weight: tuple[int, ...], lanes: int, said: Form) -> None:
    padding = tuple(k // 2 for k in weight[2:])
    assert choose_form(torch.empty(shape), torch.empty(weight), ConvArguments(1, padding, 1, 1), lanes, True) == said


@pytest.mark.parametrize(
    ("inputs", "out", "groups", "together"),
    [
        (4, 4, 32, 2),
        (2, 2, 32, 4),
        (8, 8, 4, 1),
        (1, 2, 64, 8),
        (12, 12, 8, 2),
        (3, 3, 8, 8),
        (9, 9, 8, 1),
        (4, 4, 3, 1),
        (4, 8, 4, 2),
    ],
)
def test_number_of_merged_groups(inputs: int, out: int, groups: int, together: int) -> None:
    assert groups_to_fill(torch.empty(groups * out, inputs, 3, 3), groups, 8) == together


@pytest.mark.parametrize(
    ("inputs", "out", "dilation", "trained", "together"),
    [
        (4, 4, 1, True, 2),
        (4, 4, 1, False, 1),
        (4, 4, 2, True, 1),
        (2, 2, 2, False, 4),
        (3, 3, 1, False, 8),
        (4, 2, 2, True, 4),
        (8, 8, 1, True, 1),
    ],
)
def test_half_register_groups_merge_in_training(inputs: int, out: int, dilation: int, trained: bool, together: int) -> None:
    """Where it holds 16; groups of fewer than 4 channels go together without one, too."""
    x, weight = torch.empty(2, 8 * inputs, 6, 5), torch.empty(8 * out, inputs, 3, 3)
    arguments = ConvArguments(1, (dilation, dilation), dilation, 8)
    assert choose_form(x, weight, arguments, 16, trained).merged_groups == together
    assert choose_form(x, weight, arguments, 0, trained).merged_groups == 1


Given = tuple[int, tuple[int, ...], int, int]
"""stride, padding, dilation, groups"""


def grouped(x: Tensor, weight: Tensor, bias: Tensor | None, given: Given, lanes: int) -> Tensor:
    """As `convolve` writes it where a register has so many lanes."""
    arguments = ConvArguments(*given)
    return run_form(choose_form(x, weight, arguments, lanes, weight.requires_grad), x, weight, bias, arguments)


@pytest.fixture(autouse=True)
def _phases_of_small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests are of small maps; where phases begin to pay has a test of its own."""
    monkeypatch.setattr(convolution, "MIN_NUMEL_BACKWARD", 0)
    monkeypatch.setattr(convolution, "MIN_NUMEL", 0)
    monkeypatch.setattr(convolution, "LANES", LANES or 8)  # a processor that has none computes the same forms, slowly


@pytest.mark.parametrize("lanes", [8, 16])
def test_gradients_of_their_own_are_of_large_maps(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "MIN_NUMEL_BACKWARD", 2 * 16 * 6 * 5)
    weight = random(16, 4, 3, 3)
    for size, own in (((6, 5), False), ((6, 6), True)):
        y = grouped(random(2, 16, *size), weight, None, (1, (2, 2), 2, 4), lanes)
        assert ("CustomConv" in type(y.grad_fn).__name__) is own


@pytest.mark.parametrize(
    ("inputs", "dilation", "own"), [(4, 1, True), (4, 2, True), (8, 1, False), (8, 2, True), (16, 2, False)]
)
def test_gradients_of_narrow_groups(inputs: int, dilation: int, own: bool) -> None:
    """Where a register holds 16 values; of three groups, which cannot go together by twos."""
    x, weight = random(2, 3 * inputs, 6, 5), random(12, inputs, 3, 3)
    ours = grouped(x, weight, None, (1, (dilation, dilation), dilation, 3), 16)
    agree(ours, F.conv2d(x, weight, None, 1, dilation, dilation, 3), [x, weight])
    assert ("CustomConv" in type(ours.grad_fn).__name__) is own


@pytest.mark.parametrize("together", [1, 2, 4])
def test_merged_groups_are_the_same_convolution(together: int) -> None:
    x, weight = random(2, 8, 5, 6), random(12, 2, 3, 3)
    ours = F.conv2d(x, merge_groups(weight, 4, together), groups=4 // together)
    agree(ours, F.conv2d(x, weight, groups=4), [x, weight])


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (1, 2, 2), (1, 0, 2), (1, 1, 2), (2, 2, 2), (1, 3, 3)])
@pytest.mark.parametrize("size", [(12, 6), (7, 10)])
def test_grouped(lanes: int, stride: int, padding: int, dilation: int, size: tuple[int, int]) -> None:
    x, weight, bias = random(2, 16, *size), random(16, 4, 3, 3), random(16)
    ours = grouped(x, weight, bias, (stride, (padding, padding), dilation, 4), lanes)
    agree(ours, F.conv2d(x, weight, bias, stride, padding, dilation, 4), [x, weight, bias])
    own = stride == 1 and dilation > 1 and (lanes == 16 or padding % dilation == 0)
    assert ("CustomConv" in type(ours.grad_fn).__name__) is own


@pytest.mark.parametrize("gradients", [decomposed_weight_gradients, channels_last_gradients])
def test_windows_differentiate_twice(gradients: Callable[..., Any]) -> None:
    inputs = (random(1, 4, 4, 3), random(2, 2, 3, 3), random(2))
    assert differentiates_twice(Form(gradients=gradients), ConvArguments(1, (2, 2), 2, 2), inputs)


def test_phases_are_every_other_row_and_column() -> None:
    x = random(2, 3, 5, 4)
    parts = decompose_dilation(x, (2, 2)).unflatten(0, (2, 2, 2))
    same(parts[1, 0, :, :, :, :], F.pad(x, (0, 0, 0, 1))[:, :, 1::2, ::2])
    same(parts[0, 1, :, :, :, :], F.pad(x, (0, 0, 0, 1))[:, :, ::2, 1::2])
    same(decompose_dilation(x, (3, 1)).unflatten(0, (3, 1, 2))[2, 0], F.pad(x, (0, 0, 0, 1))[:, :, 2::3])


@pytest.mark.parametrize("steps", [(2, 2), (3, 1), (1, 2), (4, 5)])
def test_phases_are_joined_again(steps: tuple[int, int]) -> None:
    x = random(2, 3, 5, 4)
    assert torch.equal(recompose(decompose_dilation(x, steps), steps, (5, 4)), x)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (7, 1), (5, 3), (2, 4)])
@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("size", [(21, 19), (20, 24)])
def test_a_dilated_window_of_each_channel(kernel: tuple[int, int], dilation: int, more: int, size: tuple[int, int]) -> None:
    x, weight, bias = random(2, 4, *size), random(4, 1, *kernel), random(4)
    padding = tuple(dilation * (k // 2 + more) if k > 1 else 0 for k in kernel)
    ours = grouped(x, weight, bias, (1, padding, dilation, 4), 8)
    agree(ours, F.conv2d(x, weight, bias, 1, padding, dilation, 4), [x, weight, bias])
    assert "CustomConv" in type(ours.grad_fn).__name__


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("kernel", [(1, 9), (1, 11), (3, 13), (15, 15), (21, 1)])
def test_a_window_of_each_channel_that_reaches_far(
    lanes: int, kernel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "LANES", lanes)
    x, weight, bias = random(2, 4, 9, 12), random(4, 1, *kernel), random(4)
    padding = (kernel[0] // 2, kernel[1] // 2)
    ours = grouped(x, weight, bias, (1, padding, 1, 4), lanes)
    agree(ours, F.conv2d(x, weight, bias, 1, padding, 1, 4), [x, weight, bias])
    assert ("CustomConv" in type(ours.grad_fn).__name__) is (padding[1] > {8: 4, 16: 6}[lanes])


@pytest.mark.parametrize(
    ("shape", "padding", "dilation", "trained", "each"),
    [
        ((4, 16, 16, 9), 2, 2, True, True),
        ((4, 16, 16, 9), 2, 2, False, False),  # the forward alone has a kernel
        ((4, 16, 16, 9), 9, 3, False, True),
        ((4, 16, 16, 8), 9, 3, False, False),  # small
        ((4, 16, 16, 9), 10, 3, False, False),  # no whole phases
        ((4, 16, 144), 9, 3, False, False),
    ],
)
def test_when_a_window_of_each_channel_has_its_own_form(
    shape: tuple[int, ...], padding: int, dilation: int, trained: bool, each: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "MIN_NUMEL_BACKWARD", 2**13)
    axes = len(shape) - 2
    weight = torch.randn(16, 1, *[7] * axes)
    arguments = ConvArguments(1, (padding,) * axes, dilation, 16)
    expected = Form(padded_conv if padding > 6 else plain_conv, decomposed_gradients) if each else Form()
    assert choose_form(torch.empty(shape), weight, arguments, 16, trained) == expected
    assert choose_form(torch.empty(shape), weight, arguments._replace(stride=2), 16, trained) == Form()


@pytest.mark.parametrize(
    "form", [Form(padded_conv), Form(padded_conv, decomposed_gradients), Form(gradients=decomposed_gradients)]
)
def test_windows_of_each_channel_differentiate_twice(form: Form) -> None:
    dilation = 2 if form.gradients is decomposed_gradients else 1
    inputs = (random(1, 2, 4, 3), random(2, 1, 3, 3), random(2))
    assert differentiates_twice(form, ConvArguments(1, (dilation, dilation), dilation, 2), inputs)


GIVEN = [
    ((8, 2, 64, 32), (1, 2, 7, 7), 1, 3, 1, 1, "CustomConv"),
    ((4, 16, 10, 8), (16, 4, 3, 3), 1, 2, 2, 4, "CustomConv"),
    ((2, 2, 7, 9), (1, 2, 7, 7), 1, 3, 1, 1, "Slow"),
    ((2, 2, 30, 7), (1, 2, 3, 3), 1, 1, 1, 1, "Transpose"),
    ((4, 1, 32), (1, 1, 3), 1, 1, 1, 1, "Squeeze"),
    ((4, 16, 10, 8), (16, 4, 3, 3), 2, 1, 1, 4, None),
    ((4, 16, 10, 8), (16, 1, 3, 3), 1, 1, 1, 16, "Convolution"),
    ((4, 16, 10, 8), (16, 1, 3, 3), 1, 2, 2, 16, "CustomConv"),
    ((4, 16, 10, 8), (16, 1, 3, 3), 1, 1, 2, 16, "Convolution"),
    ((4, 16, 10, 8), (16, 1, 3, 3), 2, 2, 2, 16, "Convolution"),
    ((4, 16, 10), (16, 1, 3), 1, 2, 2, 16, "Convolution"),
    ((4, 16, 10, 8), (8, 16, 1, 1), 1, 0, 1, 1, "Convolution"),
    ((4, 16, 10), (16, 4, 3), 1, 1, 1, 4, None),
    ((2, 4, 5, 6, 4), (4, 2, 3, 3, 3), 1, 1, 1, 2, "Convolution"),
]


@pytest.mark.parametrize(("shape", "weight", "stride", "padding", "dilation", "groups", "by"), GIVEN)
@pytest.mark.parametrize("apart", [False, True])
def test_convolve_is_the_convolution(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    by: str | None,
    apart: bool,
) -> None:
    x, w = random(*shape, dtype=torch.float32), random(*weight, dtype=torch.float32)
    at = x.transpose(0, 1).contiguous().transpose(0, 1) if apart else x
    given = (stride, padding, dilation, groups)
    ours = convolve(at, w, None, stride, (padding,) * (len(shape) - 2), dilation, groups)
    agree(ours, convolution.CONVOLUTIONS[len(shape) - 2](at, w, None, *given), [x, w], 1e-5)
    assert by is None or by in type(ours.grad_fn).__name__


@pytest.mark.parametrize(("shape", "weight", "stride", "padding", "dilation", "groups", "by"), GIVEN)
@pytest.mark.parametrize("batch", [0, 2])
def test_convolve_in_double_precision_and_without_samples(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    by: str | None,
    batch: int,
) -> None:
    x, w, b = random(batch, *shape[1:]), random(*weight), random(weight[0])
    ours = convolve(x, w, b, stride, (padding,) * (len(shape) - 2), dilation, groups)
    same(ours, convolution.CONVOLUTIONS[len(shape) - 2](x, w, b, stride, padding, dilation, groups))


@pytest.mark.parametrize("case", [0, 1])
def test_gradients_are_repeatable_and_leave_theirs_alone(case: int) -> None:
    shape, weight, stride, padding, dilation, groups, _ = GIVEN[case]
    x, w = random(*shape, dtype=torch.float32), random(*weight, dtype=torch.float32)
    y = convolve(x, w, None, stride, (padding, padding), dilation, groups)
    g = torch.randn(y.shape)
    kept = g.clone()
    first, second = (torch.autograd.grad(y, (x, w), g, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) and torch.equal(g, kept)
    (only,) = torch.autograd.grad(y, w, g)
    assert torch.equal(only, first[1])


def test_a_shared_gradient_needs_no_memory_of_its_own() -> None:
    x, w = random(8, 2, 64, 32, dtype=torch.float32), random(1, 2, 3, 3, dtype=torch.float32)
    y = convolve(x, w, None, 1, (1, 1), 1, 1)
    theirs = torch.autograd.grad(F.conv2d(x, w, None, 1, 1).sum(), (x, w))
    for a, b in zip(torch.autograd.grad(y.sum(), (x, w)), theirs, strict=True):
        same(a, b, 1e-5)


@pytest.mark.parametrize(("shape", "weight", "stride", "padding", "dilation", "groups", "by"), GIVEN)
def test_the_gradients_by_themselves(
    shape: tuple[int, ...], weight: tuple[int, ...], stride: int, padding: int, dilation: int, groups: int, by: str | None
) -> None:
    x, w, b = (random(*s, dtype=torch.float32) for s in (shape, weight, weight[:1]))
    pads = (padding,) * (len(shape) - 2)
    y = convolution.CONVOLUTIONS[len(shape) - 2](x, w, b, stride, pads, dilation, groups)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    wanted = torch.autograd.grad(y, [x, w, b], g)
    found = convolution.convolve_backward(g, x.detach(), w.detach(), ConvArguments(stride, pads, dilation, groups))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)  # sums of 16,000 products
