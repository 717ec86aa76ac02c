"""A detector in the manner of YOLO: one nn.Sequential whose forward routes by the `source` of each child, no library."""

import torch
from torch import Tensor, nn


class ConvNormAct(nn.Module):
    """silu(norm(conv(x))), as everywhere in these networks."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y


class Bottleneck(nn.Module):
    """x + two windows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = ConvNormAct(width, width, 3), ConvNormAct(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.cv2(self.cv1(x))
        return y


class SplitStack(nn.Module):
    """The maps of a split and of every bottleneck behind it, side by side (C2f)."""

    def __init__(self, inputs: int, outputs: int, count: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1, self.cv2 = ConvNormAct(inputs, outputs), ConvNormAct((2 + count) * half, outputs)
        self.m = nn.ModuleList(Bottleneck(half) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        maps = list(self.cv1(x).chunk(2, 1))
        maps.extend(step(maps[-1]) for step in self.m)
        y: Tensor = self.cv2(torch.cat(maps, 1))
        return y


class PoolStack(nn.Module):
    """One pooling called three times, all of its maps side by side (SPPF)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = ConvNormAct(width, width // 2), ConvNormAct(2 * width, width)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.cv1(x)]
        maps.extend(self.m(maps[-1]) for _ in range(3))
        y: Tensor = self.cv2(torch.cat(maps, 1))
        return y


class Concat(nn.Module):
    """Several maps in a list, side by side."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.cat(maps, 1)


class Detect(nn.Module):
    """A map for each of several grids, with the positions added to the first two channels: results are a list.

    The positions are kept for the next input of the same size, in plain attributes.
    """

    def __init__(self, widths: list[int], outputs: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in widths)
        self.size: torch.Size | None = None
        self.anchors: list[Tensor] = []

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        if self.size != maps[0].shape[2:]:
            self.size, self.anchors = maps[0].shape[2:], [positions(x) for x in maps]
        results = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        return [torch.cat([y[:, :2] + grid.to(y.dtype), y[:, 2:]], 1) for y, grid in zip(results, self.anchors, strict=True)]


def positions(x: Tensor) -> Tensor:
    """(2, H, W): the relative row and column of every pixel."""
    height, width = (torch.linspace(0, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:])
    return torch.stack(torch.meshgrid(height, width, indexing="ij"))


class Routed(nn.Sequential):
    """Children in order; each takes the result of the last one, or of those that its `source` names."""

    def __init__(self, steps: list[tuple[int | list[int], nn.Module]]) -> None:
        super().__init__(*(module for _, module in steps))
        self.sources = [source for source, _ in steps]

    def forward(self, x: Tensor) -> list[Tensor]:
        results: list[Tensor] = []
        for source, step in zip(self.sources, self, strict=True):
            if isinstance(source, list):
                x = step([results[i] for i in source])
            else:
                x = step(x if source == -1 else results[source])
            results.append(x)
        return x


def yolo_like(width: int = 16) -> Routed:
    """Backbone of three strides, a pyramid that goes up and down again, and two heads."""
    w = width
    return Routed(
        [
            (-1, ConvNormAct(3, w, 3, 2)),
            (-1, ConvNormAct(w, 2 * w, 3, 2)),
            (-1, SplitStack(2 * w, 2 * w)),
            (-1, ConvNormAct(2 * w, 4 * w, 3, 2)),
            (-1, SplitStack(4 * w, 4 * w, 2)),  # 4: the finer grid
            (-1, ConvNormAct(4 * w, 8 * w, 3, 2)),
            (-1, SplitStack(8 * w, 8 * w)),
            (-1, PoolStack(8 * w)),  # 7: the coarser grid
            (-1, nn.Upsample(scale_factor=2)),
            ([8, 4], Concat()),
            (-1, SplitStack(12 * w, 4 * w)),  # 10: up
            (-1, ConvNormAct(4 * w, 4 * w, 3, 2)),
            ([11, 7], Concat()),
            (-1, SplitStack(12 * w, 8 * w)),  # 13: down again
            ([10, 13], Detect([4 * w, 8 * w], 6)),
        ]
    )
