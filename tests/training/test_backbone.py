"""The residual network: sizes and parameters of the paper, and its formula."""

import pytest
import torch
from torch.nn import functional as F

import sefactory as sf
from sefactory.training.backbone import ResidualBlock, residual_network


@pytest.mark.parametrize("depth, parameters", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_parameters_are_those_of_the_paper(depth: int, parameters: float) -> None:
    """In millions, arXiv:1512.03385, table 6."""
    model = residual_network(depth, 16, channels=3, classes=10)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == parameters
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == depth


def test_stages_halve_the_map_and_double_the_channels() -> None:
    model, sizes = residual_network(20, 8, channels=1, classes=10), []
    for stage in (model.layer1, model.layer2, model.layer3):
        stage.register_forward_hook(lambda module, args, y: sizes.append(tuple(y.shape[1:])))  # type: ignore[union-attr]
    model(torch.zeros(2, 1, 28, 28))
    assert sizes == [(8, 28, 28), (16, 14, 14), (32, 7, 7)]


def test_a_block_against_its_formula() -> None:
    block, x = ResidualBlock(4, 8, 2).eval(), torch.randn(2, 4, 9, 9)
    y = F.batch_norm(F.conv2d(x, block.conv1.weight, None, 2, 1), torch.zeros(8), torch.ones(8)).relu()
    y = F.batch_norm(F.conv2d(y, block.conv2.weight, None, 1, 1), torch.zeros(8), torch.ones(8))
    shortcut = torch.zeros(2, 8, 5, 5)
    shortcut[:, 2:6] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), (y + shortcut).relu())


def test_a_dense_network_has_logits_of_each_pixel() -> None:
    model = residual_network(20, 8, channels=1, classes=11, dense=True)
    assert model(torch.zeros(2, 1, 64, 48)).shape == (2, 11, 64, 48)


def test_blocks_are_inserted_after_the_last_norms() -> None:
    model, x = residual_network(20, 16, channels=3, classes=10).eval(), torch.randn(2, 3, 32, 32)
    before = model(x)
    assert len(sf.insert(model, "senet", at="layer*.*.bn2", input_size=(3, 32, 32)).places) == 9
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [2, 18, 21, 0, -4])
def test_depths_that_are_no_network(depth: int) -> None:
    with pytest.raises(ValueError) as caught:
        residual_network(depth, 16, channels=3, classes=10)
    assert str(caught.value) == f"depth is {depth}; allowed: 6 n + 2, such as 20, 32, 44, 56"
