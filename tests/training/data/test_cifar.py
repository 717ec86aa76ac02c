"""CIFAR-10, from small files of the same format."""

from pathlib import Path

import pytest

from sefactory.errors import ConfigError
from sefactory.training.data.cifar import CURE, cifar10
from tests.training.data.files import write_cifar


def test_labels_and_channels_are_read(tmp_path: Path) -> None:
    data = cifar10(str(write_cifar(tmp_path)))
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.validation), len(data.test)) == (25, 5, 6)
    assert data.test.labels.tolist() == [0, 1, 2, 3, 4, 5] and data.validation.labels.tolist() == [5] * 5
    assert data.test.images_NCHW[:, :, 3, 4].tolist() == [[10 * i, 1, 2] for i in range(6)]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "{folder}: there is no data_batch_3.bin; {cure}"),
        (bytes(3072), "{file}: has 3,072 bytes, which is no multiple of 3,073: it is cut off or damaged; {cure}"),
        (b"", "{file}: has 0 bytes, which is no multiple of 3,073: it is cut off or damaged; {cure}"),
        (bytes([99]) * 3073, "{file}: has labels above 9: it is no file of CIFAR-10; {cure}"),
    ],
)
def test_absent_and_broken_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = write_cifar(tmp_path) / "data_batch_3.bin"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        cifar10(str(tmp_path))
    assert str(caught.value) == message.format(folder=tmp_path, file=file, cure=CURE)
