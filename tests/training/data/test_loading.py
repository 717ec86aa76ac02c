"""Data sets by name, and the messages of their configs."""

import sys
from pathlib import Path

import pytest
import yaml

from sefactory.errors import ConfigError
from sefactory.training.data.loading import SOURCES, load_data
from tests.training.data.files import write_cifar, write_fashion

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "data").glob("*.yaml"))


def test_digits() -> None:
    data = load_data({"dataset": "digits"})
    assert (len(data.train), len(data.validation), len(data.test)) == (1198, 239, 360)
    assert data.shape == (1, 8, 8) and data.classes == 10 and data.train.images_NCHW.max() == 255
    assert all(count > 80 for count in data.train.labels.bincount())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_the_shipped_configs_name_their_parameters(file: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(file.read_text())
    assert config["dataset"] == file.stem in SOURCES
    if "folder" in config:
        with pytest.raises(ConfigError) as caught:
            load_data({**config, "folder": str(tmp_path / "nowhere")})
        assert str(tmp_path / "nowhere") in str(caught.value) and "no parameter" not in str(caught.value)


def test_every_data_set_has_a_config() -> None:
    assert {file.stem for file in CONFIGS} == SOURCES.keys()


def test_parameters_reach_the_data_set(tmp_path: Path) -> None:
    folder = str(write_fashion(tmp_path / "fashion"))
    assert load_data({"dataset": "fashion_mnist", "folder": folder, "size": 14}).shape == (1, 14, 14)
    assert len(load_data({"dataset": "fashion_scenes", "folder": folder, "train": 3, "validation": 2, "test": 1}).train) == 3
    assert len(load_data({"dataset": "cifar10", "folder": str(write_cifar(tmp_path / "cifar"))}).test) == 6


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {},
            "data.dataset: null; allowed: one of digits, fashion_mnist, fashion_scenes, cifar10, image_folder",
        ),
        (
            {"dataset": "fashion_mnits"},
            "data.dataset: 'fashion_mnits'; allowed: one of digits, fashion_mnist, fashion_scenes, cifar10, image_folder; "
            "did you mean 'fashion_mnist'?",
        ),
        ({"dataset": "digits", "size": 3}, "data.size: is no parameter; digits takes nothing"),
        (
            {"dataset": "fashion_mnist", "sise": 3},
            "data.sise: is no parameter; fashion_mnist takes folder, size; did you mean 'size'?",
        ),
        ({"dataset": "fashion_mnist", "size": 15}, "data: size is 15; allowed: 28, 14, 7"),
        ({"dataset": "fashion_mnist", "size": 0}, "data.size: size is 0; allowed: an integer from 1"),
        ({"dataset": "fashion_mnist", "folder": 5}, "data.folder: folder is 5; allowed: a path"),
        ({"dataset": "cifar10"}, "data.folder: is missing; cifar10 needs it"),
        (
            {"dataset": "image_folder", "folder": "x", "size": 4, "channels": 2},
            "data: channels is 2; allowed: 1, 3",
        ),
    ],
)
def test_messages(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_data(config)
    assert str(caught.value) == message


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError) as caught:
        load_data({"dataset": "digits"})
    assert str(caught.value) == "digits: needs scikit-learn; pip install 'sefactory[study]'"
