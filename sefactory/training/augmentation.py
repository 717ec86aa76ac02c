"""Random shifts and flips of a batch of images, and of their labels where these are per pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = 255
"""The label of a pixel that was shifted in from outside. No class may have it."""


@dataclass(frozen=True)
class Augmentation:
    """Shifts by at most so many pixels, with zeros from outside; flips left to right in half of the cases."""

    shift: int = 0
    flip: bool = False

    def apply(self, images_NCHW: Tensor, labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The changed images and labels. Labels of whole images (N) stay."""
        count, _, height, width = images_NCHW.shape
        rows_NH = torch.arange(height) + self._offsets(count, random)
        columns_NW = torch.arange(width) + self._offsets(count, random)
        if self.flip:
            is_flipped = torch.rand(count, 1, generator=random) < 0.5
            columns_NW = torch.where(is_flipped, width - 1 - columns_NW, columns_NW)
        images = _take(images_NCHW, rows_NH, columns_NW, outside=0)
        if labels.dim() == 1:
            return images, labels
        return images, _take(labels.unsqueeze(1), rows_NH, columns_NW, outside=IGNORED).squeeze(1)

    def _offsets(self, count: int, random: torch.Generator) -> Tensor:
        return torch.randint(-self.shift, self.shift + 1, (count, 1), generator=random)


def _take(x_NCHW: Tensor, rows_NH: Tensor, columns_NW: Tensor, outside: int) -> Tensor:
    """y[n, c, i, j] = x[n, c, rows[n, i], columns[n, j]], or `outside` where there is no such pixel."""
    height, width = x_NCHW.shape[2:]
    samples = torch.arange(len(x_NCHW)).view(-1, 1, 1)
    rows, columns = rows_NH.unsqueeze(2), columns_NW.unsqueeze(1)
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    taken_NHWC = x_NCHW.permute(0, 2, 3, 1)[samples, rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
    return torch.where(is_inside.unsqueeze(3), taken_NHWC, outside).to(x_NCHW.dtype).permute(0, 3, 1, 2).contiguous()
