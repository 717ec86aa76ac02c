"""Random numbers by seed and purpose."""

import torch

from sefactory.training.seeds import derive_seed, generator


def test_seeds_are_known_numbers() -> None:
    """They name the images that a run sees, on every machine: the first 63 bits of `printf "0 subset" | sha256sum`."""
    assert derive_seed(0, "subset") == 1789881090556051943
    assert derive_seed(3, "order 12") == 211907658726421483


def test_each_seed_and_purpose_has_numbers_of_its_own() -> None:
    names = [
        (seed, purpose) for seed in range(20) for purpose in ("subset", "order 1", "order 11", "augmentation 1", "weights")
    ]
    assert len({derive_seed(*name) for name in names}) == len(names)
    assert torch.equal(torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a")))
