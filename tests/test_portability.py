"""torch.export with dynamic batch, height and width for every shipped config; torch.compile for the seven."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim, export

import sefactory as sf

SEVEN = ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer"]
COARSE = {"genet": 8, "genet_minus": 8, "genet_plus": 8, "scnet": 8}  # a gate of one position is no case of a coarse one
CHANNELS = 64


@pytest.mark.parametrize("name", sf.configs())
def test_export_with_a_dynamic_grid(name: str) -> None:
    block, least = sf.build(name, CHANNELS).eval(), COARSE.get(name, 1)
    dims: Any = {0: Dim("B"), 2: Dim("H", min=least), 3: Dim("W", min=least)}
    exported = export(block, (torch.randn(3, CHANNELS, 12, 10),), dynamic_shapes=(dims,)).module()
    for shape in ((2, CHANNELS, 9, 15), (1, CHANNELS, 16, 16)):
        x = torch.randn(shape)
        torch.testing.assert_close(exported(x), block(x), rtol=1e-5, atol=1e-5)


def gradients(block: Any, x: Tensor, cotangent: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = block(x)
    return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), [x])]


@pytest.mark.parametrize("name", SEVEN)
def test_compile_without_a_graph_break(name: str) -> None:
    torch._dynamo.reset()
    block = sf.build(name, CHANNELS).eval()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    x = 0.3 * torch.randn(2, CHANNELS, 6, 7)
    cotangent = torch.randn_like(block(x))
    for found, expected in zip(gradients(compiled, x, cotangent), gradients(block, x, cotangent), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
