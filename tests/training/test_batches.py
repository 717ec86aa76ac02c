"""Which images a run sees, and in which order."""

import pytest
import torch
from torch import Tensor

from sefactory.training.augmentation import Augmentation
from sefactory.training.batches import Batch, Normalization, TrainingBatches, evaluation_batches
from sefactory.training.data.dataset import Dataset, Part

UNCHANGED = Normalization(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))


def part(count: int = 30) -> Part:
    """Image n has the value n everywhere, and the label n."""
    return Part(torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4), torch.arange(count))


def batches(seed: int = 0, subset: int | None = None, augmentation: Augmentation = Augmentation()) -> TrainingBatches:  # noqa: B008
    return TrainingBatches(part(), UNCHANGED, augmentation, 8, seed, subset)


def labels(epoch: list[Batch]) -> list[int]:
    return torch.cat([batch.labels for batch in epoch]).tolist()


def test_an_epoch_has_every_image_at_most_once() -> None:
    epoch = list(batches().epoch(1))
    assert len(epoch) == len(batches()) == 3 and [len(batch.labels) for batch in epoch] == [8, 8, 8]
    assert len(set(labels(epoch))) == 24 and all(torch.equal(b.images_NCHW[:, 0, 2, 1].long(), b.labels) for b in epoch)


def test_the_subset_is_drawn_by_the_seed_and_the_order_by_the_epoch() -> None:
    first, second = (labels(list(batches(subset=16).epoch(number))) for number in (1, 2))
    assert first != second and set(first) == set(second) and len(first) == 16
    assert set(labels(list(batches(seed=1, subset=16).epoch(1)))) != set(first)
    assert labels(list(batches(subset=100).epoch(1))) == labels(list(batches().epoch(1)))  # there are 30


def test_an_epoch_is_a_function_of_seed_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def images(seed: int, number: int) -> Tensor:
        torch.rand(number)  # the global generator has no say
        return torch.cat([batch.images_NCHW for batch in batches(seed, augmentation=Augmentation(1, True)).epoch(number)])

    assert torch.equal(images(0, 2), images(0, 2))
    assert not torch.equal(images(0, 2), images(0, 3)) and not torch.equal(images(0, 2), images(1, 2))


def test_normalized_images_have_mean_zero_and_deviation_one() -> None:
    pixels = torch.randint(256, (50, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Part(pixels, torch.zeros(50))
    normalization = Normalization.of(Dataset(data, data, data, 1))
    (batch,) = evaluation_batches(data, normalization, 64)
    values_CN = batch.images_NCHW.transpose(0, 1).flatten(1)
    assert batch.images_NCHW.dtype == torch.float32 and batch.labels.dtype == torch.int64
    torch.testing.assert_close(values_CN.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(values_CN.std(1, unbiased=False), torch.ones(3), atol=1e-5, rtol=0)


def test_an_evaluation_has_every_image_once_in_order() -> None:
    found = list(evaluation_batches(part(), UNCHANGED, 8))
    assert [len(batch.labels) for batch in found] == [8, 8, 8, 6] and labels(found) == list(range(30))
