"""Scores of predictions: accuracy, and the mean intersection over union."""

import torch
from torch import Tensor

from .augmentation import IGNORED


class Confusion:
    """Counts of (label, prediction) pairs, of whole images or of pixels. Scores are shares from 0 to 1."""

    def __init__(self, classes: int) -> None:
        self.counts_KK = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, logits_NK: Tensor, labels: Tensor) -> None:
        """Counts the predictions of a batch: logits (N, K) or (N, K, H, W), labels (N) or (N, H, W)."""
        classes = len(self.counts_KK)
        is_counted = labels != IGNORED
        pairs = labels[is_counted] * classes + logits_NK.argmax(1)[is_counted]
        self.counts_KK += torch.bincount(pairs, minlength=classes**2).view(classes, classes).cpu()

    @property
    def accuracy(self) -> float:
        """The share of the images or pixels whose class was predicted. nan if there are none."""
        return float(self.counts_KK.diagonal().sum() / self.counts_KK.sum())

    @property
    def mean_iou(self) -> float:
        """The mean over classes of intersection / union, of the classes that occur in labels or predictions."""
        hits_K = self.counts_KK.diagonal()
        unions_K = self.counts_KK.sum(0) + self.counts_KK.sum(1) - hits_K
        return float((hits_K / unions_K)[unions_K > 0].mean())
