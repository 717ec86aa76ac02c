"""Fashion-MNIST (arXiv:1708.07747): single garments, and scenes of several garments for segmentation."""

from pathlib import Path

import torch
from torch import Tensor

from ...config.schema import Size
from ...errors import ConfigError, InvalidValue
from .dataset import Dataset, Part, split_validation
from .idx import read_idx

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
CURE = (
    "install Debian's package dataset-fashion-mnist, or put the four IDX files of "
    "github.com/zalandoresearch/fashion-mnist into a folder and set folder"
)
SIDE, CLASSES = 28, 10
SCENE_SIDE, GARMENTS = 64, 5
THRESHOLD = 8  # a pixel that is at most so bright is background


def fashion_mnist(folder: str = DEBIAN_FOLDER, size: Size = SIDE) -> Dataset:
    """70,000 grey images of garments in 10 classes, from the published IDX files.

    `size` 14 or 7 averages 2 x 2 or 4 x 4 pixels. Raises InvalidValue for another size, ConfigError for absent or broken files.
    """
    if size not in (28, 14, 7):
        raise InvalidValue(f"size is {size}; allowed: 28, 14, 7")
    train, test = (_pooled(_read_part(Path(folder), name), SIDE // size) for name in ("train", "t10k"))
    return Dataset(*split_validation(train), test, CLASSES)


def fashion_scenes(folder: str = DEBIAN_FOLDER, train: Size = 8000, validation: Size = 1000, test: Size = 2000) -> Dataset:
    """Scenes of 64 x 64 pixels with five garments of Fashion-MNIST, for segmentation.

    A garment covers those below it. A pixel has the class of its garment, or 10 for the background. The scenes of a part show
    garments of that part only; they are made from a fixed seed. Raises ConfigError as `fashion_mnist` does.
    """
    garments = fashion_mnist(folder)
    return Dataset(
        _scenes(garments.train, train, seed=0),
        _scenes(garments.validation, validation, seed=1),
        _scenes(garments.test, test, seed=2),
        CLASSES + 1,
    )


def _read_part(folder: Path, name: str) -> Part:
    images_NHW = _read(folder / f"{name}-images-idx3-ubyte", 3)
    labels = _read(folder / f"{name}-labels-idx1-ubyte", 1)
    faults = _content_faults(images_NHW, labels)
    if faults:
        raise ConfigError([(str(folder), f"the files {name}-* {faults}; {CURE}")])
    return Part(images_NHW.unsqueeze(1), labels)


def _read(file: Path, dims: int) -> Tensor:
    """The content of an IDX file, which may have the ending .gz."""
    found = next((path for path in (file, file.with_name(f"{file.name}.gz")) if path.exists()), None)
    if found is None:
        raise ConfigError([(str(file.parent), f"there is no {file.name} or {file.name}.gz; {CURE}")])
    try:
        return read_idx(found, dims)
    except ValueError as error:
        raise ConfigError([(str(found), f"{error}; {CURE}")]) from None
    except OSError as error:
        raise ConfigError([(str(found), f"cannot be read: {error.strerror or error}")]) from None


def _content_faults(images_NHW: Tensor, labels: Tensor) -> str:
    """What is wrong with the images or the labels, for a message; an empty text if nothing is."""
    if len(images_NHW) != len(labels):
        return f"have {len(images_NHW):,} images and {len(labels):,} labels"
    if tuple(images_NHW.shape[1:]) != (SIDE, SIDE):
        return f"have images of {images_NHW.shape[1]} x {images_NHW.shape[2]} pixels, not {SIDE} x {SIDE}"
    if not len(labels) or int(labels.max()) >= CLASSES:
        return f"have no labels, or labels above {CLASSES - 1}"
    return ""


def _pooled(part: Part, factor: int) -> Part:
    """The images with squares of factor x factor pixels averaged, rounded to whole numbers."""
    if factor == 1:
        return part
    images = torch.nn.functional.avg_pool2d(part.images_NCHW.float(), factor).round().to(torch.uint8)
    return Part(images, part.labels)


def _scenes(part: Part, count: int, seed: int) -> Part:
    """So many scenes of garments of a part."""
    random = torch.Generator().manual_seed(seed)
    chosen_NG = torch.randint(len(part), (count, GARMENTS), generator=random)
    corners_NG2 = torch.randint(SCENE_SIDE - SIDE + 1, (count, GARMENTS, 2), generator=random)
    images = torch.zeros(count, 1, SCENE_SIDE, SCENE_SIDE, dtype=torch.uint8)
    labels = torch.full((count, SCENE_SIDE, SCENE_SIDE), CLASSES, dtype=torch.uint8)
    for scene in range(count):
        for index, (top, left) in zip(chosen_NG[scene].tolist(), corners_NG2[scene].tolist(), strict=True):
            garment = part.images_NCHW[index, 0]
            where, place = garment > THRESHOLD, (scene, slice(top, top + SIDE), slice(left, left + SIDE))
            images[:, 0][place][where] = garment[where]
            labels[place][where] = part.labels[index]
    return Part(images, labels)
