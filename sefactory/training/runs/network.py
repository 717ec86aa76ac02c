"""The network of a run: the residual network for small images or one of a zoo, and the places of the block in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...config.schema import Size
from ...config.yaml_reader import to_plain
from ...errors import ConfigError, did_you_mean, join_words, short_repr
from ...networks.host import HOST_KEYS, PLACE_KEYS
from ...networks.options import option_faults
from ...networks.zoos import Task, create_network
from ..backbone import residual_network
from ..data.dataset import Dataset
from ..parameters import read_parameters

RESIDUAL = "residual"
SIZES = ("depth", "width")
KEYS = (*HOST_KEYS, *SIZES)


@dataclass(frozen=True)
class NetworkConfig:
    """A network, and the places of blocks in it.

    `host` is `residual`, which has a `depth` and a `width`, or a network of a zoo (`timm:resnet18`). `places` are options of
    `sf.insert`: an entry without a block gets the block of the run.
    """

    host: str
    depth: int | None
    width: int | None
    places: tuple[Mapping[str, Any], ...]

    @property
    def label(self) -> str:
        """The network in a few words, for tables."""
        return f"residual network of depth {self.depth} and width {self.width}" if self.host == RESIDUAL else self.host

    def create(self, data: Dataset) -> nn.Module:
        """The network without blocks, with new weights. Raises ConfigError if it does not fit the data."""
        channels, *_ = data.shape
        if self.depth is not None and self.width is not None:
            return residual_network(self.depth, self.width, channels, data.classes, data.is_segmentation)
        model = create_network(self.host, task=Task(channels, data.classes))
        _check_output(model, self.host, data)
        return model


def read_network(config: Any, label: str = "network") -> NetworkConfig:
    """The network of a config. `label` is its place in messages.

    Raises ConfigError for an unknown or missing key and for a value that is not allowed.
    """
    data = to_plain(config, label)
    if not isinstance(data, Mapping):
        raise ConfigError([(label, f"{short_repr(data)}; allowed: a mapping with {join_words(KEYS)}")])
    unknown = [key for key in data if key not in KEYS]
    faults = [(label, f"no key {key!r}; there are {join_words(KEYS)}{did_you_mean(key, KEYS)}") for key in unknown]
    host, places = data.get("host"), data.get("place", [])
    if not isinstance(host, str):
        faults.append((f"{label}.host", f"{short_repr(host)}; allowed: {RESIDUAL}, or ZOO:NAME such as timm:resnet18"))
    if not isinstance(places, list):
        faults.append((f"{label}.place", f"{short_repr(places)}; allowed: a list of mappings with {join_words(PLACE_KEYS)}"))
        places = []
    faults += [(f"{label}.place.{i}", text) for i, entry in enumerate(places) for text in _place_faults(entry)]
    sizes = {key: data[key] for key in SIZES if key in data}
    if faults or not isinstance(host, str):
        raise ConfigError(faults)
    if host != RESIDUAL and sizes:
        raise ConfigError([(f"{label}.{key}", f"is for host: {RESIDUAL}; {host} has its own; remove it") for key in sizes])
    depth, width = _residual_sizes(sizes, label) if host == RESIDUAL else (None, None)
    return NetworkConfig(host, depth, width, tuple(places))


def _residual_sizes(sizes: Mapping[str, Any], label: str) -> tuple[int, int]:
    """The depth and width of the residual network."""

    def residual(depth: Size = 20, width: Size = 16) -> tuple[int, int]:
        return depth, width

    depth, width = residual(**read_parameters(residual, f"host: {RESIDUAL}", sizes, label))
    try:
        with torch.device("meta"):
            residual_network(depth, 1, 1, 1)
    except ValueError as error:
        raise ConfigError([(f"{label}.depth", str(error))]) from None
    return depth, width


def _place_faults(entry: Any) -> list[str]:
    """What is wrong with one place."""
    if not isinstance(entry, Mapping):
        return [f"{short_repr(entry)}; allowed: a mapping with the keys {join_words(PLACE_KEYS)}"]
    unknown = [
        f"no key {key!r}; there are {join_words(PLACE_KEYS)}{did_you_mean(key, PLACE_KEYS)}"
        for key in entry
        if key not in PLACE_KEYS
    ]
    missing = [] if "at" in entry else ["needs at"]
    return [*unknown, *missing, *(f"{key} is {text}" for key, text in option_faults(entry))]


def _check_output(model: nn.Module, host: str, data: Dataset) -> None:
    """Raises ConfigError if a network does not return the logits that the data needs."""
    needed = (1, data.classes, *(data.shape[1:] if data.is_segmentation else ()))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            output = model(torch.zeros(1, *data.shape))
    except Exception as error:
        text = f"{host} does not run on images of {_format(data.shape)}: {str(error).splitlines()[0]}"
        raise ConfigError([("network.host", text)]) from None
    finally:
        model.train(was_training)
    given = _format(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if given != _format(needed):
        cure = f"use host: {RESIDUAL}" if data.is_segmentation else "choose a classifier"
        raise ConfigError([("network.host", f"{host} returns {given}, and the data needs {_format(needed)}; {cure}")])


def _format(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
