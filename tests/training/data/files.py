"""Writes small data sets in the published formats."""

import gzip
from pathlib import Path

import torch
from torch import Tensor


def idx(values: Tensor) -> bytes:
    """The bytes of an IDX file."""
    header = bytes((0, 0, 8, values.dim())) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + bytes(values.flatten().to(torch.uint8).tolist())


def garments(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (N, 28, 28) in which a rectangle has the value 20 * (class + 1), and their classes (N)."""
    labels = torch.randint(10, (count,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 4:24, 8:20] = (20 * (labels + 1)).view(-1, 1, 1)
    return images, labels


def write_fashion(folder: Path, train: int = 36, test: int = 12, compressed: bool = False) -> Path:
    """The four files of Fashion-MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = garments(count, seed)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            file, content = folder / f"{name}-{kind}-ubyte", idx(values)
            if compressed:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    return folder


def write_cifar(folder: Path, count: int = 6) -> Path:
    """The six binary files of CIFAR-10: label i is the index of the image, which has the color (10 * i, 1, 2)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        records = (bytes([i]) + bytes([10 * i]) * 1024 + bytes([1]) * 1024 + bytes([2]) * 1024 for i in range(count))
        (folder / name).write_bytes(b"".join(records))
    return folder
