"""CIFAR-10 from its published binary files."""

from pathlib import Path

import torch

from ...errors import ConfigError
from .dataset import Dataset, Part, split_validation

TRAIN_FILES = tuple(f"data_batch_{n}.bin" for n in range(1, 6))
TEST_FILE = "test_batch.bin"
SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD = 1 + CHANNELS * SIDE * SIDE  # a label and an image
CURE = "unpack cifar-10-binary.tar.gz of www.cs.toronto.edu/~kriz/cifar.html and set folder to cifar-10-batches-bin"


def cifar10(folder: str) -> Dataset:
    """60,000 colour images of 32 x 32 pixels in 10 classes. Raises ConfigError for absent or broken files."""
    parts = [_read(Path(folder) / name) for name in (*TRAIN_FILES, TEST_FILE)]
    train = Part(torch.cat([part.images_NCHW for part in parts[:-1]]), torch.cat([part.labels for part in parts[:-1]]))
    return Dataset(*split_validation(train), parts[-1], CLASSES)


def _read(file: Path) -> Part:
    """The images and labels of one file."""
    try:
        content = bytearray(file.read_bytes())
    except FileNotFoundError:
        raise ConfigError([(str(file.parent), f"there is no {file.name}; {CURE}")]) from None
    except OSError as error:
        raise ConfigError([(str(file), f"cannot be read: {error.strerror or error}")]) from None
    if not content or len(content) % RECORD:
        text = f"has {len(content):,} bytes, which is no multiple of {RECORD:,}: it is cut off or damaged; {CURE}"
        raise ConfigError([(str(file), text)])
    records = torch.frombuffer(content, dtype=torch.uint8).view(-1, RECORD)
    if int(records[:, 0].max()) >= CLASSES:
        raise ConfigError([(str(file), f"has labels above {CLASSES - 1}: it is no file of CIFAR-10; {CURE}")])
    return Part(records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE), records[:, 0].clone())
