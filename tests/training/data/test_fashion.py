"""Fashion-MNIST and its scenes, from small files of the same format."""

from pathlib import Path

import pytest
import torch

from sefactory.errors import ConfigError
from sefactory.training.data.dataset import Dataset
from sefactory.training.data.fashion import CURE, fashion_mnist, fashion_scenes
from tests.training.data.files import garments, idx, write_fashion


@pytest.mark.parametrize("compressed", [False, True])
def test_the_four_files_are_read(tmp_path: Path, compressed: bool) -> None:
    data = fashion_mnist(str(write_fashion(tmp_path, compressed=compressed)))
    images, labels = garments(36, 0)
    assert data.shape == (1, 28, 28) and data.classes == 10 and not data.is_segmentation
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 6, 12)
    assert torch.equal(data.validation.images_NCHW[0, 0], images[5]) and data.validation.labels[0] == labels[5]
    assert torch.equal(data.test.labels, garments(12, 1)[1])


@pytest.mark.parametrize("size", [14, 7])
def test_smaller_images_are_means(tmp_path: Path, size: int) -> None:
    whole, small = (fashion_mnist(str(write_fashion(tmp_path)), n).train.images_NCHW for n in (28, size))
    step = 28 // size
    squares = whole.view(-1, 1, size, step, size, step).float().mean((3, 5))
    assert torch.equal(small, squares.round().to(torch.uint8)) and small.dtype == torch.uint8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_fashion(tmp_path_factory.mktemp("fashion"))
    return fashion_scenes(str(folder), train=40, validation=8, test=6)


def test_a_pixel_of_a_scene_has_the_class_of_its_garment(scenes: Dataset) -> None:
    assert (len(scenes.train), len(scenes.validation), len(scenes.test)) == (40, 8, 6)
    assert scenes.shape == (1, 64, 64) and scenes.classes == 11 and scenes.is_segmentation
    for part in (scenes.train, scenes.validation, scenes.test):
        expected = torch.where(part.images_NCHW[:, 0] > 0, part.images_NCHW[:, 0] // 20 - 1, 10)
        assert torch.equal(part.labels, expected)  # the files give each class a value of its own
        area = (part.labels < 10).sum((1, 2))
        assert area.min() >= 20 * 12 and area.max() <= 5 * 20 * 12 and area.float().mean() > 2 * 20 * 12


def test_scenes_are_the_same_each_time_and_other_in_each_part(scenes: Dataset, tmp_path: Path) -> None:
    again = fashion_scenes(str(write_fashion(tmp_path)), train=40, validation=8, test=6)
    assert again.fingerprint == scenes.fingerprint
    shown = [part.images_NCHW[:6] for part in (scenes.train, scenes.validation, scenes.test)]
    assert not torch.equal(shown[0], shown[1]) and not torch.equal(shown[1], shown[2])


def test_scenes_show_the_garments_of_their_part(tmp_path: Path) -> None:
    folder = write_fashion(tmp_path)
    images, labels = garments(36, 0)
    labels[5::6] = 7  # which are held out
    images[5::6, 4:24, 8:20] = 160
    labels[torch.arange(36) % 6 != 5] = 2
    images[torch.arange(36) % 6 != 5, 4:24, 8:20] = 60
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    data = fashion_scenes(str(folder), train=4, validation=4, test=1)
    assert data.train.labels.unique().tolist() == [2, 10] and data.validation.labels.unique().tolist() == [7, 10]


@pytest.mark.parametrize(
    "name, missing", [("train-images-idx3-ubyte", "train-images-idx3-ubyte"), ("t10k-labels-idx1-ubyte",) * 2]
)
def test_absent_files(tmp_path: Path, name: str, missing: str) -> None:
    (write_fashion(tmp_path) / name).unlink()
    with pytest.raises(ConfigError) as caught:
        fashion_mnist(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}: there is no {missing} or {missing}.gz; {CURE}"


@pytest.mark.parametrize(
    "content, message",
    [
        (idx(torch.zeros(35, 28, 28)), "{folder}: the files train-* have 35 images and 36 labels; {cure}"),
        (idx(torch.zeros(36, 8, 9)), "{folder}: the files train-* have images of 8 x 9 pixels, not 28 x 28; {cure}"),
        (b"", "{folder}/train-images-idx3-ubyte: is no IDX file of bytes with 3 dimensions; {cure}"),
    ],
)
def test_broken_images(tmp_path: Path, content: bytes, message: str) -> None:
    (write_fashion(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        fashion_mnist(str(tmp_path))
    assert str(caught.value) == message.format(folder=tmp_path, cure=CURE)


def test_labels_of_another_data_set(tmp_path: Path) -> None:
    (write_fashion(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(torch.full((36,), 46)))
    with pytest.raises(ConfigError) as caught:
        fashion_mnist(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}: the files train-* have no labels, or labels above 9; {CURE}"


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (write_fashion(tmp_path) / "train-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    with pytest.raises(ConfigError) as caught:
        fashion_mnist(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/train-images-idx3-ubyte: cannot be read: Is a directory"
