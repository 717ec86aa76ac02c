"""The batches of a run: which images it sees, in which order, and how they are changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .augmentation import Augmentation
from .data.dataset import Dataset, Part
from .seeds import generator


class Batch(NamedTuple):
    """Normalised images (float32) and their labels (int64, per image or per pixel)."""

    images_NCHW: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Normalization:
    """x -> (x - mean) / std, with the mean and the standard deviation of each channel of the training images."""

    mean_C: Tensor
    std_C: Tensor

    @classmethod
    def of(cls, data: Dataset) -> "Normalization":
        """The normalisation of a data set."""
        return cls(data.mean_C, data.std_C)

    def batch(self, images_NCHW: Tensor, labels: Tensor) -> Batch:
        """The batch of images of dtype uint8."""
        mean, std = (x_C.float().view(1, -1, 1, 1) for x_C in (self.mean_C, self.std_C))
        return Batch((images_NCHW.float() - mean) / std, labels.long())


@dataclass(frozen=True)
class TrainingBatches:
    """The batches of every epoch of a run, a function of the seed and of the number of the epoch.

    `subset` is the number of training images that the run sees, drawn by the seed; None for all. `batch_size` is at most that
    number, and an epoch leaves out the images that do not fill a batch.
    """

    part: Part
    normalization: Normalization
    augmentation: Augmentation
    batch_size: int
    seed: int
    subset: int | None = None

    def __len__(self) -> int:
        return self.images // self.batch_size

    @property
    def images(self) -> int:
        """The number of different images that the run sees."""
        return len(self.part) if self.subset is None else min(self.subset, len(self.part))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yields the batches of an epoch, counted from 1."""
        drawn = torch.randperm(len(self.part), generator=generator(self.seed, "subset"))[: self.images]
        order = drawn[torch.randperm(len(drawn), generator=generator(self.seed, f"order {number}"))]
        random = generator(self.seed, f"augmentation {number}")
        for indices in order.split(self.batch_size)[: len(self)]:
            chosen = self.part.select(indices)
            yield self.normalization.batch(*self.augmentation.apply(chosen.images_NCHW, chosen.labels, random))


def evaluation_batches(part: Part, normalization: Normalization, batch_size: int) -> Iterator[Batch]:
    """Yields all images of a part in their order, unchanged."""
    for indices in torch.arange(len(part)).split(batch_size):
        chosen = part.select(indices)
        yield normalization.batch(chosen.images_NCHW, chosen.labels)
