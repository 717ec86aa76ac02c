"""A block as a layer factory for the model builders of timm and torchvision: called with a width, it builds the block."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..block import Block
from ..build.api import build, load
from ..errors import ConfigError, join_words, short_repr
from .official_weights import has_ratio, reduction_ratio


class Layer:
    """layer(channels) -> Block, with the keywords that timm and torchvision pass to an `attn_layer` or `se_layer`.

    rd_ratio and rd_channels (squeeze_channels) set `let.r` if the config has it. Ignored arguments are named in one
    warning.
    """

    def __init__(self, config: Any, overrides: Sequence[str], search: Sequence[str | Path]) -> None:
        self.config, self.overrides, self.search = config, list(overrides), list(search)
        self._has_ratio = has_ratio(load(config, self.overrides, self.search))
        self._warned = False

    def __call__(
        self,
        channels: int,
        squeeze_channels: int | None = None,
        *,
        rd_ratio: float | None = None,
        rd_channels: int | None = None,
        act_layer: Any = None,
        norm_layer: Any = None,
        gate_layer: Any = None,
        activation: Any = None,
        scale_activation: Any = None,
        rd_divisor: Any = None,
        rd_round_fn: Any = None,
        bias: Any = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> Block:
        """The block for feature maps of `channels` channels."""
        names = ("act_layer", "norm_layer", "gate_layer", "activation", "scale_activation", "rd_divisor", "rd_round_fn", "bias")
        given = (act_layer, norm_layer, gate_layer, activation, scale_activation, rd_divisor, rd_round_fn, bias)
        hidden = squeeze_channels if rd_channels is None else rd_channels
        ratio = {} if self._has_ratio else {"squeeze_channels": hidden, "rd_ratio": rd_ratio}
        self._warn_ignored(dict(zip(names, given, strict=True)) | ratio)
        overrides = [*self.overrides, *self._ratio_override(channels, hidden, rd_ratio)]
        return build(self.config, channels, overrides=overrides, search=self.search).to(device=device, dtype=dtype)

    def _ratio_override(self, channels: int, hidden: int | None, rd_ratio: float | None) -> list[str]:
        if not self._has_ratio or (hidden is None and rd_ratio is None):
            return []
        ratio = reduction_ratio(channels, hidden) if hidden is not None else 1 / rd_ratio  # type: ignore[operator]
        return [f"let.r={ratio!r}"]

    def _warn_ignored(self, arguments: Mapping[str, Any]) -> None:
        ignored = [name for name, value in arguments.items() if value is not None]
        if ignored and not self._warned:
            self._warned = True
            warnings.warn(f"{self!r} ignores {join_words(ignored)}", stacklevel=3)

    def __repr__(self) -> str:
        return f"layer({self.config if isinstance(self.config, str | Path) else 'block'})"


def layer(config: Any, overrides: Sequence[str] = (), search: Sequence[str | Path] = ()) -> Layer:
    """A callable for `attn_layer=` and `se_layer=` of timm, and for `se_layer=` of torchvision.

    Raises ConfigError for a config that cannot be loaded.

    >>> layer("senet")(64, rd_ratio=1 / 8).state_dict()["excite.0.0.weight"].shape
    torch.Size([8, 64])
    >>> layer("senet")(64, 11).state_dict()["excite.0.0.weight"].shape
    torch.Size([11, 64])
    """
    if not isinstance(config, str | Path | dict | list):
        raise ConfigError([("config", f"{short_repr(config)}; allowed: a name, a Path, a mapping or a list")])
    return Layer(config, overrides, search)
