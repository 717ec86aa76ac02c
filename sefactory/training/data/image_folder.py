"""A folder of image files, with a folder for each class."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...config.schema import Size
from ...errors import ConfigError, InvalidValue, did_you_mean, join_words
from .dataset import Dataset, Part, split_validation

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".tif", ".tiff")
LAYOUT = "FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png"
MODES = {1: "L", 3: "RGB"}
"""Pillow's mode for each number of channels."""


def image_folder(folder: str, size: Size, channels: Size = 3) -> Dataset:
    """The images of FOLDER/train/CLASS and FOLDER/test/CLASS, in memory. Classes are numbered in the order of their names.

    The shorter side is resized to `size` pixels, and the middle square is taken. `channels` is 1 (grey) or 3.
    Raises InvalidValue for another number, ConfigError for absent, empty or broken files, and for a class of the test alone.
    """
    if channels not in MODES:
        raise InvalidValue(f"channels is {channels}; allowed: 1, 3")
    root = Path(folder)
    classes = _class_names(root / "train")
    unknown = [name for name in _class_names(root / "test") if name not in classes]
    if unknown:
        hint = did_you_mean(unknown[0], classes)
        raise ConfigError([(str(root / "test"), f"has a class {unknown[0]!r}; train has {join_words(classes)}{hint}")])
    train, test = (_read_part(root / name, classes, size, MODES[channels]) for name in ("train", "test"))
    return Dataset(*split_validation(train), test, len(classes))


def _class_names(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise ConfigError([(str(folder), f"{error.strerror or error}; the layout is {LAYOUT}")]) from None
    if not names:
        raise ConfigError([(str(folder), f"has no folders of classes; the layout is {LAYOUT}")])
    return names


def _read_part(folder: Path, classes: Sequence[str], size: int, mode: str) -> Part:
    """The images of the folders of these classes, sorted by class and by name."""
    files = [
        (file, number)
        for number, name in enumerate(classes)
        if (folder / name).is_dir()
        for file in sorted((folder / name).iterdir())
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]
    if not files:
        raise ConfigError([(str(folder), f"has no images ({', '.join(ENDINGS)}); the layout is {LAYOUT}")])
    images = torch.stack([_read_image(file, size, mode) for file, _ in files])
    return Part(images, torch.tensor([number for _, number in files]))


def _read_image(file: Path, size: int, mode: str) -> Tensor:
    """The middle square of an image (C, size, size), uint8."""
    from PIL import Image, ImageOps  # here: only this data set needs it

    try:
        with Image.open(file) as image:
            fitted = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError([(str(file), f"cannot be read as an image: {error}")]) from None
    return torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8).view(size, size, len(mode)).permute(2, 0, 1)
