"""Images in memory with their labels, in three parts that share no image."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

VALIDATION_STRIDE = 6
"""Every sixth training image is held out for validation."""


@dataclass(frozen=True)
class Part:
    """Images with their labels.

    `images_NCHW` has dtype uint8. `labels` has the class of each image (N), or of each pixel (N, H, W), in any integer dtype.
    Raises ValueError if the two do not fit each other.
    """

    images_NCHW: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        count, _, *size = self.images_NCHW.shape
        if tuple(self.labels.shape) not in ((count,), (count, *size)):
            raise ValueError(f"{list(self.images_NCHW.shape)} images have labels of shape {list(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def select(self, indices: Tensor) -> "Part":
        """The images of these indices, in their order."""
        return Part(self.images_NCHW[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """The three parts of a data set. A label is one of 0 to `classes` - 1.

    Whatever is chosen (a recipe, a variant, an epoch) is chosen by `validation`. `test` is for the last measurement alone.
    """

    train: Part
    validation: Part
    test: Part
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.images_NCHW.shape
        return channels, height, width

    @property
    def is_segmentation(self) -> bool:
        """True if every pixel has a label."""
        return self.train.labels.dim() > 1

    @cached_property
    def mean_C(self) -> Tensor:
        """The mean of each channel over the training images, in the scale from 0 to 255 (float64)."""
        return _sums(self.train.images_NCHW, power=1)

    @cached_property
    def std_C(self) -> Tensor:
        """The standard deviation of each channel over the training images, at least 1 (float64)."""
        return (_sums(self.train.images_NCHW, power=2) - self.mean_C**2).clamp(min=1).sqrt()

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all images and labels: equal for equal data, whatever it was read from."""
        sha = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for tensor in (part.images_NCHW, part.labels.long()):
                sha.update(f"{list(tensor.shape)}".encode())
                sha.update(tensor.contiguous().numpy().data)
        return sha.hexdigest()[:20]


def split_validation(part: Part) -> tuple[Part, Part]:
    """The training images without every sixth one, and these. No random numbers: the split is the same everywhere.

    >>> part = Part(torch.zeros(12, 1, 2, 2, dtype=torch.uint8), torch.arange(12))
    >>> [held.labels.tolist() for held in split_validation(part)]
    [[0, 1, 2, 3, 4, 6, 7, 8, 9, 10], [5, 11]]
    """
    is_held_out = torch.arange(1, len(part) + 1) % VALIDATION_STRIDE == 0
    return part.select((~is_held_out).nonzero().flatten()), part.select(is_held_out.nonzero().flatten())


def _sums(images_NCHW: Tensor, power: int) -> Tensor:
    """The mean of a power of the values of each channel, exact: from a histogram of the 256 values."""
    values = torch.arange(256, dtype=torch.float64) ** power
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images_NCHW.unbind(1)]
    return torch.stack([(count * values).sum() / count.sum() for count in counts])
