"""How a network is trained: its optimizer, the learning rate over time, regularisation, and the budget."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from ..config.schema import Fraction, Index, Positive, Size
from ..errors import ConfigError
from .augmentation import Augmentation
from .parameters import read_parameters

Decay = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Recipe:
    """The settings of a training.

    `image_passes` is the budget: the number of images that pass through the network forward and backward, counted with
    repetition. `subset` is the number of different training images; None for all. The learning rate rises linearly during
    the share `warmup` of the steps and falls to 0 along a cosine. `ema` is the decay of the averaged weights that are
    evaluated; None to evaluate the weights themselves. `weight_decay` acts on all parameters.
    """

    image_passes: Size
    lr: Positive
    batch_size: Size = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: Fraction = 0.9
    weight_decay: Decay = 5e-4
    warmup: Fraction = 0.05
    label_smoothing: Fraction = 0.0
    shift: Index = 0
    flip: bool = False
    subset: Size | None = None
    ema: Fraction | None = None
    autocast: bool = False

    def __post_init__(self) -> None:
        if self.subset is not None and self.subset < self.batch_size:
            raise ConfigError([("recipe.subset", f"{self.subset} images do not fill a batch of {self.batch_size}")])

    @property
    def augmentation(self) -> Augmentation:
        """How training images are changed."""
        return Augmentation(self.shift, self.flip)

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of so many.

        >>> recipe = Recipe(image_passes=1, lr=0.4, warmup=0.5)
        >>> [round(recipe.learning_rate(step, 8), 2) for step in range(8)]
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.34, 0.2, 0.06]
        """
        rising = round(self.warmup * steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        return self.lr * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2

    def create_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the parameters of a network that require a gradient."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
        )


def read_recipe(config: Mapping[str, Any], label: str = "recipe") -> Recipe:
    """The recipe of a config. Raises ConfigError for an unknown or missing key and for a value that is not allowed."""
    return Recipe(**read_parameters(Recipe, "a recipe", config, label))
