"""Parts, the split, and what is computed from them."""

import pytest
import torch

from sefactory.training.data.dataset import Dataset, Part, split_validation


def part(count: int, channels: int = 2) -> Part:
    images = torch.randint(256, (count, channels, 3, 4), generator=torch.Generator().manual_seed(count), dtype=torch.uint8)
    return Part(images, torch.arange(count) % 3)


def dataset(count: int = 18) -> Dataset:
    return Dataset(*split_validation(part(count)), part(5), 3)


def test_the_parts_share_no_image() -> None:
    whole = part(20)
    train, validation = split_validation(whole)
    assert (len(train), len(validation)) == (17, 3)
    order = torch.cat([train.images_NCHW, validation.images_NCHW]).flatten(1).tolist()
    assert sorted(order) == sorted(whole.images_NCHW.flatten(1).tolist())


def test_mean_and_deviation_of_the_training_images() -> None:
    data = dataset()
    values_CN = data.train.images_NCHW.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(data.mean_C, values_CN.mean(1))
    torch.testing.assert_close(data.std_C, values_CN.std(1, unbiased=False))


def test_a_channel_without_variation_has_a_deviation_of_one() -> None:
    flat = Part(torch.full((6, 1, 2, 2), 7, dtype=torch.uint8), torch.zeros(6))
    data = Dataset(flat, flat, flat, 1)
    assert data.mean_C.tolist() == [7.0] and data.std_C.tolist() == [1.0]


def test_shape_and_task() -> None:
    assert dataset().shape == (2, 3, 4) and not dataset().is_segmentation
    pixels = Part(torch.zeros(2, 1, 3, 4, dtype=torch.uint8), torch.zeros(2, 3, 4))
    assert Dataset(pixels, pixels, pixels, 2).is_segmentation


def test_the_fingerprint_is_of_the_content() -> None:
    fingerprints = {dataset().fingerprint for _ in range(2)}
    for name in ("train", "validation", "test"):
        changed = dataset()
        getattr(changed, name).labels[0] += 1
        fingerprints.add(changed.fingerprint)
        changed = dataset()
        getattr(changed, name).images_NCHW[-1, 0, 0, 0] += 1
        fingerprints.add(changed.fingerprint)
    assert len(fingerprints) == 7  # equal twice, and six changes


def test_labels_that_do_not_fit_the_images() -> None:
    with pytest.raises(ValueError, match=r"\[4, 1, 2, 2\] images have labels of shape \[3\]"):
        Part(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(3))
