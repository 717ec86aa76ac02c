"""Reads IDX files, the format of MNIST, plain or compressed with gzip."""

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

UNSIGNED_BYTE = 8  # the only type of values that images and labels have


def read_idx(file: Path, dims: int) -> Tensor:
    """The values of a file as a uint8 tensor of so many dimensions.

    Raises ValueError with what is wrong with the content, and OSError if the file cannot be read.
    """
    content = _decompress(file.read_bytes())
    start = 4 * (1 + dims)
    if len(content) < start or content[:4] != bytes((0, 0, UNSIGNED_BYTE, dims)):
        raise ValueError(f"is no IDX file of bytes with {dims} dimension{'s' * (dims > 1)}")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise ValueError(f"has {len(content):,} bytes; its header says {expected:,}: it is cut off or damaged")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)


def _decompress(content: bytes) -> bytes:
    """The content of a gzip file; other content as it is."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise ValueError("is a gzip file that is cut off or damaged") from None
