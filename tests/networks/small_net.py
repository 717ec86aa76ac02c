"""Two convolutions that take one block between them, and their input images."""

import torch
from torch import Tensor, nn

WIDTH, SIDE = 32, 14
SIZE = (3, SIDE, SIDE)


def net() -> nn.Sequential:
    """Two convolutions in float64, where zero gradients differ from small ones."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 8, 3, padding=1)).eval().double()


def images() -> Tensor:
    torch.manual_seed(0)
    return (torch.randn(4, *SIZE) + torch.randn(4, 3, 1, 1)).double()
