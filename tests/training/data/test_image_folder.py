"""A folder of image files."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from sefactory.errors import ConfigError, InvalidValue
from sefactory.training.data.image_folder import LAYOUT, image_folder

COLORS = {"cat": (250, 10, 20), "dog": (30, 240, 40)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for part, count in (("train", 6), ("test", 2)):
        for name, color in COLORS.items():
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (12, 8 + number), color).save(folder / f"{number}.png")
            (folder / "notes.txt").write_text("no image")
    return tmp_path


def test_classes_sizes_and_colors(images: Path) -> None:
    data = image_folder(str(images), 6)
    assert data.shape == (3, 6, 6) and data.classes == 2 and (len(data.train), len(data.validation)) == (10, 2)
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.test.images_NCHW[:, :, 2, 3].tolist() == [list(COLORS[name]) for name in ("cat", "cat", "dog", "dog")]
    grey = image_folder(str(images), 4, channels=1)
    assert grey.shape == (1, 4, 4) and len(grey.train.images_NCHW.unique()) == 2


def test_the_middle_square_is_taken(images: Path) -> None:
    file = images / "test" / "cat" / "0.png"
    image = Image.new("L", (30, 10), 0)
    image.paste(255, (10, 0, 20, 10))
    image.save(file)
    assert torch.equal(image_folder(str(images), 10, 1).test.images_NCHW[0, 0], torch.full((10, 10), 255, dtype=torch.uint8))


def test_absent_folders(images: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ConfigError) as caught:
        image_folder(str(nowhere), 6)
    assert str(caught.value) == f"{nowhere}/train: No such file or directory; the layout is {LAYOUT}"
    (images / "train" / "empty").mkdir()
    (nowhere / "train").mkdir(parents=True)
    with pytest.raises(ConfigError) as caught:
        image_folder(str(nowhere), 6)
    assert str(caught.value) == f"{nowhere}/train: has no folders of classes; the layout is {LAYOUT}"


def test_a_class_of_the_test_alone(images: Path) -> None:
    (images / "test" / "dogs").mkdir()
    with pytest.raises(ConfigError) as caught:
        image_folder(str(images), 6)
    assert str(caught.value) == f"{images}/test: has a class 'dogs'; train has cat, dog; did you mean 'dog'?"


def test_no_images(images: Path) -> None:
    for name in COLORS:
        for file in (images / "test" / name).glob("*.png"):
            file.unlink()
    with pytest.raises(ConfigError) as caught:
        image_folder(str(images), 6)
    assert str(caught.value) == (
        f"{images}/test: has no images (.png, .jpg, .jpeg, .bmp, .ppm, .webp, .tif, .tiff); the layout is {LAYOUT}"
    )


def test_a_file_that_is_no_image(images: Path) -> None:
    file = images / "train" / "dog" / "0.png"
    file.write_text("<html>")
    with pytest.raises(ConfigError) as caught:
        image_folder(str(images), 6)
    assert str(caught.value) == f"{file}: cannot be read as an image: cannot identify image file {str(file)!r}"
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ConfigError, match=r"0\.png: cannot be read as an image: "):
        image_folder(str(images), 6)


def test_a_number_of_channels_that_no_image_has(images: Path) -> None:
    with pytest.raises(InvalidValue) as caught:
        image_folder(str(images), 6, 2)
    assert str(caught.value) == "channels is 2; allowed: 1, 3"
