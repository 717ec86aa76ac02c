"""Direct statements of what an operator computes, by einsum, slices and loops; nothing of the package in them."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, einsum, nn
from torch.nn import functional as F

from sefactory.config.registry import find_operator
from sefactory.shapes import Sizes

S, C, H, W = 2, 6, 4, 5
LETTERS = "schw"


def random_map(s: int = S, c: int = C, h: int = H, w: int = W, batch: int = 3) -> Tensor:
    """A random x_BSCHW in float64; all values differ."""
    return torch.randn(batch, s, c, h, w, generator=torch.Generator().manual_seed(s + 10 * c), dtype=torch.float64)


def sizes_of(x: Tensor) -> Sizes:
    return Sizes(tuple(x.shape[1:]))


def initial_operator(name: str, x: Tensor, **parameters: Any) -> nn.Module:
    """The operator with its initial weights, in eval mode and float64."""
    found = find_operator(name)
    assert found is not None
    return found.make(sizes_of(x), **parameters).double().eval()


def random_operator(name: str, x: Tensor, **parameters: Any) -> nn.Module:
    """The operator with every weight random."""
    module = initial_operator(name, x, **parameters)
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def assert_same(found: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def check_declared_sizes(module: nn.Module, x: Tensor, y: Tensor) -> None:
    """Checks that the output has the declared sizes."""
    sizes = getattr(module, "sizes", sizes_of(x))
    assert tuple(y.shape[1:]) == sizes.extents


def contract(equation: str, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    """The einsum for each group of the first mixed axis; the outputs `o` are concatenated."""
    inputs, maps, out = equation.replace("->", ",").split(",")
    mixed = maps[maps.index("o") + 1 :]
    if groups == 1:
        return einsum(equation, x, weight)
    parts = zip(x.chunk(groups, inputs.index(mixed[0])), weight.chunk(groups, maps.index("o")), strict=True)
    return torch.cat([einsum(equation, *part) for part in parts], out.index("o"))


def biased(equation: str, y: Tensor, bias: Tensor) -> Tensor:
    """y + bias, one value for each index of the `each` axes and of `o`."""
    _, maps, out = equation.replace("->", ",").split(",")
    return y + einsum(f"{out},{maps[: maps.index('o') + 1]}->{out}", torch.ones_like(y), bias)


def slide(equation: str, x: Tensor, weight: Tensor, along: str, stride: int, dilation: int, groups: int) -> Tensor:
    """Sum over the offsets of a window with zeros outside; the kernel axes of the weight are its last, as in `along`."""
    dims = ["bschw".index(axis) for axis in along]
    kernel = weight.shape[weight.dim() - len(along) :]
    total: Tensor | None = None
    for offsets in product(*[range(k) for k in kernel]):
        moved = x
        for dim, offset, k in zip(dims, offsets, kernel, strict=True):
            moved = shift(moved, dim, (offset - k // 2) * dilation)
        term = contract(equation, moved, weight[(..., *offsets)], groups)
        total = term if total is None else total + term
    assert total is not None
    out = equation.split("->")[1]
    for axis in along:
        total = total.index_select(out.index(axis), torch.arange(0, total.shape[out.index(axis)], stride))
    return total


def shift(x: Tensor, dim: int, by: int) -> Tensor:
    """x[i + by] along a dimension, zeros outside."""
    size = x.shape[dim]
    index = torch.arange(size) + by
    inside = ((index >= 0) & (index < size)).to(x.dtype)
    return x.index_select(dim, index.clamp(0, size - 1)) * inside.reshape([-1 if d == dim else 1 for d in range(x.dim())])


def attended(energies: str, sums: str, tokens: int, qkv: Sequence[Tensor], scale: float) -> Tensor:
    """softmax(scale q k) v by two einsums; the last `tokens` letters of the energy are the keys."""
    q, k, v = qkv
    energy = scale * einsum(energies, q, k)
    weight = energy.flatten(-tokens).softmax(-1).reshape(energy.shape)
    return einsum(sums, weight, v)


def resized(position: Tensor, length: int) -> Tensor:
    """(width, P) linearly to (width, length), half-pixel centres."""
    return F.interpolate(position[None], size=length, mode="linear", align_corners=False)[0]


def nearest(x: Tensor, dim: int, size: int) -> Tensor:
    """x[floor(i * n / size)] along a dimension."""
    return x.index_select(dim, torch.arange(size) * x.shape[dim] // size)
