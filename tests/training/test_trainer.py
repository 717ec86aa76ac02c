"""Training: it learns, it is continued bit for bit, and two variants of a seed see the same images."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.training.backbone import residual_network
from sefactory.training.data.dataset import Dataset, Part, split_validation
from sefactory.training.data.loading import load_data
from sefactory.training.recipe import Recipe
from sefactory.training.trainer import Diverged, Trainer

RECIPE = Recipe(image_passes=256, lr=0.05, batch_size=32, shift=1, flip=True, subset=128, label_smoothing=0.1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data({"dataset": "digits"})


def network(data: Dataset, block: str | None = None, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    channels, *size = data.shape
    model = residual_network(8, 16, channels, data.classes, data.is_segmentation)
    if block:
        sf.insert(model, block, at="layer*.*.bn2", input_size=(channels, *size))
    return model


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for name, module in trainer._modules().items() for key, value in module.state_dict().items()}


def trained(trainer: Trainer) -> list[float]:
    losses = []
    while not trainer.is_done:
        losses.append(trainer.train_epoch())
    return losses


def test_it_learns(digits: Dataset) -> None:
    recipe = Recipe(image_passes=9472, lr=0.1, batch_size=32)
    trainer = Trainer(network(digits), digits, recipe, seed=0)
    before = trainer.evaluate(digits.validation)
    losses = trained(trainer)
    after = trainer.evaluate(digits.validation)
    assert trainer.epochs == len(losses) == 8 and losses[-1] < 0.2 < losses[0]
    assert after.accuracy > 0.95 > 0.4 > before.accuracy and after.loss < before.loss and after.mean_iou is None


def test_segmentation_learns() -> None:
    """The class of a pixel is whether it is bright."""
    images = torch.randint(256, (96, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    part = Part(
        images.repeat_interleave(2, 2).repeat_interleave(2, 3),
        (images[:, 0] > 127).repeat_interleave(2, 1).repeat_interleave(2, 2).to(torch.uint8),
    )
    data = Dataset(*split_validation(part), part, 2)
    trainer = Trainer(network(data), data, Recipe(image_passes=1600, lr=0.05, batch_size=16, shift=1), seed=0)
    trained(trainer)
    scores = trainer.evaluate(data.validation)
    assert scores.mean_iou and scores.mean_iou > 0.4 and scores.mean_iou < scores.accuracy


VARIANTS = {
    "sgd": RECIPE,
    "adamw": replace(RECIPE, optimizer="adamw", lr=0.003),
    "averaged": replace(RECIPE, ema=0.9),
    "autocast": replace(RECIPE, autocast=True),
}


class Dropped(nn.Module):
    """A network with dropout, whose random numbers are those of torch's global generator."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.dropout, self.model = nn.Dropout(0.2), model

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(self.dropout(x))
        return y


@pytest.mark.parametrize("recipe", VARIANTS.values(), ids=VARIANTS)
def test_a_continued_training_is_equal_bit_for_bit(recipe: Recipe, digits: Dataset, tmp_path: Path) -> None:
    recipe = replace(recipe, image_passes=384)

    def trainer() -> Trainer:
        return Trainer(Dropped(network(digits, "senet")), digits, recipe, seed=3)

    whole = trainer()
    losses = trained(whole)
    assert whole.epochs == 3
    file, continued = tmp_path / "checkpoint.safetensors", []
    for _ in range(3):  # each epoch in a trainer of its own, and one that is killed within the next epoch
        one = trainer()
        one.load(file)
        torch.rand(7)  # the global generator has no say
        continued.append(one.train_epoch())
        one.save(file)
        killed = trainer()
        killed.load(file)
        for batch in list(killed.batches.epoch(killed.finished + 1))[:2]:
            killed.step(batch)
    assert continued == losses
    assert {key: value.tolist() for key, value in weights(one).items()} == {
        key: value.tolist() for key, value in weights(whole).items()
    }


def test_another_seed_gives_other_weights(digits: Dataset) -> None:
    one, other = (Trainer(network(digits), digits, RECIPE, seed) for seed in (0, 1))
    assert trained(one) != trained(other)


def test_the_averaged_weights_are_evaluated(digits: Dataset) -> None:
    trainer = Trainer(network(digits), digits, replace(RECIPE, ema=0.999), seed=0)
    trained(trainer)
    averaged, trainer.averaged = trainer.averaged, None
    own = trainer.evaluate(digits.validation)
    assert averaged is not None
    trainer.model.load_state_dict(averaged.module.state_dict())
    of_averaged, trainer.averaged = trainer.evaluate(digits.validation), averaged
    assert trainer.evaluate(digits.validation) == of_averaged != own


@pytest.mark.parametrize("content", [None, b"", b"\x10\0\0\0\0\0\0\0{cut", b"no checkpoint"])
def test_without_a_state_that_can_be_read_it_begins_anew(digits: Dataset, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "checkpoint.safetensors"
    if content is not None:
        file.write_bytes(content)
    trainer = Trainer(network(digits), digits, RECIPE, seed=0)
    before = {key: value.clone() for key, value in weights(trainer).items()}
    trainer.load(file)
    assert trainer.finished == 0 and all(torch.equal(value, before[key]) for key, value in weights(trainer).items())


def test_the_state_of_another_network(digits: Dataset, tmp_path: Path) -> None:
    Trainer(network(digits, "senet"), digits, RECIPE, seed=0).save(tmp_path / "x")
    with pytest.raises(ValueError, match=r"x is the state of another network: "):
        Trainer(network(digits), digits, RECIPE, seed=0).load(tmp_path / "x")


def test_a_loss_that_is_no_number(digits: Dataset) -> None:
    trainer = Trainer(network(digits), digits, RECIPE, seed=0)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(math.inf)
    with pytest.raises(Diverged) as caught:
        trainer.train_epoch()
    assert str(caught.value) == "the loss of epoch 1 is nan" and trainer.finished == 0


@pytest.mark.parametrize("block", ["senet", "cbam", "coordatt", "triplet", "ecanet"])
def test_variants_of_a_seed_see_the_same_batches(block: str, digits: Dataset) -> None:
    def seen(name: str | None) -> tuple[list[Tensor], dict[str, Tensor]]:
        model, images = network(digits, name), []
        model.register_forward_pre_hook(lambda module, args: images.append(args[0].clone()))
        start = {key: value.clone() for key, value in model.state_dict().items()}
        trained(Trainer(model, digits, replace(RECIPE, image_passes=128), seed=5))
        return images, start

    (plain, start), (with_block, other) = seen(None), seen(block)
    assert len(plain) == 4 and all(map(torch.equal, plain, with_block))
    assert all(torch.equal(value, other[key]) for key, value in start.items()) and len(other) > len(start)
