"""The handwritten digits of scikit-learn: 8 x 8 pixels. For tests of a program: too small to say anything about a block."""

import torch

from ...errors import ConfigError
from .dataset import Dataset, Part, split_validation

TEST_STRIDE = 5  # every fifth image is for the test


def digits() -> Dataset:
    """1,797 grey images of 8 x 8 pixels in 10 classes. Raises ConfigError if scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ConfigError([("digits", "needs scikit-learn; pip install 'sefactory[study]'")]) from None
    values, classes = load_digits(return_X_y=True)  # values are 0 to 16
    images = (torch.from_numpy(values).view(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    part, is_test = Part(images, torch.from_numpy(classes).long()), torch.arange(len(images)) % TEST_STRIDE == 0
    train, validation = split_validation(part.select((~is_test).nonzero().flatten()))
    return Dataset(train, validation, part.select(is_test.nonzero().flatten()), 10)
