"""Transfers the weights of a replaced module into its block, by the key map of the block's config."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..block import Block
from ..build.api import load
from ..errors import ConfigError
from .official_weights import has_prefix, load_official


def ratio_override(
    config: Any, overrides: Sequence[str], search: Iterable[str | Path], original: nn.Module, channels: int, source: str
) -> list[str]:
    """[`let.r=...`], with which the bottleneck C/r is as wide as that of the replaced module.

    Empty if the config has no `let.r`, if an override sets it, or if the key map names no weight of the module.
    """
    loaded = load(config, overrides, search)
    if not has_ratio(loaded) or any(text.lstrip("+").startswith("let.r=") for text in overrides):
        return []
    key_map = (loaded.get("official") or {}).get(source) or {}
    weight = _first_weight(original.state_dict(), [key for key in key_map.values() if isinstance(key, str)])
    return [] if weight is None else [f"let.r={reduction_ratio(channels, weight.shape[0])!r}"]


def has_ratio(config: Any) -> bool:
    """True if a config has `let.r`, the reduction ratio of its bottleneck."""
    let = config.get("let") if isinstance(config, Mapping) else None
    return isinstance(let, Mapping) and "r" in let


def reduction_ratio(channels: int, hidden: int) -> float:
    """An r with floor(channels / r) = hidden. The added half keeps rounding errors away from the next integer.

    >>> int(64 / reduction_ratio(64, 11))
    11
    """
    return channels / (hidden + 0.5)


def _first_weight(state_dict: Mapping[str, Tensor], prefixes: Sequence[str]) -> Tensor | None:
    """The first tensor of two or more axes whose key has one of the prefixes, in the order of the prefixes."""
    tensors = (tensor for prefix in prefixes for key, tensor in state_dict.items() if has_prefix(key, prefix))
    return next((tensor for tensor in tensors if tensor.dim() > 1), None)


def transfer_weights(path: str, block: Block, original: nn.Module, source: str) -> None:
    """Copies all weights of the module at a path into the block that replaces it.

    Raises ConfigError with the keys or shapes that do not fit, and the path.
    """
    try:
        load_official(block, original.state_dict(), source=source)
    except ConfigError as error:
        raise ConfigError([(f"{place} (for {path})", text) for place, text in error.faults]) from None
