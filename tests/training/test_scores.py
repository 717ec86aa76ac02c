"""Accuracy and mean intersection over union, by hand and against loops."""

import math

import pytest
import torch

from sefactory.training.augmentation import IGNORED
from sefactory.training.scores import Confusion


def test_scores_by_hand() -> None:
    confusion = Confusion(3)
    confusion.add(torch.eye(3)[[0, 0, 1, 1]], torch.tensor([0, 1, 1, 1]))  # predictions 0 0 1 1
    assert confusion.counts_KK.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert confusion.accuracy == 0.75
    assert confusion.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)  # class 2 occurs nowhere


def test_pixels_against_loops_over_the_classes() -> None:
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(4, 5, 6, 7, generator=random), torch.randint(5, (4, 6, 7), generator=random)
    labels[:, 0] = IGNORED
    confusion = Confusion(5)
    for half in (slice(0, 1), slice(1, 4)):
        confusion.add(logits[half], labels[half])
    predicted, is_counted = logits.argmax(1), labels != IGNORED
    ious = []
    for number in range(5):
        is_label, is_predicted = (labels == number) & is_counted, (predicted == number) & is_counted
        ious.append(float((is_label & is_predicted).sum() / (is_label | is_predicted).sum()))
    assert confusion.mean_iou == pytest.approx(sum(ious) / 5)
    assert confusion.accuracy == pytest.approx(float((predicted == labels)[is_counted].float().mean()))


def test_no_labels_have_no_score() -> None:
    assert math.isnan(Confusion(3).accuracy) and math.isnan(Confusion(3).mean_iou)
