"""Random numbers by seed and purpose: a run draws its subset, order, augmentation and weights from separate generators.

The numbers of a purpose are a function of the seed alone. Two variants of one seed therefore see the same images in the same
order, however many numbers the initialisation of their blocks takes, and a run that is continued needs no saved state.
"""

import hashlib

import torch


def derive_seed(seed: int, purpose: str) -> int:
    """The seed of a purpose, such as "order 3" for the order of the third epoch: equal on every machine.

    >>> derive_seed(0, "subset") == derive_seed(0, "subset") != derive_seed(0, "order 1") != derive_seed(1, "order 1")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "big") >> 1  # torch takes 63 bits


def generator(seed: int, purpose: str) -> torch.Generator:
    """A generator on the CPU with the seed of a purpose."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
