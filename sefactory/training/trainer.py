"""The training of one network by a recipe: epoch by epoch, continued from a checkpoint, evaluated on a part of the data."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .augmentation import IGNORED
from .batches import Batch, Normalization, TrainingBatches, evaluation_batches
from .checkpoint import load_checkpoint, save_checkpoint
from .data.dataset import Dataset, Part
from .recipe import Recipe
from .scores import Confusion
from .seeds import derive_seed


class Diverged(ArithmeticError):
    """The loss is no finite number."""


class Scores(NamedTuple):
    """The scores on a part: `loss` without label smoothing, shares from 0 to 1. `mean_iou` is None for whole images."""

    loss: float
    accuracy: float
    mean_iou: float | None


class Trainer:
    """Trains a network, which it changes.

    All random numbers of an epoch are functions of the seed and of the number of the epoch: a training that is continued from a
    checkpoint computes the same weights as one that was not interrupted. On a CPU they are equal bit for bit, with the same
    number of threads. The last epoch ends where the budget of the recipe does.
    """

    def __init__(self, model: nn.Module, data: Dataset, recipe: Recipe, seed: int, device: str = "cpu") -> None:
        self.model, self.data, self.recipe, self.seed = model.to(device), data, recipe, seed
        self.device = torch.device(device)
        self.normalization = Normalization.of(data)
        self.batches = TrainingBatches(
            data.train, self.normalization, recipe.augmentation, recipe.batch_size, seed, recipe.subset
        )
        self.optimizer = recipe.create_optimizer(model)
        self.averaged = _averaged(model, recipe.ema)
        self.steps = max(1, round(recipe.image_passes / recipe.batch_size))
        self.epochs = math.ceil(self.steps / len(self.batches))
        self.finished = 0

    @property
    def is_done(self) -> bool:
        """True if the budget is spent."""
        return self.finished >= self.epochs

    def train_epoch(self, on_step: Callable[[int], None] = lambda number: None) -> float:
        """Trains one epoch and returns the mean loss of its batches. Raises Diverged if that is no finite number.

        `on_step` is called after each step with the number of the steps of this epoch so far.
        """
        epoch, losses = self.finished + 1, []
        self.model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, f"dropout {epoch}"))
            first = self.finished * len(self.batches)
            for number, batch in enumerate(islice(self.batches.epoch(epoch), self.steps - first)):
                self._set_learning_rate(first + number)
                losses.append(self.step(batch))
                on_step(number + 1)
        loss = float(torch.stack(losses).mean())
        if not math.isfinite(loss):
            raise Diverged(f"the loss of epoch {epoch} is {loss}")
        self.finished = epoch
        return loss

    def evaluate(self, part: Part) -> Scores:
        """The scores on a part of the data, of the averaged weights if the recipe has any.

        Raises Diverged if the loss is no finite number.
        """
        model = self.averaged or self.model
        confusion, total, count = Confusion(self.data.classes), 0.0, 0
        model.eval()
        with torch.no_grad():
            for batch in evaluation_batches(part, self.normalization, 4 * self.recipe.batch_size):
                images, labels = (tensor.to(self.device) for tensor in batch)
                with self._autocast():
                    logits = model(images)
                total += float(F.cross_entropy(logits.float(), labels, ignore_index=IGNORED)) * len(labels)
                count += len(labels)
                confusion.add(logits, labels)
        loss = total / count
        if not math.isfinite(loss):
            raise Diverged(f"the loss of a part after epoch {self.finished} is {loss}")
        return Scores(loss, confusion.accuracy, confusion.mean_iou if self.data.is_segmentation else None)

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimizer, with the learning rate as it is. Returns the loss without waiting for the device."""
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        with self._autocast():
            logits = self.model(images)
        loss = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.averaged:
            self.averaged.update_parameters(self.model)
        return loss.detach()

    def save(self, file: Path) -> None:
        """Writes the state. Raises OSError if the file cannot be written."""
        save_checkpoint(file, self._modules(), self.optimizer, self.finished)

    def load(self, file: Path) -> None:
        """Continues from the state in a file; without one that can be read, from the beginning."""
        self.finished = load_checkpoint(file, self._modules(), self.optimizer)

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model} | ({"averaged": self.averaged} if self.averaged else {})

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.autocast)

    def _set_learning_rate(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(step, self.steps)


def _averaged(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
