"""Shifts and flips, against loops over the pixels."""

import pytest
import torch
from torch import Tensor

from sefactory.training.augmentation import IGNORED, Augmentation


def images(count: int = 64) -> Tensor:
    return torch.randint(1, 255, (count, 2, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def shifted(image_CHW: Tensor, down: int, right: int, outside: int) -> Tensor:
    """y[c, i, j] = x[c, i + down, j + right], by a loop."""
    y = torch.full_like(image_CHW, outside)
    for i in range(5):
        for j in range(7):
            if 0 <= i + down < 5 and 0 <= j + right < 7:
                y[:, i, j] = image_CHW[:, i + down, j + right]
    return y


def candidates(image_CHW: Tensor, shift: int, flip: bool, outside: int = 0) -> dict[tuple[int, int, bool], Tensor]:
    """Every change that is allowed: a shift, flipped or not."""
    moves = range(-shift, shift + 1)
    return {
        (down, right, mirrored): shifted(image_CHW, down, right, outside).flip(2)
        if mirrored
        else shifted(image_CHW, down, right, outside)
        for down in moves
        for right in moves
        for mirrored in ((False, True) if flip else (False,))
    }


@pytest.mark.parametrize("shift, flip", [(0, False), (0, True), (1, False), (2, True)])
def test_an_image_is_changed_in_one_of_the_allowed_ways(shift: int, flip: bool) -> None:
    x, labels = images(), torch.arange(64)
    y, same = Augmentation(shift, flip).apply(x, labels, torch.Generator().manual_seed(1))
    assert torch.equal(same, labels) and y.dtype == torch.uint8 and y.is_contiguous()
    seen = set()
    for before, after in zip(x, y, strict=True):
        (change,) = [change for change, expected in candidates(before, shift, flip).items() if torch.equal(after, expected)]
        seen.add(change)
    ways = (2 * shift + 1) ** 2 * (2 if flip else 1)
    assert len(seen) == ways if ways <= 18 else len(seen) > 25  # 64 draws of 1, 2, 9 or 50 ways


def test_labels_of_pixels_move_with_their_pixels() -> None:
    x = images()
    labels = x[:, 0].clone()
    y, moved = Augmentation(2, True).apply(x, labels, torch.Generator().manual_seed(1))
    assert torch.equal(torch.where(moved == IGNORED, 0, moved), y[:, 0]) and (moved == IGNORED).any()


def test_the_same_generator_gives_the_same_images() -> None:
    one, other = (
        Augmentation(2, True).apply(images(), torch.arange(64), torch.Generator().manual_seed(5))[0] for _ in range(2)
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, Augmentation(2, True).apply(images(), torch.arange(64), torch.Generator().manual_seed(6))[0])
