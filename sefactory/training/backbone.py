"""The residual network for small images: three stages of two-convolution blocks (arXiv:1512.03385, section 4.2)."""

from torch import Tensor, nn
from torch.nn import functional as F


def residual_network(depth: int, width: int, channels: int, classes: int, dense: bool = False) -> nn.Module:
    """A network (N, channels, H, W) -> logits (N, classes); if `dense`, logits of each pixel (N, classes, H, W).

    `depth` is the number of layers, 6 n + 2 for n blocks a stage: 20, 32, 44, 56. The stages have `width`, 2 `width` and
    4 `width` channels, at the size of the image, a half and a quarter of it. Blocks are at `layer*.*`, and the norm before the
    shortcut is added at `layer*.*.bn2`. Raises ValueError for another depth.

    >>> import torch
    >>> model = residual_network(20, 8, channels=1, classes=10)
    >>> model(torch.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
    (torch.Size([2, 10]), 67906)
    """
    blocks = (depth - 2) // 6
    if blocks < 1 or depth != 6 * blocks + 2:
        raise ValueError(f"depth is {depth}; allowed: 6 n + 2, such as 20, 32, 44, 56")
    model = ResidualNetwork(blocks, width, channels, classes, dense)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


class Shortcut(nn.Module):
    """Every `stride`-th pixel, with channels of zeros added on both sides: no parameters."""

    def __init__(self, stride: int, added: int) -> None:
        super().__init__()
        self.stride, self.added = stride, added

    def forward(self, x_NCHW: Tensor) -> Tensor:
        before = self.added // 2
        return F.pad(x_NCHW[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))


class ResidualBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else Shortcut(stride, outputs - inputs)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x_NCHW)))))
        return F.relu(y + self.shortcut(x_NCHW))


class ResidualNetwork(nn.Module):
    """A convolution, three stages, and a linear classifier of the mean; if `dense`, of each pixel, enlarged to the image."""

    def __init__(self, blocks: int, width: int, channels: int, classes: int, dense: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(blocks, width, width, stride=1)
        self.layer2 = _stage(blocks, width, 2 * width, stride=2)
        self.layer3 = _stage(blocks, 2 * width, 4 * width, stride=2)
        self.dense = dense
        self.fc = nn.Conv2d(4 * width, classes, 1) if dense else nn.Linear(4 * width, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x_NCHW)))
        y = self.layer3(self.layer2(self.layer1(y)))
        logits: Tensor = self.fc(y if self.dense else y.mean((2, 3)))
        return F.interpolate(logits, x_NCHW.shape[2:], mode="bilinear", align_corners=False) if self.dense else logits


def _stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    others = (ResidualBlock(outputs, outputs, 1) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), *others)
