"""IDX files: read, and refused with what is wrong."""

import gzip
from pathlib import Path

import pytest
import torch

from sefactory.training.data.idx import read_idx
from tests.training.data.files import idx

VALUES = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)


@pytest.mark.parametrize("write", [bytes, gzip.compress])
def test_values_are_read(tmp_path: Path, write: type[bytes]) -> None:
    (tmp_path / "file").write_bytes(write(idx(VALUES)))
    assert torch.equal(read_idx(tmp_path / "file", 3), VALUES)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is no IDX file of bytes with 3 dimensions"),
        (b"<html>not found</html>", "is no IDX file of bytes with 3 dimensions"),
        (idx(VALUES.flatten()), "is no IDX file of bytes with 3 dimensions"),
        (b"\0\0\x0d" + idx(VALUES)[3:], "is no IDX file of bytes with 3 dimensions"),  # of floats
        (idx(VALUES)[:-1], "has 39 bytes; its header says 40: it is cut off or damaged"),
        (idx(VALUES) + b"\0", "has 41 bytes; its header says 40: it is cut off or damaged"),
        (gzip.compress(idx(VALUES), mtime=0)[:-9], "is a gzip file that is cut off or damaged"),
        (gzip.compress(idx(VALUES), mtime=0)[:-8] + bytes(8), "is a gzip file that is cut off or damaged"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "is a gzip file that is cut off or damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_idx(tmp_path / "file", 3)
    assert str(caught.value) == message
