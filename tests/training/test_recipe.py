"""Recipes: the learning rate, the optimizer, and the messages of configs."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from sefactory.errors import ConfigError
from sefactory.training.recipe import Recipe, read_recipe

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "recipe").glob("*.yaml"))


@pytest.mark.parametrize("warmup, steps", [(0.0, 10), (0.05, 200), (0.1, 7), (1.0, 5)])
def test_the_learning_rate_rises_and_falls(warmup: float, steps: int) -> None:
    recipe = Recipe(image_passes=1, lr=0.2, warmup=warmup)
    rates = [recipe.learning_rate(step, steps) for step in range(steps)]
    rising = round(warmup * steps)
    assert rates[:rising] == pytest.approx([0.2 * (i + 1) / rising for i in range(rising)])
    falling = rates[rising:]
    assert falling == sorted(falling, reverse=True) and all(0 < rate <= 0.2 for rate in rates)
    if falling:
        assert falling[0] == 0.2 and falling[-1] == pytest.approx(0.1 * (1 + math.cos(math.pi * (1 - 1 / len(falling)))))


def test_optimizers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    sgd = Recipe(image_passes=1, lr=0.1, weight_decay=0.01).create_optimizer(model)
    (group,) = sgd.param_groups
    assert isinstance(sgd, torch.optim.SGD) and len(group["params"]) == 2
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.1, 0.9, 0.01, True)
    assert not Recipe(image_passes=1, lr=0.1, momentum=0).create_optimizer(model).param_groups[0]["nesterov"]
    adamw = Recipe(image_passes=1, lr=0.1, optimizer="adamw").create_optimizer(model)
    assert isinstance(adamw, torch.optim.AdamW) and adamw.param_groups[0]["weight_decay"] == 5e-4


def test_a_config_is_read() -> None:
    recipe = read_recipe({"image_passes": 600, "lr": 0.03, "shift": 2, "flip": True, "subset": None, "optimizer": "adamw"})
    assert recipe == Recipe(image_passes=600, lr=0.03, shift=2, flip=True, optimizer="adamw")
    assert (recipe.augmentation.shift, recipe.augmentation.flip) == (2, True)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lr": 0}, "recipe.lr: lr is 0; allowed: a number above 0"),
        ({"lr": math.nan}, "recipe.lr: lr is nan; allowed: a number above 0"),
        ({"warmup": 1.5}, "recipe.warmup: warmup is 1.5; allowed: a number from 0 to 1"),
        ({"weight_decay": -1}, "recipe.weight_decay: weight_decay is -1; allowed: a number from 0"),
        ({"optimizer": "adam"}, "recipe.optimizer: optimizer is 'adam'; allowed: one of sgd, adamw; did you mean 'adamw'?"),
        ({"flip": 1}, "recipe.flip: flip is 1; allowed: true or false"),
        ({"image_passes": 1.5}, "recipe.image_passes: image_passes is 1.5; allowed: an integer from 1"),
        ({"subset": 63}, "recipe.subset: 63 images do not fill a batch of 64"),
        (
            {"learning_rate": 0.1},
            "recipe.learning_rate: is no parameter; a recipe takes image_passes, lr, batch_size, optimizer, momentum, "
            "weight_decay, warmup, label_smoothing, shift, flip, subset, ema, autocast",
        ),
    ],
)
def test_messages(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe({"image_passes": 600, "lr": 0.03} | change)
    assert str(caught.value) == message


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_shipped_recipes(file: Path) -> None:
    assert read_recipe(yaml.safe_load(file.read_text())).image_passes >= 1


def test_what_a_recipe_needs() -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe({})
    assert str(caught.value) == ("recipe.image_passes: is missing; a recipe needs it\nrecipe.lr: is missing; a recipe needs it")
